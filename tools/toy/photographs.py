"""Photographs that the scikit-image wheel ships, and what weather, darkness and sensors do to them."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import skimage
from PIL import Image
from scipy.ndimage import gaussian_filter

TRAIN = (
    *("astronaut.png", "brick.png", "camera.png", "coins.png", "grass.png", "gravel.png", "ihc.png", "moon.png"),
    *("motorcycle_left.png", "retina.jpg", "rocket.jpg"),
)
VAL = ("chelsea.png", "coffee.png")  # held out whole: no training picture shows them


class View(NamedTuple):
    """A crop of a photograph: its place (0 left, top .. 1 right, bottom), and how much of it is seen (0..1)."""

    photograph: str
    x: float
    y: float
    share: float

    def pixels(self, shape: tuple[int, int]) -> np.ndarray:
        """(h, w, 3) in 0..1."""
        image, (h, w) = opened(self.photograph), shape
        zoom = self.share * min(image.width / w, image.height / h)
        left, top = self.x * (image.width - zoom * w), self.y * (image.height - zoom * h)
        crop = image.crop((round(left), round(top), round(left + zoom * w), round(top + zoom * h)))
        return np.asarray(crop.resize((w, h), Image.Resampling.LANCZOS)) / 255  # first cropped: nothing leaks in


def view(rng: np.random.Generator, split: str, number: int) -> View:
    """A random view of the photographs of "train" or "val", which take turns."""
    names = TRAIN if split == "train" else VAL
    return View(names[number % len(names)], rng.random(), rng.random(), rng.uniform(0.35, 0.9))


@cache
def opened(name: str) -> Image.Image:
    """Raises ValueError where the installed scikit-image lacks the photograph."""
    path = Path(skimage.__file__).parent / "data" / name
    if not path.is_file():
        raise ValueError(f"the installed scikit-image ships no {name}; version 0.26.0 does")
    with Image.open(path) as image:
        return image.convert("RGB")


def recoloured(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The photograph (h, w, 3) in 0..1 in other colours: channels swapped, brighter or darker.

    Eleven photographs show few colours; a network that has seen no other paints a brown cat red.
    """
    return (image[..., rng.permutation(3)] * rng.uniform(0.65, 1.05) * rng.uniform(0.9, 1.1, 3)).clip(0, 1)


def add_noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise of standard deviation .1 to .2, half of it blotchy as in phone cameras, on (h, w, 3); not clipped."""
    fine = rng.normal(size=image.shape)
    blots = gaussian_filter(rng.normal(size=image.shape), (3, 3, 0))
    return image + rng.uniform(0.1, 0.2) * (fine + blots / blots.std()) / np.sqrt(2)


def add_rain(image: np.ndarray, rng: np.random.Generator, density: float = 0.09) -> np.ndarray:
    """Bright parallel streaks over a share `density` of (h, w, 3) in 0..1, up to 20 degrees off the vertical."""
    slope, length = rng.uniform(-0.35, 0.35), int(rng.integers(6, 14))
    drops = (rng.random(image.shape[:2]) < density / length) * rng.uniform(0.5, 1, image.shape[:2])
    streaks = sum(np.roll(drops, (step, round(step * slope)), axis=(0, 1)) for step in range(length))
    return image + gaussian_filter(streaks, 0.4)[..., None]


def add_large_rain(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rain as on a picture half the size: on (h, w, 3), both even, streaks twice as long and as wide."""
    h, w = image.shape[:2]
    rain = add_rain(np.zeros((h // 2, w // 2, 3)), rng)
    return image + cv2.resize(rain, (w, h), interpolation=cv2.INTER_LINEAR)


def darken(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Low light: gamma 1.7, gain .15 to .3, sensor noise .01 on (h, w, 3) in 0..1; not clipped."""
    return rng.uniform(0.15, 0.3) * image**1.7 + rng.normal(0, 0.01, image.shape)


def as_bytes(image: np.ndarray) -> np.ndarray:
    """(h, w, 3) in 0..1 -> uint8, clipped."""
    return np.round(image.clip(0, 1) * 255).astype(np.uint8)
