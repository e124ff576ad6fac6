"""Denoising, deraining, low-light enhancement: the label is an image already."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from data.tasks.base import Size, Task, resize_painted


@dataclass(frozen=True)
class Restoration(Task):
    """Degraded and clean photographs. Targets are resized by nearest, as the released model was trained."""

    name: str
    type: str
    lists: dict[str, str]

    def encode(self, label: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 3) bytes, as they are."""
        return label

    def decode(self, painted: Tensor, size: Size) -> Tensor:
        """The restored photograph, (H, W, 3) in 0..1: resized by bicubic interpolation, then clipped."""
        return resize_painted(painted, size, "bicubic").clamp(0, 1).permute(1, 2, 0)


DENOISE = Restoration(
    "denoise",
    "ssid_image2denoise",
    {"train": "denoise/denoise_ssid_train.json", "val": "denoise/denoise_ssid_val.json"},
)
DERAIN = Restoration(
    "derain",
    "derain_image2derain",
    {"train": "derain/derain_train.json", "val": "derain/derain_test_rain100h.json"},
)
ENHANCE = Restoration(
    "enhance",
    "lol_image2enhance",
    {"train": "light_enhance/enhance_lol_train.json", "val": "light_enhance/enhance_lol_val.json"},
)
