"""Joint transforms: whatever moves pixels acts on image and target alike; colour changes the image alone.

Pairs are Pillow images (antialiased bicubic), stitched canvases are tensors (no antialias), as in the
original; the two resamplers must not be mixed. Sizes are (h, w), boxes (top, left, h, w).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.random import Generator
from PIL import Image, ImageEnhance
from torch import Tensor

from data.tasks import Interp

Size = tuple[int, int]
Box = tuple[int, int, int, int]
Range = tuple[float, float]

PAIR_RATIO: Range = (3 / 4, 4 / 3)  # width / height
CANVAS_RATIO: Range = (0.3, 0.7)
BRIGHTNESS, CONTRAST, SATURATION, HUE = 0.4, 0.4, 0.2, 0.1


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


def resize_pair(
    image: Image.Image, target: Image.Image, size: Size, target_interp: Interp
) -> tuple[Image.Image, Image.Image]:
    """Both at `size`, whatever their aspect ratio."""
    return resize(image, size, "bicubic"), resize(target, size, target_interp)


def augment_pair(
    image: Image.Image, target: Image.Image, size: Size, target_interp: Interp, config: AugmentConfig, rng: Generator
) -> tuple[Image.Image, Image.Image]:
    """Random resized crop, colour jitter (image only), horizontal flip."""
    top, left, h, w = random_crop_box((image.height, image.width), config.crop_scale, PAIR_RATIO, rng)
    box = (left, top, left + w, top + h)
    image, target = resize_pair(image.crop(box), target.crop(box), size, target_interp)
    if rng.random() < config.jitter:
        image = jitter_color(image, rng)
    if rng.random() < config.flip:
        flip = Image.Transpose.FLIP_LEFT_RIGHT
        image, target = image.transpose(flip), target.transpose(flip)
    return image, target


def crop_canvas(
    image: Tensor, target: Tensor, target_interp: Interp, config: AugmentConfig, rng: Generator
) -> tuple[Tensor, Tensor]:
    """Random resized crop of two stitched canvases (3, H, W) back to their own size."""
    size = (image.shape[-2], image.shape[-1])
    top, left, h, w = random_crop_box(size, config.crop_scale, CANVAS_RATIO, rng)
    window = (..., slice(top, top + h), slice(left, left + w))
    return _resize_tensor(image[window], size, "bicubic"), _resize_tensor(target[window], size, target_interp)


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


def jitter_color(image: Image.Image, rng: Generator) -> Image.Image:
    """Brightness, contrast, saturation and hue, each by a random amount, in random order."""

    def enhance(kind: Callable[[Image.Image], Any], strength: float) -> Image.Image:
        return kind(image).enhance(rng.uniform(1 - strength, 1 + strength))

    steps = (
        lambda: enhance(ImageEnhance.Brightness, BRIGHTNESS),
        lambda: enhance(ImageEnhance.Contrast, CONTRAST),
        lambda: enhance(ImageEnhance.Color, SATURATION),
        lambda: shift_hue(image, rng.uniform(-HUE, HUE)),
    )
    for i in rng.permutation(len(steps)):
        image = steps[i]()
    return image


def shift_hue(image: Image.Image, turn: float) -> Image.Image:
    """Rotate every hue by `turn` of the full circle."""
    h, s, v = image.convert("HSV").split()
    turned = (np.asarray(h).astype(np.int16) + int(turn * 255)).astype(np.uint8)  # wraps around
    return Image.merge("HSV", (Image.fromarray(turned), s, v)).convert("RGB")


def resize(image: Image.Image, size: Size, interp: Interp) -> Image.Image:
    """A Pillow image at `size`; bicubic is antialiased.

    Columns first, then rows: newer Pillows choose the order, and a level or two differ.
    """
    h, w = size
    return image.resize((w, image.height), _RESAMPLING[interp]).resize((w, h), _RESAMPLING[interp])


def _resize_tensor(x: Tensor, size: Size, interp: Interp) -> Tensor:
    align = {"align_corners": False} if interp == "bicubic" else {}
    return F.interpolate(x[None], size=size, mode=interp, **align)[0]
