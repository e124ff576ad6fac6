"""What training costs, found without training: the real network and loss, run on tensors that hold no data.

Also the speed of this device in plain matrix products, to compare with.
"""

import time
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from engine.loss import masked_loss
from engine.precision import DTYPES, Precision
from models import Painter, PainterConfig

CPU = torch.device("cpu")


@dataclass(frozen=True)
class StepCost:
    """What one sample costs in training.

    FLOPs are those of matrix products and convolutions, a multiply-add being two; all else is not counted.
    Attention is counted as written out: a fused kernel may compute its scores once more in the backward pass.
    """

    forward_flops: float
    flops: float
    """of forward and backward pass; with checkpointing, of what is computed again too"""
    saved_bytes: int
    """what autograd keeps for the backward pass; with checkpointing, with the largest block's while it is recomputed"""
    shared_bytes: int
    """what it keeps once for all samples of a forward pass, such as weights in the precision of autocast"""
    num_parameters: int


def sample_cost(config: PainterConfig, precision: str, device: torch.device = CPU) -> StepCost:
    """The cost of a sample; kernels, and so the bytes kept, depend on the device. Draws no random number."""
    forward, total, parameters = _count_flops(config)
    name = "bf16" if (precision, device.type) == ("fp16", "cpu") else precision  # as many bytes
    arithmetic = Precision(name, device.type)
    saved, _, shared, _ = _kept(config, arithmetic, device)
    if config.checkpointing:
        _, saved_block, _, shared_block = _kept(replace(config, checkpointing=False), arithmetic, device)
        saved, shared = saved + saved_block, shared + shared_block
    return StepCost(forward, total, saved, shared, parameters)


def matmul_rate(device: torch.device, precision: str) -> float:
    """FLOP/s of a product of square matrices, large enough to fill the device, as measured now."""
    side, seconds = 128, 0.0
    while side < 8192 and seconds < 5e-3:
        side *= 2
        seconds = _matmul_seconds(side, device, DTYPES[precision])
    return 2 * side**3 / seconds


def _matmul_seconds(side: int, device: torch.device, dtype: torch.dtype, tries: int = 5) -> float:
    """The best of some tries; the first may load a library."""
    x = torch.empty(side, side, device=device, dtype=dtype).normal_(generator=torch.Generator(device))
    best = float("inf")
    for _ in range(tries):
        _wait(device)
        start = time.perf_counter()
        x @ x
        _wait(device)
        best = min(best, time.perf_counter() - start)
    return best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _count_flops(config: PainterConfig) -> tuple[int, int, int]:
    """FLOPs of a sample forward, and forward and backward; parameters."""
    with torch.device("meta"):
        model = Painter(replace(config, attention="explicit")).train()
    with FlopCounterMode(display=False) as counter:
        loss = _loss(model, 1, torch.device("meta"))
        forward = counter.get_total_flops()
        loss.backward()
    return forward, counter.get_total_flops(), sum(p.numel() for p in model.parameters())


def _kept(config: PainterConfig, precision: Precision, device: torch.device) -> tuple[int, int, int, int]:
    """Bytes autograd keeps of each sample, in all and of the largest block, and the same of what samples share."""
    with torch.device("meta"):
        model = Painter(config).train()
    with FakeTensorMode(allow_non_fake_inputs=True):
        model.to_empty(device=device)
        two, three = (_kept_of(model, num, precision, device) for num in (2, 3))  # a single one is laid out otherwise
    return three[0] - two[0], three[1] - two[1], 3 * two[0] - 2 * three[0], 3 * two[1] - 2 * three[1]


def _kept_of(model: Painter, num: int, precision: Precision, device: torch.device) -> tuple[int, int]:
    """Bytes autograd keeps of `num` samples, parameters left out: in all, and of the block that keeps most."""
    parameters = {id(p.untyped_storage()): p.untyped_storage() for p in model.parameters()}
    found = dict(parameters)
    edges: list[int] = []

    def pack(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        found[id(storage)] = storage
        return x

    def note(*_: object) -> None:
        edges.append(sum(storage.nbytes() for storage in found.values()))

    hooks = [block.register_forward_pre_hook(note) for block in model.blocks]
    hooks += [block.register_forward_hook(note) for block in model.blocks]
    note()
    with saved_tensors_hooks(pack, lambda x: x):
        _loss(model, num, device, precision)
    note()
    for hook in hooks:
        hook.remove()
    blocks = [after - before for before, after in zip(edges[1:-1:2], edges[2:-1:2], strict=True)]
    return edges[-1] - edges[0], max(blocks)


def _loss(model: Painter, num: int, device: torch.device, precision: Precision | None = None) -> Tensor:
    """The loss of `num` samples, as training computes it."""
    images, targets, weight = (torch.empty(num, 3, *model.config.img_size, device=device) for _ in range(3))
    mask = torch.empty(num, *model.config.grid, device=device)
    with precision.autocast() if precision else nullcontext():
        pred = model(images, targets, mask)
    return masked_loss(pred, targets, mask, weight)
