"""Depth: metres as gray, 0..10 m over 0..255."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from data.folders import Paths, after, is_folder, is_foreign, paired, subfolders
from data.nyu import LABELED, read_labeled, test_images
from data.roots import Roots, find, has
from data.tasks.base import Entry, Interp, Job, Picture, Size, Task, resize_painted
from util.files import write_png
from util.image import read_uint16
from util.visualize import heat

MAX_MM = 10_000  # millimetres shown as white
SYNC, TEST = "nyu_depth_v2/sync", "nyu_depth_v2/official_splits/test"
KEYS = after("rgb_"), after("sync_depth_")
_GRAY = np.minimum(np.arange(1 << 16) * 255 // MAX_MM, 255).astype(np.uint8)  # of each number of millimetres


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
        return np.repeat(_GRAY.take(label)[..., None], 3, axis=2)

    def decode(self, painted: Tensor, size: Size) -> Tensor:
        """Millimetres (H, W), int32, 0..10 000: clipped, bilinear, mean of the channels, truncated."""
        return resize_painted(painted.mul(MAX_MM).clamp(0, MAX_MM), size, "bilinear").mean(dim=0).int()

    def answer(self, label: NDArray[np.int32]) -> NDArray[np.float32]:
        """Metres (H, W)."""
        return label.astype(np.float32) / np.float32(1000)

    def draw(self, label: NDArray[np.int32], image: Picture) -> Picture:
        """Near is blue, far is red."""
        return heat(label / MAX_MM)

    def save(self, label: NDArray[np.int32], stem: Path) -> None:
        """A 16-bit PNG of millimetres."""
        write_png(stem, label.astype(np.uint16))

    def sources(self, roots: Roots, split: str, offline: bool = False) -> list[Job]:
        """`train`: the frames of SYNC. `val`: the official test images, taken out of the labelled .mat.

        Files of TEST that are not the .mat's are listed instead of it.
        """
        if split == "train":
            return [Job([Entry(*pair) for pair in _frames(roots, SYNC)])]
        jobs = _extractions(roots)
        made = {path for job in jobs for entry in job.entries for path in entry[:2]}
        scenes = list(subfolders(roots, TEST)) if is_folder(roots, TEST) else []
        if jobs and not any(is_foreign(roots, (scene, scene), made, KEYS) for scene in scenes):
            return jobs
        return [Job([Entry(*pair) for pair in _frames(roots, TEST)])]

    def read_target(self, path: Path) -> Image.Image:
        """The millimetre file, painted; one channel stands for three."""
        return Image.fromarray(_GRAY.take(read_uint16(path)))

    def loss_weight(self, target: Tensor) -> Tensor:
        """0 where nothing was measured."""
        return (target >= 1e-4).to(target.dtype)


def _frames(roots: Roots, folder: str) -> list[Paths]:
    return [pair for scene in subfolders(roots, folder) for pair in paired(roots, (scene, scene), KEYS)]


def _extractions(roots: Roots) -> list[Job]:
    """A job for each official test image; none if the labelled .mat is not there."""
    if not has(roots, LABELED):
        return []
    file = find(roots, LABELED)
    entries = [
        (index, Entry(f"{TEST}/{scene}/rgb_{index:05}.jpg", f"{TEST}/{scene}/sync_depth_{index:05}.png"))
        for index, scene in test_images(roots)
    ]
    return [Job([entry], partial(_extract, file, index, entry)) for index, entry in entries]


def _extract(file: Path, index: int, entry: Entry) -> Iterator[tuple[str, NDArray[Any]]]:
    yield from zip(entry[:2], read_labeled(file, index), strict=True)


NYUV2_DEPTH = Depth()
