"""Real files of every source: the paper's lists are read, every pair becomes a sample, the weights make sense."""

from pathlib import Path

import pytest
import torch
from torch.utils.data import default_collate

from configs.sources import EIGHT_SOURCES
from data.canvas import finish
from data.pair_dataset import MaskConfig, PairDataset
from data.pairs import Pair, check_files, read_pairs
from data.prompt import half_mask
from data.sampler import Draw
from util.image import denormalize

CANVAS, GRID = (896, 448), (56, 28)
Lists = dict[tuple[str, str], list[Pair]]


@pytest.fixture(scope="module")
def lists(samples: tuple[Path, ...]) -> Lists:
    """By source and split."""
    return {
        (name, split): read_pairs(samples, path)
        for name, source in EIGHT_SOURCES.items()
        for split, path in (("train", source.train), ("val", source.val))
        if path
    }


def test_every_list_is_whole(samples, lists):
    assert len(lists) == 16
    for pairs in lists.values():
        check_files(samples, pairs)


@pytest.mark.parametrize("source", EIGHT_SOURCES)
@pytest.mark.parametrize("split", ["train", "val"])
def test_every_pair_becomes_a_sample(samples, lists, source, split):
    pairs, train = lists[source, split], split == "train"
    dataset = PairDataset(samples, pairs, CANVAS, GRID, MaskConfig(half_ratio=0), train)
    for index in range(len(pairs)):
        sample = dataset[Draw(index, (0, index))]
        image, target, mask, weight = (x[0] for x in finish(default_collate([sample])))
        assert image.shape == target.shape == weight.shape == (3, *CANVAS)
        assert mask.sum() == 784
        assert torch.equal(mask, half_mask(GRID)) != train
        assert image.isfinite().all()
        assert 0.01 < denormalize(image).mean() < 0.95
        check_weight(sample.type, denormalize(target), weight)


def check_weight(pair_type: str, target: torch.Tensor, weight: torch.Tensor) -> None:
    """The share of values that count is what the labels of this type have."""
    share = weight.count_nonzero() / weight.numel()
    if "depth" in pair_type:
        assert 0.4 < share < 0.95  # unmeasured pixels
        assert torch.equal(*weight[:2])  # gray
    elif "semantic" in pair_type or "sem_seg" in pair_type:
        assert 0.5 < share <= 1
    elif "pose" in pair_type:
        assert set(weight.unique().tolist()) == {1, 10}
        assert 0.002 < (weight == 10).float().mean() < 0.3
    else:
        assert torch.equal(weight, torch.ones_like(weight))
    assert weight[target > 1e-3].min() >= 1
