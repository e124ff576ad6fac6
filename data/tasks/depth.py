"""Depth: metres as gray, 0..10 m over 0..255."""

from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from data.tasks.base import Interp, Size, Task, resize_painted
from util.image import read_uint16

MAX_MM = 10_000  # millimetres shown as white


class Depth(Task):
    """16-bit millimetre PNGs; a pixel without a measurement is 0 and counts nothing in the loss."""

    name = "nyuv2_depth"
    type = "nyuv2_image2depth"
    lists = MappingProxyType(
        {"train": "nyu_depth_v2/nyuv2_sync_image_depth.json", "val": "nyu_depth_v2/nyuv2_test_image_depth.json"}
    )
    target_interp: Interp = "bicubic"

    def encode(self, label: NDArray[np.uint16]) -> NDArray[np.uint8]:
        """(H, W) millimetres -> (H, W, 3) gray: 10 m is 255, truncated; what is farther stays 255."""
        gray = np.minimum(label.astype(np.int64) * 255 // MAX_MM, 255).astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=2)

    def decode(self, painted: Tensor, size: Size) -> Tensor:
        """Millimetres (H, W), int32, 0..10 000: clipped, bilinear, mean of the channels, truncated."""
        return resize_painted(painted.mul(MAX_MM).clamp(0, MAX_MM), size, "bilinear").mean(dim=0).int()

    def read_target(self, path: Path) -> Image.Image:
        """The millimetre file, painted."""
        return Image.fromarray(self.encode(read_uint16(path)))

    def loss_weight(self, target: Tensor) -> Tensor:
        """0 where nothing was measured."""
        return (target >= 1e-4).to(target.dtype)


NYUV2_DEPTH = Depth()
