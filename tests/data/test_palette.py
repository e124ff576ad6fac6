"""Palettes: distinct colours inside a byte, and the nearest one found digit by digit as by trying them all."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data.palette import Palette
from data.tasks import SOURCES

PALETTES = {
    "ade20k": Palette.of_base(150, 6),
    "coco": Palette.of_base(133, 7),
    "pose": Palette.of_base(17, 5, channels=2),
    "instances": Palette(6400, (16, 20, 20), (15, 13, 13)),
    "one": Palette.of_base(1, 6),
    "whole": Palette.of_base(27, 3),
}
DISTANCES = {"abs": lambda d: d, "square": lambda d: d**2, "mean": lambda d: d + d**2}


@pytest.mark.parametrize("palette", PALETTES.values(), ids=PALETTES)
def test_colours_are_distinct_and_never_black(palette):
    assert palette.colors.shape == (palette.num, len(palette.bases))
    assert palette.colors.dtype == np.uint8
    assert len(np.unique(palette.colors, axis=0)) == palette.num
    assert palette.colors.max(axis=1).min() > 0


def test_colours_count_down_from_white_by_digits():
    assert PALETTES["ade20k"].colors[[0, 1, 6, 36, 149]].tolist() == [
        [255, 255, 255],
        [255, 255, 213],
        [255, 213, 255],
        [213, 255, 255],
        [255 - 4 * 42, 255, 255 - 5 * 42],
    ]
    assert PALETTES["coco"].colors[132].tolist() == [255 - 2 * 36, 255 - 4 * 36, 255 - 6 * 36]
    assert PALETTES["pose"].colors[16].tolist() == [255 - 3 * 51, 255 - 51]


def by_trying_all(palette: Palette, image: np.ndarray, distance: str) -> tuple[np.ndarray, np.ndarray]:
    """The number of the nearest colour and its distance; arg min takes the first of equals."""
    d = np.abs(image[..., None, :].astype(np.int64) - palette.colors)
    total = DISTANCES[distance](d).sum(axis=-1)
    return total.argmin(axis=-1), total.min(axis=-1)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("palette", PALETTES.values(), ids=PALETTES)
def test_nearest_is_found_as_by_trying_all(palette, distance):
    rng = np.random.default_rng(0)
    near = palette.colors[rng.integers(palette.num, size=300)] + rng.integers(-25, 26, (300, len(palette.bases)))
    anywhere = rng.integers(0, 256, (300, len(palette.bases)))
    corners = np.stack(np.meshgrid(*[[0, 255, 234, 237]] * len(palette.bases)), -1).reshape(-1, len(palette.bases))
    image = np.concatenate([near.clip(0, 255), anywhere, corners]).astype(np.uint8)
    number, found = palette.nearest(torch.from_numpy(image), distance)
    expected, least = by_trying_all(palette, image, distance)
    np.testing.assert_array_equal(number, expected)
    np.testing.assert_array_equal(found, least)


@given(st.data())
def test_noise_below_half_a_step_changes_no_number(data):
    palette = PALETTES[data.draw(st.sampled_from(sorted(PALETTES)))]
    number = data.draw(st.integers(0, palette.num - 1))
    noise = [data.draw(st.integers(-((step - 1) // 2), (step - 1) // 2)) for step in palette.steps]
    color = (palette.colors[number] + np.array(noise)).clip(0, 255).astype(np.uint8)
    assert palette.nearest(torch.from_numpy(color))[0] == number


def test_any_shape_keeps_its_shape():
    number, distance = PALETTES["coco"].nearest(torch.zeros(2, 5, 4, 3, dtype=torch.uint8))
    assert number.shape == distance.shape == (2, 5, 4)
    assert number.dtype == distance.dtype == torch.int32


def test_the_tasks_use_these_palettes():
    assert SOURCES["ade20k_semantic"].palette == PALETTES["ade20k"]
    assert SOURCES["coco_semantic"].palette == PALETTES["coco"]
