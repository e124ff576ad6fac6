"""Depth: metres as gray, 0..10 m over 0..255."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from data.tasks.base import Interp, Task
from util.image import read_uint16


class Depth(Task):
    """16-bit millimetre PNGs; a pixel without a measurement is 0 and counts nothing in the loss."""

    target_interp: Interp = "bicubic"

    def read_target(self, path: Path) -> Image.Image:
        """The millimetre file, painted."""
        return Image.fromarray(self.encode(read_uint16(path)))

    def encode(self, millimetres: NDArray[np.uint16]) -> NDArray[np.uint8]:
        """(H, W) millimetres -> (H, W, 3) gray: 10 m is 255, truncated; what is farther stays 255."""
        gray = np.minimum(millimetres.astype(np.int64) * 255 // 10000, 255).astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=2)

    def loss_weight(self, target: Tensor) -> Tensor:
        """0 where nothing was measured."""
        return (target >= 1e-4).to(target.dtype)
