"""Masks: the exact count whatever the grid, and BEiT's blocks, compared with a plain restatement of them."""

import math
import random

import numpy as np
import pytest
import torch
from scipy import ndimage

from data.masking import block_mask
from data.prompt import half_mask, query_half, stitch

CANVAS, HIDDEN, BLOCKS = (56, 28), 784, (16, 392)


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def beit_mask(grid, num_hidden, block_size, source: random.Random) -> np.ndarray:
    """BEiT's masking, cell by cell, as its paper's algorithm 1 and code have it."""
    hidden: set[tuple[int, int]] = set()
    while len(hidden) < num_hidden:
        most, new = min(num_hidden - len(hidden), block_size[1]), set()
        for _ in range(10):
            area = source.uniform(block_size[0], most)
            aspect = math.exp(source.uniform(math.log(0.3), math.log(1 / 0.3)))
            h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if h < grid[0] and w < grid[1]:
                top, left = source.randint(0, grid[0] - h), source.randint(0, grid[1] - w)
                new = {(y, x) for y in range(top, top + h) for x in range(left, left + w)} - hidden
                if 0 < len(new) <= most:
                    break
                new = set()
        if not new:
            break
        hidden |= new
    visible = [(y, x) for y in range(grid[0]) for x in range(grid[1]) if (y, x) not in hidden]
    hidden |= set(source.sample(visible, num_hidden - len(hidden)))
    mask = np.zeros(grid, bool)
    mask[tuple(zip(*hidden, strict=True))] = True
    return mask


@pytest.mark.parametrize("grid", [(56, 28), (28, 14), (14, 14), (8, 4), (5, 40), (3, 3)])
@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.75, 0.9])
def test_the_count_is_exact(grid, ratio):
    num_hidden = int(ratio * grid[0] * grid[1])
    for seed in range(15):
        mask = block_mask(grid, num_hidden, BLOCKS, rng(seed))
        assert mask.dtype == torch.bool
        assert mask.shape == grid
        assert mask.sum() == num_hidden


@pytest.mark.parametrize("grid", [(1, 1), (1, 9), (9, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize("block_size", [(1, 1), (1, 1000), (16, 392), (1000, 2000)])
def test_degenerate_grids_end_with_the_exact_count(grid, block_size):
    for num_hidden in range(grid[0] * grid[1] + 1):
        assert block_mask(grid, num_hidden, block_size, rng(num_hidden)).sum() == num_hidden


def test_same_seed_same_mask():
    first, again, other = (block_mask(CANVAS, HIDDEN, BLOCKS, rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def statistics(masks: list[np.ndarray]) -> dict[str, np.ndarray]:
    """What distinguishes block masks: where they hide, in how many pieces, how ragged, how stretched."""
    stack = np.stack(masks).astype(float)
    pieces = [ndimage.label(mask)[1] for mask in masks]
    return {
        "row": stack.mean((0, 2)),
        "column": stack.mean((0, 1)),
        "pieces": np.array([np.mean(pieces)]),
        "rough": np.array([np.abs(np.diff(stack, axis=axis)).mean() for axis in (1, 2)]),
        "spread": np.array([stack.mean(axis).std() for axis in (1, 2)]),
        "full": np.array([stack.all(axis).mean() for axis in (1, 2)]),
    }


@pytest.mark.parametrize(
    ("grid", "num_hidden", "block_size", "num"),
    [(CANVAS, HIDDEN, BLOCKS, 1000), ((14, 14), 98, (16, 49), 2000), ((8, 4), 16, (4, 12), 4000)],
)
def test_blocks_are_distributed_as_in_beit(grid, num_hidden, block_size, num):
    generator, source = rng(7), random.Random(8)
    ours = statistics([block_mask(grid, num_hidden, block_size, generator).numpy() for _ in range(num)])
    beit = statistics([beit_mask(grid, num_hidden, block_size, source) for _ in range(num)])
    tolerance = {"row": 0.05, "column": 0.03, "rough": 0.003, "spread": 0.005, "full": 0.008}
    for name, bound in tolerance.items():
        np.testing.assert_allclose(ours[name], beit[name], rtol=0, atol=bound, err_msg=name)
    np.testing.assert_allclose(ours["pieces"], beit["pieces"], rtol=0.03)


def test_half_mask_hides_exactly_the_query():
    mask = half_mask((4, 3))
    assert mask.tolist() == [[False] * 3] * 2 + [[True] * 3] * 2
    canvas = stitch(torch.zeros(3, 2, 3), torch.ones(3, 2, 3))
    assert torch.equal(canvas.bool()[0], mask)
    assert torch.equal(query_half(canvas), torch.ones(3, 2, 3))
