"""What training costs, found without training: the real network and loss, run on tensors that hold no data.

Also the speed of this device in plain matrix products, to compare with.
"""

import time
from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal
from weakref import ReferenceType, ref

import torch
from torch import Tensor, UntypedStorage
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from engine.loss import masked_loss
from engine.optim import Learn, freeze
from engine.precision import DTYPES, Precision
from models import Painter, PainterConfig
from models.onednn import product

CPU = torch.device("cpu")
Way = Literal["none", "selective", "full"]


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
    """what is kept for the backward pass; with checkpointing, with what is computed again at once"""
    shared_bytes: int
    """what is kept once for all samples of a forward pass, such as weights in the precision of autocast"""
    num_parameters: int
    checkpointing: Way = "none"
    """the way for which this holds"""
    num_frozen: int = 0
    """parameters among all that do not learn"""


def sample_cost(config: PainterConfig, precision: str, device: torch.device = CPU, learn: Learn = "all") -> StepCost:
    """The cost of a sample; kernels, and so the bytes kept, depend on the device. Draws no random number."""
    way: Way = "none" if config.checkpointing == "auto" else config.checkpointing
    if config.attention == "flex":  # whose kernel is compiled for a device, and keeps less
        config = replace(config, attention="folded")
    is_fused = config.attention in ("sdpa", "folded") or (config.attention == "auto" and device.type != "cpu")
    repeated = way if way == "full" or not is_fused else "none"  # selective keeps what fused attention made
    forward, total, parameters, frozen = _count_flops(replace(config, checkpointing=repeated), learn)
    name = "bf16" if (precision, device.type) == ("fp16", "cpu") else precision  # as many bytes
    arithmetic = Precision(name, device.type)
    saved, _, shared, _ = _kept(config, arithmetic, device, learn)
    if way != "none":
        _, saved_part, _, shared_part = _kept(replace(config, checkpointing="none"), arithmetic, device, learn)
        saved, shared = saved + saved_part, shared + shared_part
    return StepCost(forward, total, saved, shared, parameters, way, frozen)


def matmul_rate(device: torch.device, precision: str) -> float:
    """FLOP/s of a product of square matrices, large enough to fill the device, as measured now."""
    side, seconds = 128, 0.0
    while side < 8192 and seconds < 5e-3:
        side *= 2
        seconds = _matmul_seconds(side, device, DTYPES[precision])
    return 2 * side**3 / seconds


@torch.no_grad()
def _matmul_seconds(side: int, device: torch.device, dtype: torch.dtype, tries: int = 5) -> float:
    """The best of some tries; the first may load a library."""
    x = torch.empty(side, side, device=device, dtype=dtype).normal_(generator=torch.Generator(device))
    best = float("inf")
    for _ in range(tries):
        _wait(device)
        start = time.perf_counter()
        product(x, x)
        _wait(device)
        best = min(best, time.perf_counter() - start)
    return best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _count_flops(config: PainterConfig, learn: Learn) -> tuple[int, int, int, int]:
    """FLOPs of a sample forward, and forward and backward; parameters, and those that do not learn."""
    with torch.device("meta"):
        model = Painter(replace(config, attention="explicit")).train()
    freeze(model, learn)
    with FlopCounterMode(display=False) as counter:
        loss = _loss(model, 1, torch.device("meta"))
        forward = counter.get_total_flops()
        loss.backward()
    frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    return forward, counter.get_total_flops(), sum(p.numel() for p in model.parameters()), frozen


class Alive(TorchDispatchMode):
    """Knows the memory of all tensors made inside, for as long as anyone keeps them."""

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[int, ReferenceType[UntypedStorage]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        storages = [x.untyped_storage() for x in tree_leaves(made) if isinstance(x, Tensor)]
        self.made |= {id(storage): ref(storage) for storage in storages}
        return made

    def num_bytes(self, without: Collection[int]) -> int:
        """Of all that lives, but for the storages of these ids."""
        living = (storage for name, storage in self.made.items() if name not in without)
        return sum(storage.nbytes() for reference in living if (storage := reference()) is not None)


def _kept(config: PainterConfig, precision: Precision, device: torch.device, learn: Learn) -> tuple[int, int, int, int]:
    """Bytes kept of each sample, in all and by the largest part, and the same of what samples share.

    The parts are those that checkpointing computes again one by one: the blocks and the head.
    """
    with torch.device("meta"):
        model = Painter(config).train()
    freeze(model, learn)
    with FakeTensorMode(allow_non_fake_inputs=True):
        model.to_empty(device=device)
        two, three = (_kept_of(model, num, precision, device) for num in (2, 3))  # a single one is laid out otherwise
    part = max(range(1, len(two)), key=three.__getitem__)
    return three[0] - two[0], three[part] - two[part], 3 * two[0] - 2 * three[0], 3 * two[part] - 2 * three[part]


def _kept_of(model: Painter, num: int, precision: Precision, device: torch.device) -> list[int]:
    """Bytes kept of `num` samples, parameters left out: in all, then by each part."""
    storages = [p.untyped_storage() for p in model.parameters()]
    parameters = {id(storage) for storage in storages}
    edges: list[int] = []
    with Alive() as alive:

        def note(*_: object) -> None:
            edges.append(alive.num_bytes(parameters))

        parts = [(block, block) for block in model.blocks] + [(model.decoder_embed, model.decoder_pred)]
        hooks = [first.register_forward_pre_hook(note) for first, _ in parts]
        hooks += [last.register_forward_hook(note) for _, last in parts]
        loss = _loss(model, num, device, precision)
        note()
    for hook in hooks:
        hook.remove()
    return [edges[-1] - loss.nbytes, *(end - begin for begin, end in zip(edges[:-1:2], edges[1:-1:2], strict=True))]


def _loss(model: Painter, num: int, device: torch.device, precision: Precision | None = None) -> Tensor:
    """The loss of `num` samples, as training computes it."""
    images, targets, weight = (torch.empty(num, 3, *model.config.img_size, device=device) for _ in range(3))
    mask = torch.empty(num, *model.config.grid, device=device)
    with precision.autocast() if precision else nullcontext():
        pred = model(images, targets, mask)
    return masked_loss(pred, targets, mask, weight)
