"""A task is a way to turn a label into an image and back; everything else asks it and knows no task by name."""

from pathlib import Path
from typing import Literal

import torch
from PIL import Image
from torch import Tensor

from util.image import read_rgb

Interp = Literal["bicubic", "nearest"]

BLACK = 1e-5  # a value of 0..1 below this is black: background, or nothing painted
MIN_PAINTED = 300  # values (3 a pixel) a canvas must have painted to teach anything


class Task:
    """What training must know of a task: how its files are read, resized, augmented and weighted.

    The defaults are those of semantic segmentation and restoration (paper, section 4.1).
    """

    target_interp: Interp = "nearest"
    """how painted targets are resized; images are always bicubic"""
    augment: bool = True
    """random crop, colour jitter and flip of each pair; otherwise a plain resize"""
    canvas_crop: bool = True
    """one more random crop of the stitched canvas, where block masking follows"""

    def read_image(self, path: Path) -> Image.Image:
        """The input photograph, RGB."""
        return read_rgb(path)

    def read_target(self, path: Path) -> Image.Image:
        """The label file as its painted image, RGB."""
        return read_rgb(path)

    def loss_weight(self, target: Tensor) -> Tensor:
        """Weight of each value of a target canvas (3, H, W) in 0..1; the same shape."""
        return torch.ones_like(target)


def enough_painted(target: Tensor) -> bool:
    """Whether a canvas (3, H, W) in 0..1 shows anything on its black background."""
    return int((target > BLACK).sum()) >= MIN_PAINTED
