"""The network's speed beside the explicit formulation: attention alone, forward pass, training step, inference."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.optim import AdamW
from torch.utils.flop_counter import FlopCounterMode

from engine.cost import matmul_rate, sample_cost
from engine.inpaint import Inpainter
from engine.loss import masked_loss
from engine.optim import parameter_groups
from engine.precision import DTYPES, Name, Precision, fastest_precision
from models import Painter, PainterConfig, model_config
from models.attention import BACKENDS, Choice, attend
from tools.speed_rows import Row, interleaved, left_out_if_it_fails, peak_gb, relative_error, row, take_turns

EXPLICIT_BATCH = 2  # all that the original gave a GPU


@dataclass(frozen=True)
class Setting:
    """What is measured, where, how thoroughly."""

    model: str
    canvas: tuple[int, int]
    device: torch.device
    batch: int
    quick: bool

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"--batch {self.batch} must be 1 or more")

    @property
    def precisions(self) -> list[Name]:
        """float32, and what is fastest here."""
        return list(dict.fromkeys(("fp32", fastest_precision(self.device))))

    @property
    def repeats(self) -> int:
        """Of each measurement; the explicit ViT-L takes long on a CPU."""
        return (3 if self.quick else 7) if self.device.type == "cpu" else 15

    def time(self, ours: Callable[[], Any], plain: Callable[[], Any]) -> tuple[float, float]:
        """Seconds a sample of works that take a batch."""
        mine, other = interleaved(ours, plain, self.repeats)
        return mine / self.batch, other / self.batch

    def network(self, attention: Choice) -> Painter:
        """With the same random weights for every back end, those of relative position among them."""
        torch.manual_seed(0)
        config = model_config(self.model, img_size=self.canvas, attention=attention, drop_path_rate=0.0)
        model = Painter(replace(config, checkpointing="none")).to(self.device)
        for name, parameter in model.named_parameters():
            if "rel_pos" in name:
                torch.nn.init.normal_(parameter, std=0.02)
        return model

    def batch_of(self) -> tuple[Tensor, Tensor, Tensor]:
        """Images, targets, mask; the query half is hidden."""
        generator = torch.Generator().manual_seed(1)
        images, targets = torch.randn(2, self.batch, 3, *self.canvas, generator=generator).to(self.device)
        mask = torch.zeros(self.batch, *model_config(self.model, img_size=self.canvas).grid, device=self.device)
        mask[:, mask.shape[1] // 2 :] = 1
        return images, targets, mask


@cache
def rate(device: torch.device, precision: Name) -> float:
    """FLOP/s of matrix products, measured once in a run."""
    return matmul_rate(device, precision)


def network_row(
    work: str, setting: Setting, precision: Name, both: tuple[float, float], error: float, flops: float, memory: float
) -> Row:
    """Of seconds a sample, ours and plain, where a sample costs `flops`."""
    per_second = flops / both[0]
    return row(
        "_".join((work, setting.model.removeprefix("painter_"), precision)),
        *both,
        error,
        precision=precision,
        batch=setting.batch,
        samples_per_s=1 / both[0],
        tflop_per_s=per_second / 1e12,
        share_of_matmul_rate=per_second / rate(setting.device, precision),
        peak_memory_gb=memory,
    )


def attention(setting: Setting) -> list[Row]:
    """One block's attention by every back end that works here, against the explicit one; also with gradients."""
    pairs = [(backend, learns) for backend in BACKENDS if backend != "explicit" for learns in (False, True)]
    on_cpu = setting.device.type == "cpu"
    works = [(b, learns) for b, learns in pairs if not (b == "flex" and on_cpu) and not (b == "chunked" and learns)]
    rows = []
    for precision in setting.precisions:
        for backend, learns in works:
            with left_out_if_it_fails(f"{backend} attention in {precision}"):
                rows.append(_attention(setting, backend, learns, precision))
    return rows


def _attention(setting: Setting, backend: Choice, learns: bool, precision: Name) -> Row:
    config = model_config(setting.model, img_size=setting.canvas)
    (h, w), heads, d = config.grid, config.num_heads, config.embed_dim // config.num_heads
    generator = torch.Generator().manual_seed(0)
    shapes = [*[(setting.batch, heads, h * w, d)] * 3, (h, h, d), (w, w, d)]
    exact = [torch.randn(shape, generator=generator).to(setting.device).requires_grad_(learns) for shape in shapes]
    inputs = [x.detach().to(DTYPES[precision]).requires_grad_(learns) for x in exact]

    def run(inputs: list[Tensor], backend: Choice) -> list[Tensor]:
        q, k, v, rows, cols = inputs
        out = attend(q, k, v, rows, cols, backend)
        return [out, *torch.autograd.grad(out.float().square().sum(), inputs)] if learns else [out]

    found, expected = (
        torch.cat([x.flatten() for x in run(*ways)]) for ways in ((inputs, backend), (exact, "explicit"))
    )
    ours, plain = interleaved(partial(run, inputs, backend), partial(run, inputs, "explicit"), setting.repeats)
    memory = peak_gb(partial(run, inputs, backend))
    work = f"attention_{h}x{w}_{precision}_{backend}" + "_backward" * learns
    return row(work, ours, plain, relative_error(found, expected), precision=precision, peak_memory_gb=memory)


def forward(setting: Setting) -> list[Row]:
    """Whole canvases through the network, against explicit attention in the same precision; errors are to its fp32."""
    ours, plain = setting.network("auto").eval(), setting.network("explicit").eval()
    flops = sample_cost(plain.config, "fp32").forward_flops
    inputs, rows = setting.batch_of(), []
    works = partial(ours, *inputs), partial(plain, *inputs)
    with torch.inference_mode():
        exact = plain(*inputs)
        for precision in setting.precisions:
            with left_out_if_it_fails(f"forward in {precision}"), Precision(precision, setting.device.type).autocast():
                error, both = relative_error(ours(*inputs), exact), setting.time(*works)
                rows.append(network_row("forward", setting, precision, both, error, flops, peak_gb(works[0])))
    return rows


def infer(setting: Setting) -> list[Row]:
    """Queries below one prompt, as predictors paint them, against whole canvases in explicit float32."""
    size, plain = (setting.canvas[0] // 2, setting.canvas[1]), setting.network("explicit").eval()
    image = Image.effect_noise(size[::-1], 80).convert("RGB")
    halves = torch.randn(setting.batch, 3, *size, generator=torch.Generator().manual_seed(2))
    patch = plain.config.patch_size
    explicit = Inpainter(partial(plain), [(image, image)], size, patch, device=setting.device)  # a mere function
    exact, flops = explicit.paint(halves), query_flops(plain.config)
    networks = {
        p: Precision(p, setting.device.type).for_inference(setting.network("auto").eval()) for p in setting.precisions
    }
    works = {
        p: partial(Inpainter(x, [(image, image)], size, patch, device=setting.device, precision=p).paint, halves)
        for p, x in networks.items()
    }
    errors = {p: relative_error(work(), exact) for p, work in works.items()}
    baseline, *ours = (
        t / setting.batch for t in take_turns([partial(explicit.paint, halves), *works.values()], setting.repeats)
    )
    return [
        network_row("infer", setting, p, (taken, baseline), errors[p], flops, peak_gb(works[p]))
        for p, taken in zip(setting.precisions, ours, strict=True)
    ]


def query_flops(config: PainterConfig) -> int:
    """What a query costs below a prompt that is known."""
    with torch.device("meta"):
        model = Painter(replace(config, attention="explicit")).eval()
        images, mask = torch.empty(1, 3, *config.img_size), torch.empty(1, *config.grid)
    known = model.target_states(images, mask)
    with FlopCounterMode(display=False) as counter:
        model(images, known, mask, query_only=True)
    return counter.get_total_flops()


def train(setting: Setting) -> list[Row]:
    """Optimiser steps, against explicit attention at a batch of 2 and an optimiser that is not fused.

    Errors are those of the third loss, to that of explicit float32.
    """
    few = replace(setting, batch=min(setting.batch, EXPLICIT_BATCH))
    exact, rows = _third_loss(Trainee(few, "explicit", "fp32", fused=False)), []
    flops = sample_cost(setting.network("explicit").config, "fp32").flops
    for precision in setting.precisions:
        with left_out_if_it_fails(f"train in {precision}"):
            error = abs(_third_loss(Trainee(few, "auto", precision, fused=True)) / exact - 1)
            ours, plain = (
                Trainee(setting, "auto", precision, fused=True),
                Trainee(few, "explicit", precision, fused=False),
            )
            mine, other = interleaved(ours.step, plain.step, setting.repeats)
            both = mine / setting.batch, other / few.batch
            rows.append(network_row("train", setting, precision, both, error, flops, peak_gb(ours.step)))
    return rows


class Trainee:
    """A network that learns one batch, without checkpointing."""

    def __init__(self, setting: Setting, attention: Choice, precision: Name, fused: bool) -> None:
        self.model, self.batch = setting.network(attention).train(), setting.batch_of()
        self.precision = Precision(precision, setting.device.type)
        self.optimizer = AdamW(parameter_groups(self.model, 0.1, 0.8), lr=1e-4, fused=fused)

    def step(self) -> Tensor:
        """Take a step; returns the loss before it, which is not waited for."""
        _, targets, mask = self.batch
        with self.precision.autocast():
            pred = self.model(*self.batch)
        loss = masked_loss(pred, targets, mask, torch.ones_like(targets))
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.detach()


def _third_loss(trainee: Trainee) -> float:
    return [trainee.step() for _ in range(3)][-1].item()
