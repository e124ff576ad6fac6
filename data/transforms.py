"""Joint transforms: whatever moves pixels acts on image and target alike; colour changes the image alone.

Pairs are Pillow images (antialiased bicubic) and leave as planes of bytes; stitched canvases are cropped as
tensors (no antialias), as in the original; the two resamplers must not be mixed. Sizes are (h, w), boxes
(top, left, h, w).
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from PIL import Image

from data.color import Planes, jitter_color
from data.tasks import Interp

Size = tuple[int, int]
Box = tuple[int, int, int, int]
Range = tuple[float, float]

PAIR_RATIO: Range = (3 / 4, 4 / 3)  # width / height
CANVAS_RATIO: Range = (0.3, 0.7)


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes of training pairs whose task allows them; the defaults are those of the released model."""

    crop_scale: Range = (0.3, 1.0)
    """share of the area that a random crop keeps, of a pair and of a stitched canvas"""
    jitter: float = 0.8
    """chance of colour jitter, on the image alone; the paper names none: 0"""
    flip: float = 0.5
    """chance of a horizontal flip"""

    def __post_init__(self) -> None:
        if not 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1:
            raise ValueError(f"crop_scale {self.crop_scale} must be (least, most) with 0 < least <= most <= 1")
        if not (0 <= self.jitter <= 1 and 0 <= self.flip <= 1):
            raise ValueError(f"the chances of jitter {self.jitter} and flip {self.flip} must lie in 0..1")


_RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "nearest": Image.Resampling.NEAREST}


def resize_pair(image: Image.Image, target: Image.Image, size: Size, target_interp: Interp) -> tuple[Planes, Planes]:
    """Both at `size`, whatever their aspect ratio."""
    return planes(resize(image, size, "bicubic")), planes(resize(target, size, target_interp))


def augment_pair(
    image: Image.Image, target: Image.Image, size: Size, target_interp: Interp, config: AugmentConfig, rng: Generator
) -> tuple[Planes, Planes]:
    """Random resized crop, colour jitter (image only), horizontal flip."""
    top, left, h, w = random_crop_box((image.height, image.width), config.crop_scale, PAIR_RATIO, rng)
    box = (left, top, left + w, top + h)
    pair = resize_pair(image.crop(box), target.crop(box), size, target_interp)
    if rng.random() < config.jitter:
        pair = jitter_color(pair[0], rng), pair[1]
    if rng.random() < config.flip:
        return flip(pair[0]), flip(pair[1])
    return pair


def planes(image: Image.Image) -> Planes:
    """A colour image, or a gray one that stands for three equal channels."""
    if image.mode == "L":
        return np.repeat(np.asarray(image)[None], 3, axis=0)
    found = np.empty((3, image.height, image.width), np.uint8)
    cv2.split(np.asarray(image), list(found))
    return found


def flip(image: Planes) -> Planes:
    """The mirror image."""
    return np.asarray(cv2.flip(image.reshape(-1, image.shape[2]), 1), np.uint8).reshape(image.shape)


def random_crop_box(size: Size, scale: Range, ratio: Range, rng: Generator) -> Box:
    """A box of `scale` of the area and log-uniform `ratio` w/h; after ten misfits the largest central one."""
    height, width = size
    for _ in range(10):
        area = height * width * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        h, w = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < h <= height and 0 < w <= width:
            return int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w
    h = min(height, round(width / ratio[0]))
    w = min(width, round(height * ratio[1]))
    return (height - h) // 2, (width - w) // 2, h, w


def resize(image: Image.Image, size: Size, interp: Interp) -> Image.Image:
    """A Pillow image at `size`; bicubic is antialiased.

    Columns first, then rows: newer Pillows choose the order, and a level or two differ.
    """
    h, w = size
    return image.resize((w, image.height), _RESAMPLING[interp]).resize((w, h), _RESAMPLING[interp])
