"""Denoising, deraining, low-light enhancement: the label is an image already."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from data.folders import Paths, is_foreign, paired
from data.roots import Roots, find, has
from data.sidd import (
    CLEAN_BLOCKS,
    DATA,
    NOISY_BLOCKS,
    block_names,
    cut,
    patch_names,
    photographs,
    read_blocks,
)
from data.tasks.base import Entry, Job, Picture, Size, Task, resize_painted
from util.files import write_png

Pictures = Callable[[], Iterator[tuple[Picture, Picture]]]


@dataclass(frozen=True, eq=False)
class Restoration(Task):
    """Degraded and clean photographs. Targets are resized by nearest, as the released model was trained."""

    name: str
    type: str
    lists: dict[str, str]
    folders: Mapping[str, Paths]
    """of each split: degraded and clean photographs of the same names"""

    def sources(self, roots: Roots, split: str, offline: bool = False) -> list[Job]:
        """The files of both folders."""
        return [Job([Entry(*pair) for pair in paired(roots, self.folders[split])])]

    def encode(self, label: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 3) bytes, as they are."""
        return label

    def answer(self, label: NDArray[Any]) -> NDArray[np.uint8]:
        """Bytes, truncated as the original's."""
        return (label * 255).astype(np.uint8)

    def draw(self, label: NDArray[Any], image: Picture) -> Picture:
        """The photograph itself."""
        return self.answer(label)

    def save(self, label: NDArray[Any], stem: Path) -> None:
        """An 8-bit PNG."""
        write_png(stem, self.answer(label))

    def decode(self, painted: Tensor, size: Size) -> Tensor:
        """The restored photograph, (H, W, 3) in 0..1: resized by bicubic interpolation, then clipped."""
        return resize_painted(painted, size, "bicubic").clamp(0, 1).permute(1, 2, 0)


class Denoise(Restoration):
    """SIDD: noisy and clean patches of photographs, and blocks to validate on."""

    def sources(self, roots: Roots, split: str, offline: bool = False) -> list[Job]:
        """Patches of each photograph, or all blocks. Files there that are of another making are listed instead."""
        jobs = (self._cuts if split == "train" else self._blocks)(roots)
        made = {path for job in jobs for entry in job.entries for path in entry[:2]}
        if jobs and not is_foreign(roots, self.folders[split], made):
            return jobs
        return super().sources(roots, split)

    def _cuts(self, roots: Roots) -> list[Job]:
        """A job for each photograph; none if the photographs are not there."""
        if not has(roots, DATA):
            return []
        jobs = []
        for number, files in photographs(roots).items():
            names = patch_names(files[0], number)
            jobs.append(self._job("train", names, partial(cut, *files, number, len(names))))
        return jobs

    def _blocks(self, roots: Roots) -> list[Job]:
        """A job for all blocks; none if neither .mat is there."""
        if not has(roots, NOISY_BLOCKS) and not has(roots, CLEAN_BLOCKS):
            return []
        names = block_names(roots)
        return [self._job("val", names, partial(read_blocks, find(roots, NOISY_BLOCKS), find(roots, CLEAN_BLOCKS)))]

    def _job(self, split: str, names: Sequence[str], pictures: Pictures) -> Job:
        entries = [Entry(*(f"{folder}/{name}" for folder in self.folders[split])) for name in names]
        return Job(entries, partial(_named, entries, pictures))


def _named(entries: Sequence[Entry], pictures: Pictures) -> Iterator[tuple[str, NDArray[Any]]]:
    for entry, pair in zip(entries, pictures(), strict=True):
        yield from zip(entry[:2], pair, strict=True)


DENOISE = Denoise(
    "denoise",
    "ssid_image2denoise",
    {"train": "denoise/denoise_ssid_train.json", "val": "denoise/denoise_ssid_val.json"},
    {
        "train": ("denoise/train/input", "denoise/train/groundtruth"),
        "val": ("denoise/val/input", "denoise/val/groundtruth"),
    },
)
DERAIN = Restoration(
    "derain",
    "derain_image2derain",
    {"train": "derain/derain_train.json", "val": "derain/derain_test_rain100h.json"},
    {
        "train": ("derain/train/input", "derain/train/target"),
        "val": ("derain/test/Rain100H/input", "derain/test/Rain100H/target"),
    },
)
ENHANCE = Restoration(
    "enhance",
    "lol_image2enhance",
    {"train": "light_enhance/enhance_lol_train.json", "val": "light_enhance/enhance_lol_val.json"},
    {
        "train": ("light_enhance/our485/low", "light_enhance/our485/high"),
        "val": ("light_enhance/eval15/low", "light_enhance/eval15/high"),
    },
)
