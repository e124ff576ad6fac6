"""Large-scale jitter: a photograph stretched or shrunk, cut to a square of fixed side or filled up to it.

Image and labels are resized by OpenCV, the labels to the nearest, as in the original.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

SIDE = 1024  # of every view
SCALE = (0.7, 2.0)  # of the whole photograph, to SIDE


class View(NamedTuple):
    """The photograph flipped or not, as a square of `side`, from which a view is cut at `top`, `left`."""

    flip: bool = False
    side: int = SIDE
    top: int = 0
    left: int = 0

    def of_image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 3) -> (SIDE, SIDE, 3), black below and to the right of a small photograph."""
        return self._cut(image, cv2.INTER_LINEAR)

    def of_labels(self, labels: NDArray[Any]) -> NDArray[Any]:
        """(H, W) -> (SIDE, SIDE), 0 below and to the right of a small photograph."""
        return self._cut(labels, cv2.INTER_NEAREST)

    def _cut(self, pixels: NDArray[Any], interp: int) -> NDArray[Any]:
        if self.flip:
            pixels = cv2.flip(pixels, 1)
        pixels = cv2.resize(pixels, (self.side, self.side), interpolation=interp)
        pixels = pixels[self.top : self.top + SIDE, self.left : self.left + SIDE]
        missing = SIDE - len(pixels)
        return cv2.copyMakeBorder(pixels, 0, missing, 0, missing, cv2.BORDER_CONSTANT) if missing else pixels


PLAIN, FLIPPED = View(), View(flip=True)


def draw_view(rng: Generator) -> View:
    """A flip for every other photograph, a scale, a uniform place."""
    flip, side = bool(rng.random() < 0.5), int(SIDE * rng.uniform(*SCALE))
    top, left = rng.integers(max(side - SIDE, 0) + 1, size=2).tolist()
    return View(flip, side, top, left)
