"""AdamW with layer-wise learning-rate decay, and the warm-up + half-cosine schedule."""

import math
import re
from collections import defaultdict
from typing import Any, Literal

from torch import Tensor
from torch.autograd.graph import increment_version
from torch.optim import AdamW

from models import Painter

Learn = Literal["all", "head"]
HEAD = ("norm.", "decoder_embed.", "decoder_pred.")  # after the blocks: no gradient has to pass through these


def lr_scale(name: str, depth: int, layer_decay: float) -> float:
    """decay^(depth + 1 - layer): layer 0 embeds patches and position, block i is layer i + 1, the rest the last."""
    block = re.match(r"blocks\.(\d+)\.", name)
    layer = depth + 1
    if name.startswith(("pos_embed", "patch_embed.")):
        layer = 0
    elif block:
        layer = int(block[1]) + 1
    return layer_decay ** (depth + 1 - layer)


def freeze(model: Painter, learn: Learn) -> None:
    """Let the parameters that do not learn have no gradients."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(learn == "all" or name.startswith(HEAD))


def parameter_groups(model: Painter, weight_decay: float, layer_decay: float) -> list[dict[str, Any]]:
    """Groups {"params", "names", "lr_scale", "weight_decay"}; no decay on 1-D parameters and pos_embed.

    Of what learns alone.
    """
    groups: defaultdict[tuple[float, float], dict[str, Any]] = defaultdict(lambda: {"params": [], "names": []})
    learning = ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)
    for name, parameter in learning:
        decay = 0.0 if parameter.ndim == 1 or name == "pos_embed" else weight_decay
        group = groups[lr_scale(name, model.config.depth, layer_decay), decay]
        group["params"].append(parameter)
        group["names"].append(name)
    return [{"lr_scale": scale, "weight_decay": decay, **group} for (scale, decay), group in groups.items()]


def make_optimizer(model: Painter, weight_decay: float, layer_decay: float, betas: tuple[float, float]) -> AdamW:
    """AdamW whose learning rate is set before each step by `set_lr`."""
    return AdamW(parameter_groups(model, weight_decay, layer_decay), lr=0.0, betas=betas, fused=True)


def step_if(optimizer: AdamW, allowed: Tensor) -> None:
    """Step if the flag `allowed`, (), is set; else weights and moments stay. The host need not know which."""
    optimizer.found_inf = (~allowed).float()  # type: ignore[attr-defined]  # as GradScaler does for fused optimisers
    optimizer.step()
    increment_version([parameter for group in optimizer.param_groups for parameter in group["params"]])  # it does not


def cosine_lr(step: float, warmup: float, total: float, base: float, floor: float) -> float:
    """Learning rate of a step counted from 0: linear from 0 to base, then half a cosine down to floor."""
    if step < warmup:
        return base * step / warmup
    if step >= total:
        return floor
    progress = (step - warmup) / (total - warmup)
    return floor + (base - floor) * 0.5 * (1 + math.cos(math.pi * progress))


def set_lr(optimizer: AdamW, lr: float) -> None:
    """Give each group its share of `lr`."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]
