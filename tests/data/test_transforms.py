"""Joint transforms: both pictures move alike, crops follow torchvision's rule, colour spares the target."""

import colorsys
import math
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from data import transforms
from data.transforms import (
    AugmentConfig,
    augment_pair,
    crop_canvas,
    jitter_color,
    random_crop_box,
    resize_pair,
    shift_hue,
)

DEFAULT = AugmentConfig()
PAIR_CROP = (DEFAULT.crop_scale, transforms.PAIR_RATIO)
CANVAS_CROP = (DEFAULT.crop_scale, transforms.CANVAS_RATIO)
STILL = AugmentConfig(crop_scale=(1, 1), jitter=0, flip=0)


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def picture(*values: int, size: tuple[int, int] = (8, 8)) -> Image.Image:
    return Image.new("RGB", (size[1], size[0]), values)


def noise(size: tuple[int, int], seed: int = 0) -> Image.Image:
    return Image.fromarray(rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


def augment_square(pair, generator: np.random.Generator, **changes):
    """Augment a square pair, whole but for `changes`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transforms, "PAIR_RATIO", (1, 1))
        return augment_pair(*pair, (8, 8), "nearest", replace(STILL, **changes), generator)


# Crop boxes


def torchvision_box(size, scale, ratio, source: random.Random) -> tuple[int, int, int, int]:
    """RandomResizedCrop.get_params as torchvision publishes it."""
    height, width = size
    for _ in range(10):
        target_area = height * width * source.uniform(*scale)
        aspect = math.exp(source.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(target_area * aspect)), round(math.sqrt(target_area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return source.randint(0, height - h), source.randint(0, width - w), h, w
    if width / height < min(ratio):
        w, h = width, round(width / min(ratio))
    elif width / height > max(ratio):
        w, h = round(height * max(ratio)), height
    else:
        w, h = width, height
    return (height - h) // 2, (width - w) // 2, h, w


def boxes(draw, size, num: int = 4000) -> dict[str, np.ndarray]:
    top, left, h, w = np.array([draw() for _ in range(num)]).T.astype(float)
    return {
        "area": h * w / (size[0] * size[1]),
        "ratio": w / h,
        "y": (top + h / 2) / size[0],
        "x": (left + w / 2) / size[1],
    }


@pytest.mark.parametrize(
    ("size", "crop"),
    [((480, 640), PAIR_CROP), ((64, 64), PAIR_CROP), ((640, 300), PAIR_CROP), ((896, 448), CANVAS_CROP)],
)
def test_crop_boxes_are_distributed_as_torchvisions(size, crop):
    generator, source = rng(1), random.Random(2)
    ours = boxes(lambda: random_crop_box(size, *crop, generator), size)
    theirs = boxes(lambda: torchvision_box(size, *crop, source), size)
    for name, values in ours.items():
        for quantile in (0.05, 0.25, 0.5, 0.75, 0.95):
            bound = np.quantile(theirs[name], quantile)
            assert abs((values < bound).mean() - (theirs[name] < bound).mean()) < 0.035, (name, quantile)


@pytest.mark.parametrize(("size", "crop"), [((480, 640), PAIR_CROP), ((37, 41), PAIR_CROP), ((896, 448), CANVAS_CROP)])
def test_crop_boxes_keep_their_ranges_and_reach_every_border(size, crop):
    generator, rounding = rng(3), 2 / min(size)
    drawn = np.array([random_crop_box(size, *crop, generator) for _ in range(3000)])
    top, left, h, w = drawn.T
    (least, most), (thin, wide) = crop
    assert drawn.min() >= 0
    assert (top + h).max() == size[0]
    assert (left + w).max() == size[1]
    assert top.min() == left.min() == 0
    assert least - rounding < (h * w / (size[0] * size[1])).min() < least + 0.05
    assert most - 0.1 < (h * w / (size[0] * size[1])).max() <= 1
    assert thin * (1 - rounding) < (w / h).min() < thin * 1.1
    assert wide * 0.9 < (w / h).max() < wide * (1 + rounding)


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((10, 1000), (0, 493, 10, 13)),
        ((1000, 10), (493, 0, 13, 10)),
        ((1, 1), (0, 0, 1, 1)),
        ((1, 500), (0, 249, 1, 1)),
    ],
)
def test_extreme_pictures_give_the_largest_central_box(size, box):
    assert random_crop_box(size, *PAIR_CROP, rng(0)) == box


def test_a_crop_that_never_fits_is_the_whole_picture():
    assert random_crop_box((50, 60), (2, 3), transforms.PAIR_RATIO, rng(0)) == (0, 0, 50, 60)


# Pairs


def coordinates(size: tuple[int, int]) -> Image.Image:
    """Every pixel's red is its x, its green is its y."""
    y, x = np.mgrid[: size[0], : size[1]]
    return Image.fromarray(np.stack((x, y, np.full_like(x, 7)), axis=-1).astype(np.uint8))


def test_image_and_target_show_the_same_place():
    where, size, flips = coordinates((160, 200)), (64, 48), 0
    for seed in range(40):
        top, left, h, w = random_crop_box((160, 200), *PAIR_CROP, rng(seed))
        image, target = augment_pair(where, where, size, "nearest", replace(DEFAULT, jitter=0), rng(seed))
        assert image.size == target.size == (48, 64)
        x = left + (np.arange(48) + 0.5) * w / 48
        y = top + (np.arange(64) + 0.5) * h / 64
        seen = np.array(target).astype(int)
        flips += (flipped := seen[0, 0, 0] > seen[0, -1, 0])
        x = x[::-1] if flipped else x
        np.testing.assert_array_equal(seen[..., 0], np.broadcast_to(np.floor(x), size))
        np.testing.assert_array_equal(seen[..., 1], np.broadcast_to(np.floor(y)[:, None], size))
        np.testing.assert_allclose(np.array(image).astype(int), seen, atol=1 + max(h / 64, w / 48) / 2)
    assert 8 <= flips <= 32


def test_a_bicubic_target_is_resampled_as_the_image():
    for seed in range(5):
        image, target = augment_pair(
            noise((50, 60)), noise((50, 60)), (32, 32), "bicubic", replace(DEFAULT, jitter=0), rng(seed)
        )
        np.testing.assert_array_equal(image, target)


def test_pictures_are_shrunk_with_antialiasing_and_nearest_targets_without():
    checks = Image.fromarray((np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)).convert("RGB")
    image, target = resize_pair(checks, checks, (8, 16), "nearest")
    assert image.size == target.size == (16, 8)
    assert np.abs(np.array(image)[1:-1, 1:-1].astype(int) - 127).max() < 12
    assert set(np.unique(target)) <= {0, 255}


@pytest.mark.parametrize(("name", "chance"), [("flip", 0.5), ("jitter", 0.8)])
def test_chances(name, chance):
    assert getattr(DEFAULT, name) == chance
    pair = noise((8, 8)), noise((8, 8), 1)
    generator, num = rng(5), 500
    changed = [augment_square(pair, generator, **{name: chance})[0] != pair[0] for _ in range(num)]
    assert abs(np.mean(changed) - chance) < 4 * math.sqrt(chance * (1 - chance) / num)


def test_a_flip_turns_both():
    pair = noise((8, 8)), noise((8, 8), 1)
    for before, after in zip(pair, augment_square(pair, rng(0), flip=1), strict=True):
        np.testing.assert_array_equal(after, np.array(before)[:, ::-1])


def test_jitter_changes_the_image_alone():
    pair = noise((8, 8)), noise((8, 8), 1)
    for seed in range(20):
        image, target = augment_square(pair, rng(seed), jitter=1)
        assert image != pair[0]
        assert target == pair[1]


def test_same_seed_same_pair():
    first, again, other = (
        augment_pair(noise((50, 60)), noise((50, 60), 1), (32, 32), "nearest", DEFAULT, rng(seed)) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


# Colour


def hue_of(image: Image.Image) -> float:
    """Of the first pixel, -0.5..0.5 turns from red."""
    hue = colorsys.rgb_to_hsv(*np.array(image)[0, 0] / 255)[0]
    return hue - (hue > 0.5)


def values_of(image: Image.Image) -> np.ndarray:
    return np.array(image).astype(float)


def sides() -> Image.Image:
    """Left half 60, right half 140: mean 100."""
    return Image.fromarray(np.repeat([[60] * 4 + [140] * 4], 8, axis=0).astype(np.uint8)).convert("RGB")


STRENGTHS = {"BRIGHTNESS": 0.4, "CONTRAST": 0.4, "SATURATION": 0.2, "HUE": 0.1}
MEASURES = {  # a picture, and how to read from it the factor - 1 (hue: the turn)
    "BRIGHTNESS": (picture(100, 100, 100), lambda image: values_of(image).mean() / 100 - 1),
    "CONTRAST": (sides(), lambda image: np.ptp(values_of(image)) / 80 - 1),
    "SATURATION": (picture(200, 100, 50), lambda image: np.ptp(values_of(image)) / 150 - 1),
    "HUE": (picture(255, 0, 0), hue_of),
}


@pytest.mark.parametrize("name", STRENGTHS)
def test_jitter_strength_is_uniform_in_its_range(monkeypatch, name):
    strength, (image, measure) = STRENGTHS[name], MEASURES[name]
    assert getattr(transforms, name) == strength
    for other in set(STRENGTHS) - {name}:
        monkeypatch.setattr(transforms, other, 0)
    generator = rng(9)
    measured = np.array([measure(jitter_color(image, generator)) for _ in range(600)])
    quantiles = np.quantile(measured, (0, 0.25, 0.5, 0.75, 1)) / strength
    np.testing.assert_allclose(quantiles, (-1, -0.5, 0, 0.5, 1), rtol=0, atol=0.12)


def test_no_strength_no_change(monkeypatch):
    for name in STRENGTHS:
        monkeypatch.setattr(transforms, name, 0)
    image = np.array(noise((16, 16)))
    for seed in range(5):
        change = np.array(jitter_color(Image.fromarray(image), rng(seed))).astype(int) - image
        assert np.abs(change).max() <= 5  # rounding of the way through hue, saturation, value


def test_the_four_colour_changes_come_in_every_order(monkeypatch):
    order: list[str] = []

    def note(name: str, change):
        return lambda *args: (order.append(name), change(*args))[1]

    for name in ("Brightness", "Contrast", "Color"):
        monkeypatch.setattr(transforms.ImageEnhance, name, note(name, getattr(transforms.ImageEnhance, name)))
    monkeypatch.setattr(transforms, "shift_hue", note("Hue", shift_hue))
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
    np.testing.assert_allclose(values_of(shift_hue(picture(255, 0, 0), turn))[0, 0], expected, atol=8)


@pytest.mark.parametrize("turn", [-0.1, 0.03, 0.1])
def test_hue_spares_grays_and_keeps_value_and_saturation(turn):
    assert shift_hue(picture(90, 90, 90), turn) == picture(90, 90, 90)
    pictures = picture(200, 80, 40), shift_hue(picture(200, 80, 40), turn)
    before, after = (values_of(x.convert("HSV"))[0, 0, 1:] for x in pictures)
    np.testing.assert_allclose(after, before, atol=2)


# Canvases


def bicubic_matrix(num_in: int, num_out: int) -> torch.Tensor:
    """Cubic convolution (a = -.75) between pixel centres, borders repeated, no antialiasing."""

    def kernel(t: float) -> float:
        t, a = abs(t), -0.75
        inner, outer = (a + 2) * t**3 - (a + 3) * t**2 + 1, a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a
        return inner if t <= 1 else outer if t < 2 else 0

    matrix = torch.zeros(num_out, num_in, dtype=torch.float64)
    for i in range(num_out):
        x = (i + 0.5) * num_in / num_out - 0.5
        for near in range(math.floor(x) - 1, math.floor(x) + 3):
            matrix[i, min(max(near, 0), num_in - 1)] += kernel(x - near)
    return matrix


@pytest.mark.parametrize("target_interp", ["nearest", "bicubic"])
def test_canvas_crop_equals_an_independent_computation(target_interp):
    canvas = torch.rand(3, 64, 32, generator=torch.Generator().manual_seed(0))
    for seed in range(6):
        top, left, h, w = random_crop_box((64, 32), *CANVAS_CROP, rng(seed))
        part = canvas[:, top : top + h, left : left + w]
        bicubic = (bicubic_matrix(h, 64) @ part.double() @ bicubic_matrix(w, 32).T).float()
        rows, columns = torch.arange(64) * h // 64, torch.arange(32) * w // 32
        nearest = part[:, rows][:, :, columns]
        image, target = crop_canvas(canvas, canvas, target_interp, DEFAULT, rng(seed))
        torch.testing.assert_close(image, bicubic, rtol=0, atol=1e-5)
        expected = nearest if target_interp == "nearest" else bicubic
        torch.testing.assert_close(target, expected, rtol=0, atol=1e-5)
