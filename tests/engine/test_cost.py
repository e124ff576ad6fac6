"""Cost of a sample against hand formulas and a real run; rate of matrix products; nothing random is drawn."""

import gc
import time
from dataclasses import replace

import pytest
import torch

from engine.cost import CPU, matmul_rate, sample_cost
from engine.loss import masked_loss
from engine.precision import Precision
from models import MODELS, Painter, PainterConfig

SMALL = PainterConfig(
    img_size=(64, 32), patch_size=8, embed_dim=32, depth=4, num_heads=2, decoder_embed_dim=8, merge_after=1
)
WINDOWS = replace(SMALL, window_size=3, window_blocks=(0, 2))
JOINT = replace(SMALL, merge_after=None, head="linear")


def by_hand(c: PainterConfig) -> tuple[int, int]:
    """FLOPs forward with global attention and the light head, two per multiply-add: of the blocks, of the rest."""
    h, w = c.grid
    tokens, dim, d = h * w, c.embed_dim, c.decoder_embed_dim
    linear = 2 * tokens * dim * dim * (4 + 2 * c.mlp_ratio)
    attention = 2 * tokens * tokens * dim * 2
    positions = 2 * tokens * dim * (h + w)
    canvases = c.depth + c.merge_after + 1  # two canvases up to the merge
    pixels = tokens * c.patch_size**2
    patches = 2 * (2 * pixels * 3 * dim)
    head = 2 * pixels * (4 * dim * d + 9 * d * d + 3 * d)
    return int(canvases * (linear + attention + positions)), patches + head


@pytest.mark.parametrize("config", [SMALL, replace(SMALL, merge_after=0, patch_size=16)])
def test_forward_flops_are_those_of_the_formula(config):
    assert sample_cost(config, "fp32").forward_flops == sum(by_hand(config))


def test_the_released_network_costs_what_the_documents_say():
    cost = sample_cost(MODELS["painter_vit_large"], "bf16")
    assert cost.forward_flops == sum(by_hand(MODELS["painter_vit_large"]))
    assert cost.forward_flops == pytest.approx(1.58e12, rel=0.01)
    assert cost.flops == pytest.approx(4.7e12, rel=0.02)
    assert cost.num_parameters == 370_721_155


@pytest.mark.parametrize("config", [SMALL, WINDOWS, JOINT], ids=["small", "windows", "joint"])
def test_backward_costs_twice_the_forward_less_the_gradient_of_pixels(config):
    cost = sample_cost(config, "bf16")
    pixels = 2 * 2 * 3 * config.img_size[0] * config.img_size[1] * config.embed_dim
    assert cost.flops == 3 * cost.forward_flops - pixels


def test_checkpointing_computes_the_blocks_again_and_keeps_less():
    plain, some, again = (
        sample_cost(replace(SMALL, checkpointing=way), "fp32") for way in ("auto", "selective", "full")
    )
    assert (plain.checkpointing, some.checkpointing, again.checkpointing) == ("none", "selective", "full")
    assert plain.forward_flops == some.forward_flops == again.forward_flops
    patches = 2 * (2 * SMALL.img_size[0] * SMALL.img_size[1] * 3 * SMALL.embed_dim)
    blocks, rest = by_hand(SMALL)
    again_all = blocks + rest - patches
    assert again.flops - plain.flops == pytest.approx(again_all, rel=0.1)  # a last layer may not be needed again
    assert 0 < some.flops - plain.flops < 0.5 * again_all
    assert again.saved_bytes < some.saved_bytes < plain.saved_bytes


def test_windows_cost_less_and_back_ends_the_same():
    windows = replace(SMALL, window_size=4, window_blocks=(0, 2))
    assert sample_cost(windows, "fp32").forward_flops < sample_cost(SMALL, "fp32").forward_flops
    costs = [sample_cost(replace(SMALL, attention=name), "fp32") for name in ("explicit", "sdpa")]
    assert costs[0].flops == costs[1].flops


def really_kept(config: PainterConfig, precision: str, num: int, device: torch.device = CPU) -> int:
    """Bytes of the distinct memory that a real forward pass keeps, without parameters: for autograd, or in Python."""
    model = Painter(config).train().to(device)
    others = {x.untyped_storage().data_ptr() for x in tensors()}
    found = {}

    def pack(x):
        found[x.untyped_storage().data_ptr()] = x  # alive, so that no other takes its address
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        loss = real_loss(model, precision, num, device)
    found |= {x.untyped_storage().data_ptr(): x for x in tensors()}
    kept = sum(x.untyped_storage().nbytes() for address, x in found.items() if address not in others)
    return kept - loss.nbytes


def tensors() -> list[torch.Tensor]:
    """All that Python knows, such as those that selective checkpointing keeps."""
    gc.collect()
    found = [x for x in gc.get_objects() if type(x) in (torch.Tensor, torch.nn.Parameter)]
    return [x for x in found if has_memory(x)]


def has_memory(x: torch.Tensor) -> bool:
    """Not those of compilers, which other tests may leave behind; nor random states, which are not estimated: 5 kB."""
    try:
        return x.device.type != "meta" and x.dtype != torch.uint8 and x.untyped_storage().nbytes() > 0
    except (NotImplementedError, RuntimeError):
        return False


def real_loss(model: Painter, precision: str, num: int, device: torch.device) -> torch.Tensor:
    images, targets, weight = (torch.rand(num, 3, *model.config.img_size, device=device) for _ in range(3))
    mask = torch.rand(num, *model.config.grid, device=device).round()
    with Precision(precision, device.type).autocast():
        pred = model(images, targets, mask)
    return masked_loss(pred, targets, mask, weight)


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
@pytest.mark.parametrize("attention", ["explicit", "sdpa"])
@pytest.mark.parametrize("config", [SMALL, WINDOWS, JOINT], ids=["small", "windows", "joint"])
def test_bytes_are_those_of_a_real_run(config, attention, precision):
    """In bf16 but for the statistics of one norm, of which tensors without data tell another dtype."""
    config = replace(config, attention=attention)
    cost = sample_cost(config, precision)
    for num in (2, 5):
        found = cost.shared_bytes + num * cost.saved_bytes
        assert found == pytest.approx(really_kept(config, precision, num), rel=0 if precision == "fp32" else 0.02)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device")
@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp32"])
@pytest.mark.parametrize("checkpointing", ["none", "selective", "full"])
def test_bytes_on_a_gpu_are_those_of_its_kernels(precision, checkpointing):
    config, device = replace(SMALL, checkpointing=checkpointing), torch.device("cuda")
    cost = sample_cost(config, precision, device)
    kept = really_kept(config, precision, 4, device)
    if checkpointing != "none":
        assert cost.saved_bytes * 4 > kept
    else:
        assert cost.shared_bytes + 4 * cost.saved_bytes == pytest.approx(kept, rel=0.05)


@pytest.mark.parametrize("way", ["selective", "full"])
@pytest.mark.parametrize("config", [SMALL, WINDOWS, JOINT], ids=["small", "windows", "joint"])
def test_checkpointing_keeps_what_a_real_run_keeps_and_a_part(config, way):
    """The part, a block or the head, is that which keeps most where nothing is computed again."""
    config = replace(config, checkpointing=way)
    cost, num = sample_cost(config, "fp32"), 5
    part = max(really_kept_by_parts(replace(config, checkpointing="none"), num))
    found = cost.shared_bytes + num * cost.saved_bytes
    assert found == pytest.approx(really_kept(config, "fp32", num) + part, abs=100)


def really_kept_by_parts(config: PainterConfig, num: int) -> tuple[int, int]:
    """As above, of the first block, which gets the tokens of both canvases, and of the head; with what they return."""
    model, (h, w), dim = Painter(config).train(), config.grid, config.embed_dim
    tokens = (num, h, 2 * w, dim) if config.merge_after is None else (2 * num, h, w, dim)

    def kept(function, size):
        x, found = torch.rand(size), {}
        others = {t.untyped_storage().data_ptr() for t in (x, *model.parameters())}
        with torch.autograd.graph.saved_tensors_hooks(lambda t: found.setdefault(id(t), t), lambda t: t):
            found[0] = function(x)
        sizes = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in found.values()}
        return sum(size for address, size in sizes.items() if address not in others)

    return kept(model.blocks[1 if config.window_blocks else 0], tokens), kept(model._paint, (num, h, w, 4 * dim))


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_a_cost(name):
    config = replace(MODELS[name], depth=4, embed_dim=MODELS[name].num_heads * 4, img_size=(128, 64))
    cost = sample_cost(config, "bf16")
    assert 0 < cost.forward_flops < cost.flops
    assert cost.saved_bytes > 0
    assert cost.num_parameters == sum(p.numel() for p in Painter(config).parameters())


def test_fp16_is_costed_on_any_machine():
    assert sample_cost(SMALL, "fp16") == sample_cost(SMALL, "bf16")


def test_measuring_draws_no_random_number():
    before = torch.get_rng_state()
    sample_cost(replace(SMALL, checkpointing="selective"), "bf16")
    matmul_rate(CPU, "fp32")
    assert torch.equal(torch.get_rng_state(), before)


def test_rate_is_that_of_a_plain_product():
    rate = matmul_rate(CPU, "fp32")
    x = torch.randn(1024, 1024)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        x @ x
        seconds.append(time.perf_counter() - start)
    assert 0.2 < rate * min(seconds) / (2 * 1024**3) < 5  # others use this machine too
