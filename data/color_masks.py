"""For each colour of a palette the mask of pixels near it, counted without painting the masks.

Distances are L1. Pixels are counted by distinct colour: a noisy 480 x 640 image has 10 000 to 100 000 of them.
"""

import itertools
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.palette import Palette

BOX = (32, 32, 16)  # edges of the boxes of colours whose overlaps are counted at once; smaller ones are too many


class Colors(NamedTuple):
    """The distinct colours of an image."""

    values: Tensor
    """(C, 3), int32"""
    counts: Tensor
    """(C,), pixels"""


def distinct(image: Tensor) -> Colors:
    """Of (H, W, 3) bytes."""
    r, g, b = image.reshape(-1, 3).int().unbind(dim=1)
    codes, counts = (r << 16 | g << 8 | b).sort().values.unique_consecutive(return_counts=True)
    return Colors(torch.stack([codes >> 16, codes >> 8 & 255, codes & 255], dim=1), counts)


def masks_near(image: Tensor, centers: Tensor, reach: int) -> Tensor:
    """(K, H, W) bool: pixels of (H, W, 3) bytes less than `reach` from each of the centres (K, 3)."""
    planes = image.flatten(0, 1).T.short().contiguous()
    masks = torch.empty(len(centers), planes.shape[1], dtype=torch.bool, device=image.device)
    for mask, center in zip(masks, centers, strict=True):
        mask.copy_(_near(center[None], planes, reach)[0])
    return masks.view(-1, *image.shape[:2])


def areas(palette: Palette, colors: Colors, reach: int) -> tuple[Tensor, Tensor]:
    """Of the mask of each palette colour: its pixels and the sum of their distances, (num,) float64, exact.

    The palette is a lattice. Between its planes the distance to a lattice point is linear in the colour, with a
    sign a channel: a histogram for each cell and choice of signs holds all that masks need to know.
    """
    steps, bases = (torch.tensor(x, device=colors.counts.device) for x in (palette.steps, palette.bases))
    below = 255 - colors.values
    digits = torch.minimum(below // steps, bases - 1)
    numbers, cell = _number(digits, palette).unique(return_inverse=True)
    corners = torch.stack(torch.unravel_index(numbers, palette.bases), dim=1)
    sums = torch.zeros(2, palette.num, dtype=torch.float64, device=below.device)
    for signs in itertools.product((1, -1), repeat=3):
        along = ((below - digits * steps) * below.new_tensor(signs)).sum(dim=1)
        counts, totals = _cumulated(along, cell, colors.counts)  # (cells, span)
        moves, limit = _moves(palette, signs, reach, int(along.min()), below.device)
        last = (limit - along.min() - 1).clamp(max=counts.shape[1] - 1)
        near = torch.stack([counts[:, last], totals[:, last] + (reach - limit) * counts[:, last]])
        points = corners[:, None] + moves  # (cells, moves, 3)
        inside = ((points >= 0) & (points < bases)).all(dim=2)
        sums.index_add_(1, _number(points, palette)[inside], near[:, inside])
    return sums[0], sums[1]


def _cumulated(along: Tensor, cell: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """For each cell, of the pixels whose `along` is so large or less: how many, and the sum of `along`."""
    low, high = int(along.min()), int(along.max())
    span = high - low + 1
    places = cell * span + along - low
    histogram = torch.bincount(places, weights.double(), (int(cell.max()) + 1) * span).view(-1, span)
    return histogram.cumsum(1), (histogram * torch.arange(low, high + 1, device=along.device)).cumsum(1)


def _moves(
    palette: Palette, signs: tuple[int, ...], reach: int, low: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Lattice points near a cell, as steps (M, 3) from its corner, and what `along` may not reach in their masks."""
    axes = [
        torch.arange(reach // step + 1).neg() if sign > 0 else torch.arange(1, reach // step + 2)
        for sign, step in zip(signs, palette.steps, strict=True)
    ]
    moves = torch.cartesian_prod(*axes)
    limit = reach - (moves.abs() * torch.tensor(palette.steps)).sum(dim=1)
    near = limit > low
    return moves[near].to(device), limit[near].to(device)


def overlaps(colors: Colors, centers: Tensor, reach: int) -> Tensor:
    """Pixels (K, K) that each two of the masks of `centers` (K, 3) share, exact.

    Few masks reach into any one box of colour space; its colours add a small matrix product.
    """
    exact = torch.float64 if centers.is_cuda or colors.counts.sum() > 1 << 24 else torch.float32  # no TF32
    edges = torch.tensor(BOX, device=centers.device)
    keys, order = (((colors.values // edges) << torch.tensor([16, 8, 0], device=edges.device)).sum(dim=1)).sort()
    keys, sizes = keys.unique_consecutive(return_counts=True)
    low = torch.stack([keys >> 16, keys >> 8 & 255, keys & 255], dim=1)[:, None] * edges
    near = torch.maximum(centers - low - edges + 1, low - centers).clamp(min=0).sum(dim=2) < reach  # (boxes, K)
    groups = zip(*(x[order].split(sizes.tolist()) for x in colors), near, strict=True)
    shared = torch.zeros(len(centers), len(centers), dtype=exact, device=centers.device)
    for values, counts, found in groups:
        index = found.nonzero()[:, 0]
        inside = _near(centers[index], values.T, reach).to(exact)  # (k, c)
        places = (index[:, None] * len(centers) + index).flatten()
        shared.view(-1).index_add_(0, places, ((inside * counts) @ inside.T).flatten())
    return shared


def _near(centers: Tensor, planes: Tensor, reach: int) -> Tensor:
    """Whether colours, three planes (3, C), are less than `reach` from centres (K, 3): (K, C) bool."""
    columns = centers.short().T[..., None]
    r, g, b = (column.sub(plane).abs_() for column, plane in zip(columns, planes.short().contiguous(), strict=True))
    return r.add_(g).add_(b) < reach


def _number(digits: Tensor, palette: Palette) -> Tensor:
    """Digits (..., 3) -> numbers."""
    return (digits[..., 0] * palette.bases[1] + digits[..., 1]) * palette.bases[2] + digits[..., 2]


def centers_of(index: NDArray[np.uint16], num: int) -> NDArray[np.float64]:
    """Mean row and column of each instance in an index map (H, W), (2, num); 0 of those it does not show.

    Counted by runs of equal pixels in a row: there are a hundred times fewer.
    """
    is_last = np.ones(index.shape, bool)
    np.not_equal(index[:, 1:], index[:, :-1], out=is_last[:, :-1])
    last = np.flatnonzero(is_last)
    length = np.diff(last, prepend=-1)
    row, column = divmod(last, index.shape[1])
    shown = index[row, column]
    pixels, rows, twice_columns = (
        np.bincount(shown, length * each, num + 1)[1:] for each in (1, row, 2 * column - length + 1)
    )
    return np.stack([rows, twice_columns / 2]) / pixels.clip(1)
