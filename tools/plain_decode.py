"""Decoding spelled out: every pixel against every colour, every mask drawn. Slow; the fast ways must equal it."""

import torch
from torch import Tensor

from data.palette import Palette
from data.tasks.instance import Instances


def semantic(palette: Palette, image: Tensor) -> Tensor:
    """(H, W, 3) bytes -> the number of the nearest colour of each pixel (H, W)."""
    colors = torch.from_numpy(palette.colors).float()
    return torch.stack([_distance(image, color) for color in colors]).argmin(dim=0)


def instances(palette: Palette, image: Tensor, dist_thr: float = 19) -> Instances:
    """(H, W, 3) bytes -> at most 100 instances: threshold, the 2000 best masks, matrix NMS."""
    masks, means = [], []
    for color in torch.from_numpy(palette.colors).float():
        distance = _distance(image, color)
        mask = distance < 3 * dist_thr
        if mask.any():
            masks.append(mask)
            means.append(distance[mask].double().mean() / 3)
    if not masks:
        return Instances(torch.zeros(1, *image.shape[:2], dtype=torch.bool), torch.zeros(1))
    order = torch.stack(means).argsort(stable=True)[:2000].tolist()
    mean = torch.stack([means[i] for i in order])
    scores = _suppress(torch.stack([masks[i].flatten() for i in order]).float(), 1 - mean / mean[-1].clamp(min=1))
    best = scores.argsort(descending=True, stable=True)[:100]
    return Instances(torch.stack([masks[order[i]] for i in best.tolist()]), scores[best].float())


def _distance(image: Tensor, color: Tensor) -> Tensor:
    """L1, (H, W)."""
    return (image.float() - color).abs().sum(dim=-1)


def _suppress(masks: Tensor, scores: Tensor) -> Tensor:
    """Gaussian matrix NMS, sigma 2, of flat masks (N, H * W) sorted best first."""
    shared = masks @ masks.T
    areas = masks.sum(dim=1)
    iou = (shared / (areas[:, None] + areas - shared)).triu(1).double()
    decay = (-2 * iou**2).exp() / (-2 * iou.amax(dim=0)[:, None] ** 2).exp()
    return scores * decay.amin(dim=0)
