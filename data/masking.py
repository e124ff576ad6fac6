"""Block-wise random masks with an exact number of hidden tokens (paper, section 3.3; BEiT's scheme)."""

import math

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from data.prompt import Grid

LOG_ASPECT = math.log(0.3)  # a block's log aspect ratio is uniform in +-this
ATTEMPTS = 10  # to place a block before giving up


def block_mask(grid: Grid, num_hidden: int, block_size: tuple[int, int], rng: Generator) -> Tensor:
    """(h, w) bool with exactly num_hidden tokens hidden, in blocks of block_size (least, most) tokens.

    A block counts what it newly hides; where no more block fits, random tokens complete the count.
    """
    mask = np.zeros(grid, dtype=bool)
    while (left := num_hidden - int(mask.sum())) > 0 and _add_block(mask, min(left, block_size[1]), block_size[0], rng):
        pass
    left = num_hidden - int(mask.sum())
    mask.flat[rng.choice(np.flatnonzero(~mask), left, replace=False)] = True
    return torch.from_numpy(mask)


def _add_block(mask: NDArray[np.bool_], most: int, least: int, rng: Generator) -> bool:
    """Hide one more block with 1..most new tokens; False if no attempt succeeds."""
    for _ in range(ATTEMPTS):
        area = rng.uniform(min(least, most), max(least, most))
        aspect = math.exp(rng.uniform(LOG_ASPECT, -LOG_ASPECT))
        h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if h >= mask.shape[0] or w >= mask.shape[1]:
            continue
        top, left = rng.integers(mask.shape[0] - h + 1), rng.integers(mask.shape[1] - w + 1)
        block = mask[top : top + h, left : left + w]
        if 0 < (~block).sum() <= most:
            block[:] = True
            return True
    return False
