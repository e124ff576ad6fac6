"""Pairs -> training samples: two pairs of one type, stitched and masked (paper, section 3.3).

A sample holds bytes: `data.canvas.finish` crops, normalises and weights whole batches on their device.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from data.masking import block_mask
from data.pairs import Pair, read_pair
from data.prompt import Grid, half_mask, stitch
from data.roots import Roots
from data.sampler import Draw
from data.tasks import Interp, task_of
from data.transforms import CANVAS_RATIO, AugmentConfig, augment_pair, random_crop_box, resize_pair

TRIES = 20  # other pairs that may stand in for a broken one in one sample


@dataclass(frozen=True)
class MaskConfig:
    """Which target tokens are hidden in training; the defaults are those of the released 56 x 28 canvas."""

    half_ratio: float = 0.1
    """share of samples with exactly the query half hidden, as at inference"""
    ratio: float = 0.5
    """share of tokens hidden by block masking otherwise (the paper says .75, the code .5)"""
    block_size: tuple[int, int] = (16, 392)
    """least and most tokens of a block"""

    def __post_init__(self) -> None:
        if not (0 <= self.half_ratio <= 1 and 0 < self.ratio < 1):
            raise ValueError(f"mask ratios must lie in 0..1, got half_ratio {self.half_ratio}, ratio {self.ratio}")
        if not 1 <= self.block_size[0] <= self.block_size[1]:
            raise ValueError(f"mask block_size {self.block_size} must be (least, most) tokens with 1 <= least <= most")


class Sample(NamedTuple):
    """A stitched canvas, or a batch of them; collates field by field."""

    image: Tensor
    """(3, H, W) uint8, not yet cropped"""
    target: Tensor
    """(3, H, W) uint8, not yet cropped"""
    mask: Tensor
    """(h, w) bool over tokens of the cropped canvas, True = hidden"""
    crop: Tensor
    """(4,) int64: top, left, h, w of the canvas's crop, all of it where there is none"""
    target_interp: str
    """how the target is resized in the crop; the image is always bicubic"""
    type: str
    """pair type of both halves"""
    files: str
    """where the two pairs are listed, for messages"""
    source: str
    """pair list of the pair on top"""
    broken: str
    """a line for each pair that could not be read and was replaced"""


class PairDataset(Dataset[Sample]):
    """`dataset[draw]` is a pure function of the draw: its pair on top, a random second pair of its type below.

    A pair that cannot be read is a ValueError; with `quarantine`, another one of its list and type stands in for it.
    """

    def __init__(
        self,
        roots: Roots,
        pairs: Sequence[Pair],
        canvas: tuple[int, int],
        grid: Grid,
        mask: MaskConfig,
        train: bool,
        augment: AugmentConfig = AugmentConfig(),  # noqa: B008 (frozen)
        target_interp: Mapping[str, Interp] = MappingProxyType({}),
        quarantine: bool = False,
    ) -> None:
        """`target_interp` overrides the tasks' own, by pair type."""
        self.roots, self.pairs, self.grid, self.mask, self.train = roots, pairs, grid, mask, train
        self.augment, self.target_interp, self.quarantine = augment, target_interp, quarantine
        self.half_size = (canvas[0] // 2, canvas[1])
        self.by_type: defaultdict[str, list[int]] = defaultdict(list)
        self.by_list: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        for i, pair in enumerate(pairs):
            self.by_type[pair.type].append(i)
            self.by_list[pair.listed_in, pair.type].append(i)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, draw: Draw) -> Sample:
        rng = np.random.default_rng(draw.seed)
        first = self.pairs[draw.index]
        alike = self.by_type[first.type]
        second = self.pairs[alike[rng.integers(len(alike))]]
        task = task_of(first.type)
        interp = self.target_interp.get(first.type, task.target_interp)
        broken: list[str] = []
        halves = (self._half(pair, task.augment, interp, rng, broken) for pair in (first, second))
        (first, top_image, top_target), (second, low_image, low_target) = halves
        image, target = stitch(top_image, low_image), stitch(top_target, low_target)
        half_masked = not self.train or rng.random() < self.mask.half_ratio
        size = (image.shape[1], image.shape[2])
        crop = (0, 0, *size)
        if task.canvas_crop and not half_masked:
            crop = random_crop_box(size, self.augment.crop_scale, CANVAS_RATIO, rng)
        return Sample(
            image,
            target,
            half_mask(self.grid) if half_masked else self._block_mask(rng),
            torch.tensor(crop),
            interp,
            first.type,
            f"{first} ({first.image_path}) above {second} ({second.image_path})",
            first.listed_in,
            "\n".join(broken),
        )

    def _half(
        self, pair: Pair, augment: bool, interp: Interp, rng: Generator, broken: list[str]
    ) -> tuple[Pair, Tensor, Tensor]:
        """The pair, or what stands in for it, at the size of half a canvas, (3, H/2, W) uint8."""
        pair, image, target = self._read(pair, rng, broken)
        if self.train and augment:
            half = augment_pair(image, target, self.half_size, interp, self.augment, rng)
        else:
            half = resize_pair(image, target, self.half_size, interp)
        return pair, torch.from_numpy(half[0]), torch.from_numpy(half[1])

    def _read(self, pair: Pair, rng: Generator, broken: list[str]) -> tuple[Pair, Image.Image, Image.Image]:
        """The pair and what it shows, or another one; `broken` gets a line for each that cannot be read."""
        for candidate in self._candidates(pair, rng):
            try:
                return candidate, *read_pair(self.roots, candidate, rng if self.train else None)
            except ValueError as error:
                if not self.quarantine:
                    raise
                broken.append(" ".join(str(error).splitlines()))
        raise ValueError(f"{pair.listed_in}: no pair drawn for a sample can be read, as the last of them: {broken[-1]}")

    def _candidates(self, pair: Pair, rng: Generator) -> Iterator[Pair]:
        """The pair itself; then, and `rng` is not asked before, others of its list and type, each once."""
        yield pair
        alike = self.by_list[pair.listed_in, pair.type]
        others = (self.pairs[alike[i]] for i in rng.choice(len(alike), min(TRIES, len(alike)), replace=False))
        yield from (other for other in others if other != pair)

    def _block_mask(self, rng: Generator) -> Tensor:
        return block_mask(self.grid, round(self.mask.ratio * self.grid[0] * self.grid[1]), self.mask.block_size, rng)
