"""Semantic segmentation: a colour a class, black where nothing is labelled."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from data.coco import NUMBERS, panoptic_ids, read_panoptic
from data.folders import paired
from data.palette import Distance, Palette
from data.roots import Roots, find
from data.tasks.base import BLACK, Entry, Job, Size, Task, to_pixels
from util.files import write_png
from util.image import check_same_size, read_bytes

IGNORE = 255  # the class of a pixel without a label


@dataclass(frozen=True, eq=False)
class Semantic(Task):
    """Class maps (H, W), bytes: 0 .. num - 1, or IGNORE."""

    name: str
    type: str
    lists: dict[str, str]
    palette: Palette

    def encode(self, label: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W) classes -> (H, W, 3) colours. Raises ValueError on a class outside the palette."""
        if wrong := set(np.unique(label)) - {*range(self.palette.num), IGNORE}:
            raise ValueError(f"class {min(wrong)} is outside the palette of {self.palette.num}")
        return np.concatenate([self.palette.colors, np.zeros((256 - self.palette.num, 3), np.uint8)])[label]

    def decode(self, painted: Tensor, size: Size, distance: Distance = "abs") -> Tensor:
        """The nearest class of each pixel (H, W), bytes; black has none and goes to the nearest like any colour."""
        return self.nearest(to_pixels(painted, size, "bilinear"), distance)

    def nearest(self, image: Tensor, distance: Distance = "abs") -> Tensor:
        """(..., 3) bytes -> (...) classes; ties take the lowest."""
        return self.palette.nearest(image, distance)[0].byte()

    def save(self, label: NDArray[np.uint8], stem: Path) -> None:
        """A gray PNG of class numbers."""
        write_png(stem, label)

    def foreign(self, target: Image.Image) -> str | None:
        """A colour of no class."""
        color = self.palette.stranger(np.array(target))
        return f"shows {color}, the colour of no class" if color else None

    def loss_weight(self, target: Tensor) -> Tensor:
        """0 on unlabelled (black) values."""
        return (target >= BLACK).to(target.dtype)


def ade_classes(annotation: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Values of an ADE20K file, 0 = other, 1..150 -> classes. Raises ValueError above 150."""
    if (largest := annotation.max(initial=0)) > 150:
        raise ValueError(f"label {largest} is outside ADE20K's 0..150")
    return annotation - np.uint8(1)  # 0 becomes 255 = IGNORE


def panoptic_classes(image: NDArray[np.uint8], segments: Iterable[Mapping[str, Any]]) -> NDArray[np.uint8]:
    """A panoptic file (H, W, 3) and its segments -> classes (H, W); crowds too; IGNORE where no segment is listed.

    A segment that is not in the file does no harm. Raises ValueError on a category that COCO does not have.
    """
    classes = {}
    for segment in segments:
        if segment["category_id"] not in NUMBERS:
            raise ValueError(
                f"segment {segment['id']} is of category {segment['category_id']}, which COCO does not have"
            )
        classes[segment["id"]] = NUMBERS[segment["category_id"]]
    ids, pixels = np.unique(panoptic_ids(image), return_inverse=True)
    return np.array([classes.get(i, IGNORE) for i in ids.tolist()], np.uint8)[pixels].reshape(image.shape[:2])


def vote(palette: Palette, image: Tensor, masks: Tensor, num_classes: int = 80) -> Tensor:
    """The class (N,) that a painted semantic image (H, W, 3) gives each mask (N, H, W), of the first `num_classes`.

    The class with the least sum of L1 distances over the mask's pixels, as the original's sum of 1 - distance /
    largest distance; ties and empty masks take the lowest. Summed per channel, over the 256 values.
    """
    if not len(masks):
        return torch.zeros(0, dtype=torch.long, device=image.device)
    shift = torch.arange(0, 768, 256, device=image.device)  # one histogram a channel, side by side
    values = image.flatten(0, 1) + shift
    counts = torch.stack([values[m].flatten().bincount(minlength=768) for m in masks.bool().flatten(1)])
    colors = torch.from_numpy(palette.colors[:num_classes]).to(image.device).int()
    distance = (torch.arange(256, device=image.device)[:, None, None] - colors).abs()  # (256, classes, 3)
    total = counts.double() @ distance.permute(2, 0, 1).flatten(0, 1).double()
    return total.argmin(dim=1)


class Ade20k(Semantic):
    """The SceneParsing release: 150 classes."""

    def save(self, label: NDArray[np.uint8], stem: Path) -> None:
        """Classes from 1, as annotations have them."""
        super().save(label + np.uint8(1), stem)

    def sources(self, roots: Roots, split: str, offline: bool = False) -> list[Job]:
        """A job for each annotation, painted into annotations_with_color."""
        name = {"train": "training", "val": "validation"}[split]
        pairs = paired(roots, (f"ade20k/images/{name}", f"ade20k/annotations/{name}"))
        entries = [Entry(image, label.replace("annotations", "annotations_with_color", 1)) for image, label in pairs]
        return [
            Job([entry], partial(paint_ade, find(roots, entry.image_path), find(roots, label), entry.target_path))
            for entry, (_, label) in zip(entries, pairs, strict=True)
        ]


class CocoSemantic(Semantic):
    """The panoptic annotations of COCO 2017, things and stuff alike."""

    def sources(self, roots: Roots, split: str, offline: bool = False) -> list[Job]:
        """A job for each photograph with segments."""
        folder = f"coco/pano_sem_seg/panoptic_segm_{split}2017_with_color"
        return [
            _coco_job(roots, image, png, segments, f"{folder}/{Path(png).name}")
            for image, png, segments in read_panoptic(roots, split)
            if segments
        ]


def _coco_job(roots: Roots, image: str, png: str, segments: list[dict[str, int]], target: str) -> Job:
    return Job([Entry(image, target)], partial(paint_coco, find(roots, image), find(roots, png), segments, target))


def read_ade(file: Path) -> NDArray[np.uint8]:
    """The classes (H, W) of an annotation; ValueError names the file and what is wrong with it."""
    annotation = read_bytes(file, "L", "P")
    try:
        return ade_classes(annotation)
    except ValueError as error:
        raise ValueError(f"{file}: {error}; use the SceneParsing release") from None


def paint_ade(photo: Path, file: Path, target_path: str) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """An annotation of ADE20K as its target."""
    classes = read_ade(file)
    check_same_size(photo, file, classes.shape)
    yield target_path, ADE20K_SEMANTIC.encode(classes)


def paint_coco(
    photo: Path, file: Path, segments: list[dict[str, int]], target_path: str
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """A panoptic file of COCO as its target."""
    image = read_bytes(file, "RGB")
    check_same_size(photo, file, image.shape)
    yield target_path, COCO_SEMANTIC.encode(panoptic_classes(image, segments))


ADE20K_SEMANTIC = Ade20k(
    "ade20k_semantic",
    "ade20k_image2semantic",
    {
        "train": "ade20k/ade20k_training_image_semantic.json",
        "val": "ade20k/ade20k_validation_image_semantic.json",
    },
    Palette.of_base(150, 6),
)
COCO_SEMANTIC = CocoSemantic(
    "coco_semantic",
    "coco_image2panoptic_sem_seg",
    {
        "train": "coco/pano_sem_seg/coco_train2017_image_panoptic_sem_seg.json",
        "val": "coco/pano_sem_seg/coco_val2017_image_panoptic_sem_seg.json",
    },
    Palette.of_base(133, 7),
)
