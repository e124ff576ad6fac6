"""Measure ways to share a training step out over ranks, side by side in one run.

    torchrun --nproc_per_node 2 tools/speed_ranks.py                               on GPUs, or two ranks on the CPU
    torchrun --nproc_per_node 8 tools/speed_ranks.py --model painter_vit_base --canvas 896 448 --precision bf16

Prints a row a way: seconds of an optimiser step (median over rounds in which all ways take turns), and the ratio to
what training uses. All ways are in memory at once. Without data: random canvases that lie on the device.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import torch
import tyro
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import trange

from engine.loss import masked_loss
from engine.optim import make_optimizer
from engine.parallel import exchange_gradients, parallelise
from engine.precision import Precision
from models import Painter, create_model
from util.dist import World, joined, wait_for_all
from util.parallel import one_line_errors

USED = "ddp, as training uses it"


class Way(NamedTuple):
    """A network that is trained in one way."""

    wrap: Callable[[Painter], nn.Module]
    always: bool = False
    """exchange gradients after each backward pass, not once a step"""


def ways(world: World) -> dict[str, Way]:
    """All of them, by name."""
    used = partial(parallelise, kind="ddp", world=world)
    plain = partial(DistributedDataParallel, gradient_as_bucket_view=True)
    return {
        USED: Way(used),
        "ddp, exchange in every pass": Way(used, always=True),
        "ddp, gradients copied into buckets": Way(DistributedDataParallel),
        "ddp, static graph": Way(partial(plain, static_graph=True)),
        "ddp, buckets of 5 MB, not 25": Way(partial(plain, bucket_cap_mb=5)),
        "ddp, buckets of 100 MB": Way(partial(plain, bucket_cap_mb=100)),
        "fsdp": Way(partial(parallelise, kind="fsdp", world=world)),
    }


class Trainee:
    """One network, its optimiser, and a batch."""

    def __init__(self, way: Way, model: str, canvas: tuple[int, int], precision: Precision, world: World) -> None:
        self.way, self.precision = way, precision
        torch.manual_seed(0)
        self.painter = create_model(model, img_size=canvas, drop_path_rate=0.0).to(world.device).train()
        self.network = way.wrap(self.painter)
        self.optimizer = make_optimizer(self.painter, 0.1, 0.8, (0.9, 0.999))
        self.batch: list[Tensor] = [torch.randn(1, 3, *canvas, device=world.device) for _ in range(2)]
        self.mask = torch.ones(1, *self.painter.config.grid, device=world.device)

    def step(self, accumulation: int, always: bool) -> float:
        """Seconds of an optimiser step; `always`: exchange gradients after each backward pass, not once."""
        device = self.mask.device
        wait_for_all()
        start = time.perf_counter()
        for micro in range(accumulation):
            with exchange_gradients(self.network, now=always or micro == accumulation - 1):
                with self.precision.autocast():
                    pred = self.network(*self.batch, self.mask)
                masked_loss(pred, self.batch[1], self.mask, torch.ones_like(pred)).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        wait_for_all()
        return time.perf_counter() - start


def main(
    model: str = "painter_vit_small",
    canvas: tuple[int, int] = (128, 64),
    accumulation: int = 4,
    rounds: int = 15,
    precision: Literal["fp32", "bf16"] = "fp32",
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Time ways to share a training step out over ranks.

    Args:
        model: a registered network
        canvas: its height and width
        accumulation: passes of one canvas in a step
        rounds: steps of each way that are timed
        precision: of the forward pass
        device: where to compute
    """
    with one_line_errors(), joined(device) as world:
        if min(accumulation, rounds) < 1:
            raise ValueError(f"--accumulation {accumulation} and --rounds {rounds} must be 1 or more")
        arithmetic = Precision(precision, world.device.type)
        trainees = {name: Trainee(way, model, canvas, arithmetic, world) for name, way in ways(world).items()}
        seconds: dict[str, list[float]] = {name: [] for name in trainees}
        for number in trange(rounds + 2, unit="round", disable=not world.is_main):
            for name, trainee in trainees.items():
                first = number == 0  # PyTorch's static graph fails if its first pass exchanges nothing
                taken = trainee.step(accumulation, trainee.way.always or first)
                if number > 1:  # the first ones warm up
                    seconds[name].append(taken)
        if world.is_main:
            print(f"{world.size} ranks on {world.device.type}, {model} at {canvas}, {accumulation} passes a step")
            for name, values in seconds.items():
                median = statistics.median(values)
                print(f"{name:36} {median:8.4f} s  {median / statistics.median(seconds[USED]):5.2f}")


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
