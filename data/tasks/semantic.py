"""Semantic segmentation: a colour a class, black where nothing is labelled."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from data.coco import CATEGORIES, panoptic_ids
from data.palette import Distance, Palette
from data.tasks.base import BLACK, Size, Task, to_pixels

IGNORE = 255  # the class of a pixel without a label


@dataclass(frozen=True)
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

    def foreign(self, target: Image.Image) -> str | None:
        """A colour of no class."""
        colors = {color for _, color in target.getcolors(1 << 24) or []}
        known = {(0, 0, 0), *map(tuple, self.palette.colors.tolist())}
        return f"shows {min(colors - known)}, the colour of no class" if colors - known else None

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
    numbers = {category.id: number for number, category in enumerate(CATEGORIES)}
    classes = {}
    for segment in segments:
        if segment["category_id"] not in numbers:
            raise ValueError(f"segment {segment['id']} is of category {segment['category_id']}, which COCO does not have")
        classes[segment["id"]] = numbers[segment["category_id"]]
    ids, pixels = np.unique(panoptic_ids(image), return_inverse=True)
    return np.array([classes.get(i, IGNORE) for i in ids.tolist()], np.uint8)[pixels].reshape(image.shape[:2])


def vote(palette: Palette, image: Tensor, masks: Tensor, num_classes: int = 80) -> Tensor:
    """The class (N,) that a painted semantic image (H, W, 3) gives each mask (N, H, W), of the first `num_classes`.

    The class with the least sum of L1 distances over the mask's pixels, as the original's sum of 1 - distance /
    largest distance; ties and empty masks take the lowest. Summed per channel, over the 256 values.
    """
    values = torch.arange(256, device=image.device)
    colors = torch.from_numpy(palette.colors[:num_classes]).to(image.device).int()
    total = torch.zeros(len(masks), num_classes, dtype=torch.long)
    for c in range(3):
        counts = torch.stack([torch.bincount(image[..., c][mask].long(), minlength=256) for mask in masks.bool()])
        total = total + counts.double().matmul((values[:, None] - colors[:, c]).abs().double()).long()
    return total.argmin(dim=1)


ADE20K_SEMANTIC = Semantic(
    "ade20k_semantic",
    "ade20k_image2semantic",
    {
        "train": "ade20k/ade20k_training_image_semantic.json",
        "val": "ade20k/ade20k_validation_image_semantic.json",
    },
    Palette.of_base(150, 6),
)
COCO_SEMANTIC = Semantic(
    "coco_semantic",
    "coco_image2panoptic_sem_seg",
    {
        "train": "coco/pano_sem_seg/coco_train2017_image_panoptic_sem_seg.json",
        "val": "coco/pano_sem_seg/coco_val2017_image_panoptic_sem_seg.json",
    },
    Palette.of_base(133, 7),
)
