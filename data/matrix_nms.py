"""Matrix NMS (SOLOv2, section 3.3): scores decay, all at once, with the overlap with better masks."""

from typing import Literal

import torch
from torch import Tensor

Kernel = Literal["gaussian", "linear"]


def matrix_nms(
    masks: Tensor,
    labels: Tensor,
    scores: Tensor,
    kernel: Kernel = "gaussian",
    sigma: float = 2.0,
    max_num: int = -1,
    nms_pre: int = -1,
    filter_thr: float = -1,
) -> tuple[Tensor, Tensor]:
    """Masks (N, H, W), labels and scores (N,) -> indices of those kept, best first, and their decayed scores.

    Only masks of one label compete. `nms_pre`, `max_num`: how many go in and come out; `filter_thr`: the least
    decayed score; -1: no limit. Ties keep their order.
    """
    order = scores.argsort(descending=True, stable=True)[: nms_pre if nms_pre > 0 else None]
    flat = masks[order].flatten(1).double()  # counts stay exact
    overlap = iou(flat @ flat.T, flat.sum(dim=1))
    alike = labels[order, None] == labels[order]
    decayed = scores[order] * decay(overlap * alike, kernel, sigma).to(scores.dtype)
    left = (decayed >= filter_thr).nonzero()[:, 0] if filter_thr > 0 else torch.arange(len(order), device=order.device)
    best = left[decayed[left].argsort(descending=True, stable=True)][: max_num if max_num > 0 else None]
    return order[best], decayed[best]


def iou(shared: Tensor, areas: Tensor) -> Tensor:
    """Pixels (N, N) that masks share, and their areas (N,) -> intersection over union (N, N); 0 of empty masks."""
    return shared / (areas[:, None] + areas).sub_(shared).clamp_(min=1)


def decay(overlap: Tensor, kernel: Kernel = "gaussian", sigma: float = 2.0) -> Tensor:
    """The share (N,) of each score that is left, from IoUs (N, N) of masks sorted best first.

    A better mask counts the less, the more it is itself covered by one better still.
    """
    if not len(overlap):
        return overlap.new_ones(0)
    overlap = overlap.triu(1)  # of i with a worse j
    if kernel == "linear":
        covered = overlap.amax(dim=0)[:, None]
        return ((1 - overlap) / (1 - covered)).masked_fill(covered == 1, torch.inf).amin(dim=0)
    square = overlap.square_()
    covered = square.amax(dim=0)[:, None]
    return (-sigma * square.sub_(covered).amax(dim=0)).exp()
