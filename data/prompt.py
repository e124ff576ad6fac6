"""The prompt's geometry, all of it: a canvas is a prompt half above a query half."""

import torch
from torch import Tensor

Grid = tuple[int, int]  # (h, w) in tokens


def stitch(prompt: Tensor, query: Tensor) -> Tensor:
    """(..., H, W) and (..., H, W) -> (..., 2H, W), the prompt on top."""
    return torch.cat((prompt, query), dim=-2)


def query_half(canvas: Tensor) -> Tensor:
    """The bottom half of (..., 2H, W)."""
    return canvas[..., canvas.shape[-2] // 2 :, :]


def half_mask(grid: Grid) -> Tensor:
    """(h, w) bool, the query half hidden: the mask of inference, and of some training samples."""
    mask = torch.zeros(grid, dtype=torch.bool)
    query_half(mask)[:] = True
    return mask
