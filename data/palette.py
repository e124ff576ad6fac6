"""Palettes: the digits of a number are a colour, counted down from white (paper, section 3.1).

A number in mixed bases has a digit a channel, the most significant first; a channel shows
255 - digit * step. Black is in no palette: it means background or unlabelled.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Distance = Literal["abs", "square", "mean"]
"""of two colours, summed over channels: |d|, d^2, or the mean of both"""


@dataclass(frozen=True)
class Palette:
    """The colours of the numbers 0 .. num - 1, with `bases` and `steps` of each channel."""

    num: int
    bases: tuple[int, ...]
    steps: tuple[int, ...]

    @classmethod
    def of_base(cls, num: int, base: int, channels: int = 3) -> "Palette":
        """One base for all channels, its steps as large as fit into a byte."""
        return cls(num, (base,) * channels, (256 // base,) * channels)

    @cached_property
    def colors(self) -> NDArray[np.uint8]:
        """(num, channels)."""
        digits = np.stack(np.unravel_index(np.arange(self.num), self.bases), axis=1)
        return (255 - digits * np.array(self.steps)).astype(np.uint8)

    def nearest(self, image: Tensor, distance: Distance = "abs") -> tuple[Tensor, Tensor]:
        """Bytes (..., channels) -> number of and distance to the nearest colour, int32; ties take the lowest.

        `mean` distances are doubled, so that all are integers.
        """
        planes = [image[..., c].flatten().int() for c in range(len(self.bases))]
        keys = [
            reduce(torch.add, (table.index_select(0, plane) for table, plane in zip(box, planes, strict=True)))
            for box in self._tables(distance, image.device)
        ]
        key = reduce(torch.minimum, keys).reshape(image.shape[:-1])
        return key % self._scale, key // self._scale

    def stranger(self, image: NDArray[np.uint8]) -> tuple[int, ...] | None:
        """A colour of (H, W, channels) bytes that is neither black nor of the palette; None if there is none."""
        pixels = torch.from_numpy(image.reshape(-1, len(self.bases)))
        wrong = pixels[(self.nearest(pixels)[1] > 0) & (pixels > 0).any(dim=1)]
        return tuple(wrong[0].tolist()) if len(wrong) else None

    @property
    def _scale(self) -> int:
        return math.prod(self.bases)

    def _tables(self, distance: Distance, device: torch.device) -> list[list[Tensor]]:
        """For each box of digits and each channel, by value: the least of distance * scale + number.

        Distances and numbers are sums over channels, so in a box each channel chooses its digit alone; the
        first `num` numbers are a few boxes.
        """
        return [[self._table(c, d, distance).to(device) for c, d in enumerate(box)] for box in self._boxes()]

    def _boxes(self) -> Iterator[list[range]]:
        """0 .. num - 1 as boxes of digits: those with a smaller first digit than `num`, a smaller second, ..."""
        whole = [range(base) for base in self.bases]
        if self.num == self._scale:
            yield whole
            return
        last = [int(digit) for digit in np.unravel_index(self.num, self.bases)]
        for c, digit in enumerate(last):
            if digit:
                yield [*(range(d, d + 1) for d in last[:c]), range(digit), *whole[c + 1 :]]

    def _table(self, channel: int, digits: Sequence[int], distance: Distance) -> Tensor:
        """(256,) of one channel: the least key over `digits`."""
        digit = torch.tensor(digits)
        d = (torch.arange(256)[:, None] - 255 + digit * self.steps[channel]).abs()
        d = {"abs": d, "square": d**2, "mean": d + d**2}[distance]
        return (d * self._scale + digit * math.prod(self.bases[channel + 1 :])).amin(dim=1).int()
