"""Draws: a pure function of (seed, step), dealt to ranks without loss or overlap, sources by weight."""

from collections import Counter
from operator import attrgetter

import numpy as np
import pytest

from data.sampler import Draw, TrainSampler, ValSampler

SIZES, WEIGHTS = (5, 1, 40, 27), (0.1, 0.2, 0.15, 0.05)
SEED = attrgetter("seed")


def sampler(
    steps: range = range(3), rank: int = 0, world: int = 1, accumulation: int = 12, seed: int = 0
) -> TrainSampler:
    return TrainSampler(SIZES, WEIGHTS, seed, 2, accumulation, rank, world, steps)


def per_step(one: TrainSampler) -> list[list[Draw]]:
    draws = list(one)
    assert len(draws) == len(one)
    count = one.accumulation * one.micro_batch
    return [draws[i : i + count] for i in range(0, len(draws), count)]


def test_same_arguments_same_draws():
    assert list(sampler()) == list(sampler())
    assert list(sampler(seed=1)) != list(sampler())


def test_draws_of_one_run_have_different_seeds():
    seeds = [draw.seed for draw in sampler(range(50))]
    streams = [tuple(np.random.default_rng(seed).integers(0, 2**62, 2)) for seed in seeds]
    assert len(set(streams)) == len(seeds) == 50 * 24


def test_no_draw_shares_the_stream_that_chose_the_batch():
    """NumPy pads a seed with zeros: (seed, step) and (seed, step, 0) are one stream."""
    for step in range(3):
        chooser = np.random.default_rng((0, step)).integers(0, 2**62)
        assert all(
            np.random.default_rng(draw.seed).integers(0, 2**62) != chooser for draw in sampler().global_batch(step)
        )


@pytest.mark.parametrize(("world", "accumulation"), [(1, 12), (2, 6), (3, 4), (4, 3), (6, 2), (12, 1)])
def test_ranks_partition_the_same_global_batch(world, accumulation):
    ranks = [per_step(sampler(rank=rank, world=world, accumulation=accumulation)) for rank in range(world)]
    for step, whole in enumerate(per_step(sampler())):
        dealt = [draw for rank in ranks for draw in rank[step]]
        assert sorted(dealt, key=SEED) == whole
        assert len({draw.seed for draw in dealt}) == 24
        for micro in range(accumulation):  # forward pass by forward pass, in the order of one rank alone
            together = [draw for rank in ranks for draw in rank[step][2 * micro : 2 * micro + 2]]
            assert together == whole[2 * micro * world : 2 * (micro + 1) * world]


@pytest.mark.parametrize("done", [1, 4, 9])
def test_a_resumed_run_draws_the_tail(done):
    whole = per_step(sampler(range(10), rank=1, world=3, accumulation=4))
    assert per_step(sampler(range(done, 10), rank=1, world=3, accumulation=4)) == whole[done:]


def test_sources_come_by_weight_and_their_pairs_alike():
    num, starts, shares = 24 * 1000, np.cumsum((0, *SIZES)), np.divide(WEIGHTS, sum(WEIGHTS))
    drawn = Counter(draw.index for draw in sampler(range(1000)))
    assert set(drawn) == set(range(sum(SIZES)))
    expected = np.repeat(num * shares / SIZES, SIZES)
    chi_square = sum((drawn[i] - mean) ** 2 / mean for i, mean in enumerate(expected))
    assert chi_square < sum(SIZES) + 4 * np.sqrt(2 * sum(SIZES))
    for start, size, share in zip(starts, SIZES, shares, strict=False):
        assert sum(drawn[i] for i in range(start, start + size)) / num == pytest.approx(share, abs=0.012)


@pytest.mark.parametrize("world", [1, 2, 3, 7, 20])
@pytest.mark.parametrize("num", [1, 6, 13])
def test_validation_takes_each_index_once(world, num):
    ranks = [ValSampler(range(num), 5, rank, world) for rank in range(world)]
    drawn = [draw for rank in ranks for draw in rank]
    assert [len(list(rank)) for rank in ranks] == [len(rank) for rank in ranks]
    assert sorted(draw.index for draw in drawn) == list(range(num))
    assert sorted(drawn, key=SEED) == list(ValSampler(range(num), 5, 0, 1))  # the same partners for any world
    assert len({draw.seed for draw in drawn}) == num
