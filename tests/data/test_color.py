"""Colour jitter: strengths, order, and every byte as Pillow's enhancers and HSV conversions make it."""

import colorsys

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from data import color
from data.color import jitter_color, shift_hue


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def picture(*values: int) -> np.ndarray:
    return np.broadcast_to(np.array(values, np.uint8)[:, None, None], (3, 8, 8)).copy()


def noise(size: tuple[int, int]) -> np.ndarray:
    return rng(0).integers(0, 256, (3, *size), dtype=np.uint8)


@pytest.fixture(scope="module")
def every_color() -> np.ndarray:
    """All 256^3, (3, 4096, 4096)."""
    numbers = np.arange(1 << 24, dtype=np.uint32).reshape(4096, 4096)
    return np.stack([numbers >> 16, numbers >> 8 & 255, numbers & 255]).astype(np.uint8)


def pillow(image: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))


def pillow_hue(image: Image.Image, turn: float) -> Image.Image:
    """As torchvision turns it."""
    h, s, v = image.convert("HSV").split()
    turned = np.array(h) + np.array(int(turn * 255)).astype(np.uint8)
    return Image.merge("HSV", (Image.fromarray(turned), s, v)).convert("RGB")


def enhanced(kind):
    return lambda image, factor: kind(image).enhance(factor)


PILLOWS = {
    "brighten": (enhanced(ImageEnhance.Brightness), (0.6, 0.9137, 1, 1.4)),
    "stretch_contrast": (enhanced(ImageEnhance.Contrast), (0.6, 0.9137, 1, 1.4)),
    "saturate": (enhanced(ImageEnhance.Color), (0.8, 0.9137, 1, 1.2)),
    "shift_hue": (pillow_hue, (-0.1, 0, 0.0731)),
}


@pytest.mark.parametrize("name", PILLOWS)
def test_every_color_becomes_what_pillow_makes_of_it(every_color, name):
    reference, amounts = PILLOWS[name]
    for amount in amounts:
        found, expected = getattr(color, name)(every_color, amount), reference(pillow(every_color), amount)
        np.testing.assert_array_equal(found.transpose(1, 2, 0), expected)


@pytest.mark.parametrize("mean", [0, 0.4, 0.5, 0.6, 254.5, 255])
def test_the_mean_gray_is_rounded_as_pillows(mean):
    level = int(mean)
    image = np.full((3, 10, 10), level, np.uint8)
    image[:, : round((mean - level) * 10)] = min(level + 1, 255)
    expected = ImageEnhance.Contrast(pillow(image)).enhance(0.3)
    np.testing.assert_array_equal(color.stretch_contrast(image, 0.3).transpose(1, 2, 0), expected)


def hue_of(image: np.ndarray) -> float:
    """Of the first pixel, -0.5..0.5 turns from red."""
    hue = colorsys.rgb_to_hsv(*image[:, 0, 0] / 255)[0]
    return hue - (hue > 0.5)


def sides() -> np.ndarray:
    """Left half 60, right half 140: mean 100."""
    return np.broadcast_to(np.repeat([60, 140], 4), (3, 8, 8)).astype(np.uint8)


STRENGTHS = {"BRIGHTNESS": 0.4, "CONTRAST": 0.4, "SATURATION": 0.2, "HUE": 0.1}
MEASURES = {  # a picture, and how to read from it the factor - 1 (hue: the turn)
    "BRIGHTNESS": (picture(100, 100, 100), lambda image: image.mean() / 100 - 1),
    "CONTRAST": (sides(), lambda image: np.ptp(image.astype(int)) / 80 - 1),
    "SATURATION": (picture(200, 100, 50), lambda image: np.ptp(image.astype(int)) / 150 - 1),
    "HUE": (picture(255, 0, 0), hue_of),
}


@pytest.mark.parametrize("name", STRENGTHS)
def test_jitter_strength_is_uniform_in_its_range(monkeypatch, name):
    strength, (image, measure) = STRENGTHS[name], MEASURES[name]
    assert getattr(color, name) == strength
    for other in set(STRENGTHS) - {name}:
        monkeypatch.setattr(color, other, 0)
    generator = rng(9)
    measured = np.array([measure(jitter_color(image, generator)) for _ in range(600)])
    quantiles = np.quantile(measured, (0, 0.25, 0.5, 0.75, 1)) / strength
    np.testing.assert_allclose(quantiles, (-1, -0.5, 0, 0.5, 1), rtol=0, atol=0.12)


def test_no_strength_no_change(monkeypatch):
    for name in STRENGTHS:
        monkeypatch.setattr(color, name, 0)
    image = noise((16, 16))
    for seed in range(5):
        change = jitter_color(image, rng(seed)).astype(int) - image
        assert np.abs(change).max() <= 5  # rounding of the way through hue, saturation, value


def test_the_four_colour_changes_come_in_every_order(monkeypatch):
    order: list[str] = []

    def note(name: str, change):
        return lambda *args: (order.append(name), change(*args))[1]

    for name in ("brighten", "stretch_contrast", "saturate", "shift_hue"):
        monkeypatch.setattr(color, name, note(name, getattr(color, name)))
    generator = rng(0)
    for _ in range(300):
        jitter_color(picture(10, 20, 30), generator)
    orders = {tuple(order[i : i + 4]) for i in range(0, len(order), 4)}
    assert len(order) == 1200
    assert all(len(set(one)) == 4 for one in orders)
    assert len(orders) == 24


@pytest.mark.parametrize(
    ("turn", "expected"),
    [(0, (255, 0, 0)), (1 / 3, (0, 255, 0)), (-1 / 3, (0, 0, 255)), (2 / 3, (0, 0, 255)), (1 / 6, (255, 255, 0))],
)
def test_hue_turns(turn, expected):
    np.testing.assert_allclose(shift_hue(picture(255, 0, 0), turn)[:, 0, 0].astype(int), expected, atol=8)


@pytest.mark.parametrize("turn", [-0.1, 0.03, 0.1])
def test_hue_spares_grays_and_keeps_value_and_saturation(turn):
    np.testing.assert_array_equal(shift_hue(picture(90, 90, 90), turn), picture(90, 90, 90))
    pictures = picture(200, 80, 40), shift_hue(picture(200, 80, 40), turn)
    before, after = (np.array(colorsys.rgb_to_hsv(*x[:, 0, 0] / 255)[1:]) * 255 for x in pictures)
    np.testing.assert_allclose(after, before, atol=2)
