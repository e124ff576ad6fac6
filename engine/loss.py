"""The masked regression loss, paper section 3.3: per pixel, on normalised values, on the hidden part."""

from typing import Literal, NamedTuple

import torch.nn.functional as F
from torch import Tensor

from util.image import denormalize

LOSSES = {
    "smoothl1": lambda pred, target: F.smooth_l1_loss(pred, target, reduction="none", beta=0.01),
    "l1": lambda pred, target: (pred - target).abs(),
    "l2": lambda pred, target: (pred - target).square(),
    "l1l2": lambda pred, target: ((pred - target).abs() + (pred - target).square()) * 0.5,
}

Kind = Literal["smoothl1", "l1", "l2", "l1l2"]


class Loss(NamedTuple):
    """What is minimised."""

    kind: Kind = "smoothl1"
    darkest: float = 300.0
    """a sample whose visible target, of values in 0..1, sums to less counts nothing: it is black and shows no task"""


RELEASED = Loss()  # that of the released model


def masked_loss(pred: Tensor, target: Tensor, mask: Tensor, weight: Tensor, loss: Loss = RELEASED) -> Tensor:
    """Weighted mean over the hidden pixels: sum(l * mask * weight) / (sum(mask * weight) + 0.01)."""
    return mean_error(*weighted_error(pred, target, mask, weight, loss))


def mean_error(error: Tensor, weight: Tensor) -> Tensor:
    """The loss of what `weighted_error` returns."""
    return error.sum() / (weight.sum() + 1e-2)


def weighted_error(
    pred: Tensor, target: Tensor, mask: Tensor, weight: Tensor, loss: Loss = RELEASED
) -> tuple[Tensor, Tensor]:
    """l * mask * weight and mask * weight of each value, (N, 3, H, W).

    pred, target, weight: (N, 3, H, W), the first two normalised. mask: (N, h, w) tokens, non-zero = hidden.
    """
    hidden = F.interpolate(mask[:, None].float(), size=pred.shape[-2:], mode="nearest")  # (N, 1, H, W)
    visible = (denormalize(target) * (1 - hidden)).sum(dim=(1, 2, 3))
    weight = hidden * weight * (visible >= loss.darkest)[:, None, None, None]
    return LOSSES[loss.kind](pred.float(), target.float()) * weight, weight
