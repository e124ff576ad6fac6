"""The loader against loading spelled out: from the same draws the same canvases, to the last bit."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import default_collate

from data.canvas import finish
from data.pair_dataset import MaskConfig, PairDataset
from data.pairs import read_pairs
from data.sampler import Draw
from data.tasks import TASKS
from data.transforms import AugmentConfig
from tools import plain_loader
from tools.speed_world import KINDS, write_pairs

CANVAS, GRID = (96, 48), (12, 6)
MASK = MaskConfig(half_ratio=0.2, block_size=(4, 30))
RESTATED = tuple(name for name in TASKS if "normals" not in name)  # the ninth task is not plain to read


def check(dataset: PairDataset, draws: list[Draw]) -> None:
    ours, plain = finish(default_collate([dataset[draw] for draw in draws])), plain_loader.batch(dataset, draws)
    for name, found, expected in zip(ours._fields, ours, plain, strict=True):
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected), name


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("name", RESTATED)
def test_files_become_the_same_canvases(tiny_root, name, train):
    pairs = read_pairs([tiny_root], f"{name}.json")
    check(PairDataset([tiny_root], pairs, CANVAS, GRID, MASK, train), [Draw(i % 3, (i, 5)) for i in range(10)])


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_photographs_become_the_same_canvases(tmp_path, kind, train):
    pairs = write_pairs(tmp_path, kind, 2, size=(120, 160))
    check(PairDataset([tmp_path], pairs, CANVAS, GRID, MASK, train), [Draw(i % 2, (i, 6)) for i in range(6)])


@pytest.mark.parametrize("jitter", [0, 1])
@pytest.mark.parametrize("interp", ["nearest", "bicubic"])
def test_options_are_obeyed_alike(tiny_root, jitter, interp):
    name, config = "derain_image2derain", AugmentConfig((0.5, 0.9), jitter, flip=0.8)
    pairs = read_pairs([tiny_root], f"{name}.json")
    dataset = PairDataset([tiny_root], pairs, CANVAS, GRID, MASK, True, config, {name: interp})
    check(dataset, [Draw(i % 3, (i, 7)) for i in range(8)])


def test_photographs_are_shown_as_stored_whatever_their_orientation_tag_says(tmp_path):
    pairs = write_pairs(tmp_path, "ade20k_semantic", 1, size=(120, 160))
    path = tmp_path / pairs[0].image_path
    image = Image.open(path)
    (exif := image.getexif())[0x0112] = 6  # a quarter turn
    image.save(path, exif=exif, quality=95)
    dataset = PairDataset([tmp_path], pairs, CANVAS, GRID, MASK, False)
    check(dataset, [Draw(0, (0,))])
    shown = dataset[Draw(0, (0,))].image[:, :48].permute(1, 2, 0).numpy()
    expected = np.array(Image.open(path).resize((48, 48), Image.Resampling.BICUBIC))
    assert np.abs(shown.astype(int) - expected).max() <= 2
