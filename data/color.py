"""Colour jitter on planes of bytes: to the last bit what Pillow's enhancers and HSV conversions make, and faster.

Each change is rounded to bytes before the next, as Pillow images are.
"""

from functools import cache

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

Planes = NDArray[np.uint8]  # (3, h, w), red, green, blue

BRIGHTNESS, CONTRAST, SATURATION, HUE = 0.4, 0.4, 0.2, 0.1
LUMA = np.array([19595, 38470, 7471], np.float32) / np.float32(65536)  # of red, green and blue in gray: Pillow's


def jitter_color(image: Planes, rng: Generator) -> Planes:
    """Brightness, contrast, saturation and hue, each by a random amount, in random order."""
    changes = (
        lambda: brighten(image, _factor(BRIGHTNESS, rng)),
        lambda: stretch_contrast(image, _factor(CONTRAST, rng)),
        lambda: saturate(image, _factor(SATURATION, rng)),
        lambda: shift_hue(image, rng.uniform(-HUE, HUE)),
    )
    for i in rng.permutation(len(changes)):
        image = changes[i]()
    return image


def _factor(strength: float, rng: Generator) -> float:
    return rng.uniform(1 - strength, 1 + strength)


def brighten(image: Planes, factor: float) -> Planes:
    """All values times `factor`."""
    return _away_from(0, image, factor)


def stretch_contrast(image: Planes, factor: float) -> Planes:
    """Distances from the mean gray times `factor`."""
    gray = _gray(image)
    return _away_from(int(cv2.sumElems(gray)[0] / gray.size + 0.5), image, factor)


def _away_from(level: int, image: Planes, factor: float) -> Planes:
    table = _blend(np.full(256, level, np.float32), np.arange(256, dtype=np.uint8), factor)
    return np.asarray(cv2.LUT(image.reshape(-1, image.shape[2]), table), np.uint8).reshape(image.shape)


def saturate(image: Planes, factor: float) -> Planes:
    """Distances from each pixel's gray times `factor`."""
    return _blend(_gray(image).astype(np.float32), image, factor)


def _gray(image: Planes) -> NDArray[np.uint8]:
    """(h, w), rounded; float32 holds the sums exactly."""
    gray = image[0] * LUMA[0]
    gray += image[1] * LUMA[1]
    gray += image[2] * LUMA[2]
    gray += 0.5
    return gray.astype(np.uint8)


def _blend(start: NDArray[np.float32], end: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """start + factor (end - start), clipped to bytes and truncated."""
    mixed: NDArray[np.float32] = end - start
    mixed *= np.float32(factor)
    mixed += start
    return mixed.clip(0, 255, out=mixed).astype(np.uint8)


def shift_hue(image: Planes, turn: float) -> Planes:
    """Every hue turned by `turn` of the full circle."""
    red, green, blue = image
    value = np.maximum(np.maximum(red, green), blue)
    chroma = value - np.minimum(np.minimum(red, green), blue)
    saturation = (chroma * np.float32(255) / np.maximum(value, 1).astype(np.float32)).astype(np.uint8)
    place = blue.astype(np.int32)
    place *= -513
    place += red.astype(np.int32) << 9
    place += green
    place += 255 * 513
    hue = _hues().take(place) + np.uint8(int(turn * 255) % 256)  # wraps around
    light = value.astype(np.float32)
    drop = light * saturation
    light += 0.5
    return np.stack([(light - drop * cv2.LUT(hue, share)).astype(np.uint8) for share in _shares()])


@cache
def _hues() -> NDArray[np.uint8]:
    """Hue of (red - blue + 255) * 512 + green - blue + 255, on which alone it depends: Pillow's, as bytes."""
    red, green = np.mgrid[-255:256, -255:257]
    lift = np.minimum(np.minimum(red, green), 0)
    colors = np.stack([red - lift, green - lift, -lift], axis=2)
    return np.array(Image.fromarray(colors.clip(0, 255).astype(np.uint8)).convert("HSV"))[..., 0].ravel()


@cache
def _shares() -> NDArray[np.float32]:
    """(3, 256): by hue, how much of value * saturation red, green and blue are short of the value."""
    sextant, along = divmod(6 * np.arange(256), 255)
    rise, zero, one = along, np.zeros(256, int), np.full(256, 255)
    fall = 255 - rise
    by_sextant = (
        (zero, rise, one, one, fall, zero),
        (fall, zero, zero, rise, one, one),
        (one, one, fall, zero, zero, rise),
    )
    shares = np.stack([np.choose(sextant % 6, channel) for channel in by_sextant]) / 255**2
    return shares.astype(np.float32)
