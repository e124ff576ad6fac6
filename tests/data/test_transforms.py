"""Joint transforms: both pictures move alike, crops follow torchvision's rule, colour spares the target."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from data import transforms
from data.transforms import AugmentConfig, augment_pair, flip, planes, random_crop_box, resize_pair

DEFAULT = AugmentConfig()
PAIR_CROP = (DEFAULT.crop_scale, transforms.PAIR_RATIO)
CANVAS_CROP = (DEFAULT.crop_scale, transforms.CANVAS_RATIO)
STILL = AugmentConfig(crop_scale=(1, 1), jitter=0, flip=0)


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


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
        assert image.shape == target.shape == (3, 64, 48)
        x = left + (np.arange(48) + 0.5) * w / 48
        y = top + (np.arange(64) + 0.5) * h / 64
        seen = target.transpose(1, 2, 0).astype(int)
        flips += (flipped := seen[0, 0, 0] > seen[0, -1, 0])
        x = x[::-1] if flipped else x
        np.testing.assert_array_equal(seen[..., 0], np.broadcast_to(np.floor(x), size))
        np.testing.assert_array_equal(seen[..., 1], np.broadcast_to(np.floor(y)[:, None], size))
        np.testing.assert_allclose(image.transpose(1, 2, 0).astype(int), seen, atol=1 + max(h / 64, w / 48) / 2)
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
    assert image.shape == target.shape == (3, 8, 16)
    assert np.abs(image[:, 1:-1, 1:-1].astype(int) - 127).max() < 12
    assert set(np.unique(target)) <= {0, 255}


@pytest.mark.parametrize(("name", "chance"), [("flip", 0.5), ("jitter", 0.8)])
def test_chances(name, chance):
    assert getattr(DEFAULT, name) == chance
    pair = noise((8, 8)), noise((8, 8), 1)
    generator, num = rng(5), 500
    changed = [(augment_square(pair, generator, **{name: chance})[0] != planes(pair[0])).any() for _ in range(num)]
    assert abs(np.mean(changed) - chance) < 4 * math.sqrt(chance * (1 - chance) / num)


def test_a_flip_turns_both():
    pair = noise((8, 8)), noise((8, 8), 1)
    for before, after in zip(pair, augment_square(pair, rng(0), flip=1), strict=True):
        np.testing.assert_array_equal(after.transpose(1, 2, 0), np.array(before)[:, ::-1])


def test_jitter_changes_the_image_alone():
    pair = noise((8, 8)), noise((8, 8), 1)
    for seed in range(20):
        image, target = augment_square(pair, rng(seed), jitter=1)
        assert (image != planes(pair[0])).any()
        np.testing.assert_array_equal(target, planes(pair[1]))


def test_same_seed_same_pair():
    first, again, other = (
        augment_pair(noise((50, 60)), noise((50, 60), 1), (32, 32), "nearest", DEFAULT, rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (np.array(first) != other).any()


def test_gray_stands_for_three_equal_channels():
    """A picture of one channel is resized, cropped and turned as one of three, to the last bit."""
    gray = noise((50, 60)).getchannel(0)
    for seed, target_interp in enumerate(("nearest", "bicubic")):
        found, expected = (
            augment_pair(noise((50, 60)), target, (32, 24), target_interp, DEFAULT, rng(seed))[1]
            for target in (gray, gray.convert("RGB"))
        )
        np.testing.assert_array_equal(found, expected)


def test_planes_are_the_pixels():
    image = noise((5, 7))
    np.testing.assert_array_equal(planes(image).transpose(1, 2, 0), image)
    np.testing.assert_array_equal(flip(planes(image)).transpose(1, 2, 0), np.array(image)[:, ::-1])
