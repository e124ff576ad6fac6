"""Class-agnostic instance segmentation: an object's colour tells the place of its centre.

The image is divided into 80 x 80 cells, 4 x 4 groups of 20 x 20. Red is the group of the cell that holds the
centre of mass, green and blue are the cell's row and column in it. Stuff and crowds are black.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from data.coco import CATEGORIES, panoptic_ids, read_panoptic
from data.color_masks import Colors, areas, centers_of, distinct, masks_near, overlaps
from data.matrix_nms import decay, iou
from data.palette import Palette
from data.roots import Roots, find
from data.scale_jitter import FLIPPED, PLAIN, View, draw_view
from data.tasks.base import Entry, Job, Picture, Size, Task, enough_painted, to_pixels
from util.files import write, write_png
from util.image import check_same_size, read_bytes, read_rgb
from util.visualize import blend, distinct_colors

MAX_CANDIDATES, MAX_INSTANCES = 2000, 100
NUM_JITTERED = 30  # copies of a training photograph that the original painted, next to a plain and a flipped one
THINGS = frozenset(category.id for category in CATEGORIES if category.is_thing)
FOLDER = "coco/pano_ca_inst"


class Instances(NamedTuple):
    """Decoded, best first."""

    masks: Tensor
    """(N, H, W) bool; they may overlap"""
    scores: Tensor
    """(N,) float32, 0..1"""


class Candidates(NamedTuple):
    """Masks of palette colours before suppression, best first; not drawn."""

    centers: Tensor
    """(K, 3), the colours"""
    scores: Tensor
    """(K,) float64"""
    areas: Tensor
    """(K,) pixels, float64"""


class Instance(Task):
    """Painted instance maps; positions are absolute, so nothing may move them later: no crop, no flip."""

    name = "coco_instance"
    type = "coco_image2panoptic_inst"
    lists = MappingProxyType(
        {
            "train": f"{FOLDER}/coco_train_image_panoptic_inst.json",
            "val": f"{FOLDER}/coco_val_image_panoptic_inst.json",
        }
    )
    augment = False
    canvas_crop = False
    palette = Palette(6400, bases=(16, 20, 20), steps=(15, 13, 13))

    def encode(self, label: NDArray[Any]) -> NDArray[np.uint8]:
        """Masks (N, H, W), 0 or 1 -> (H, W, 3). Raises ValueError where masks overlap, as in the original."""
        masks = np.asarray(label, bool)
        if (masks.sum(axis=0) > 1).any():
            raise ValueError("masks overlap; give each pixel to one instance")
        numbers = np.arange(1, len(masks) + 1, dtype=np.uint16)
        return self.paint((masks * numbers[:, None, None]).sum(axis=0, dtype=np.uint16), len(masks))

    def paint(self, index: NDArray[np.uint16], num: int) -> NDArray[np.uint8]:
        """Instance of each pixel (H, W), 1..num, 0 = none -> (H, W, 3)."""
        cells = centers_of(index, num) / np.array(index.shape)[:, None] * 79  # 79: the last cell stays free
        row, column = cells.astype(int)
        numbers = np.ravel_multi_index((row // 20, column // 20, row % 20, column % 20), (4, 4, 20, 20))
        colors = np.zeros((num + 1, 4), np.uint8)
        colors[1:, :3] = self.palette.colors[numbers]
        painted = colors.view(np.uint32).take(index)  # a pixel at a time
        return np.asarray(cv2.cvtColor(painted.view(np.uint8).reshape(*index.shape, 4), cv2.COLOR_RGBA2RGB), np.uint8)

    def decode(self, painted: Tensor, size: Size, dist_thr: float = 19) -> Instances:
        """Up to 100 instances; `dist_thr`: largest mean difference over channels from an instance's colour."""
        return self.instances(to_pixels(painted, size, "nearest"), dist_thr)

    def instances(self, image: Tensor, dist_thr: float = 19) -> Instances:
        """The instances of an image (H, W, 3) of bytes; without any, an empty mask of score 0.

        A colour of the palette is a candidate, its mask the pixels nearer than `dist_thr`. Neighbouring
        colours have nearly the same mask, of which matrix NMS leaves one.
        """
        colors = distinct(image)
        found = self.candidates(colors, dist_thr)
        if not len(found.scores):
            return Instances(torch.zeros_like(image[None, ..., 0], dtype=torch.bool), found.scores.new_zeros(1).float())
        shared = overlaps(colors, found.centers, _reach(dist_thr))
        scores = found.scores * decay(iou(shared, found.areas.to(shared.dtype)))
        best = scores.argsort(descending=True, stable=True)[:MAX_INSTANCES]
        return Instances(masks_near(image, found.centers[best], _reach(dist_thr)), scores[best].float())

    def draw(self, label: Instances, image: Picture) -> Picture:
        """Each instance in a colour of its own, the best on top, with a white edge."""
        index, colors = _index(label), np.zeros((*image.shape[:2], 3), np.uint8)
        colors[index > 0] = distinct_colors(len(label.scores))[index[index > 0] - 1]
        edge = cv2.morphologyEx(index, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
        return np.where(edge[..., None], np.uint8(255), blend(image, colors))

    def save(self, label: Instances, stem: Path) -> None:
        """A 16-bit PNG, the number of the best instance at each pixel, from 1, 0 = none; and the scores as JSON."""
        write_png(stem, _index(label))
        write(stem.with_name(f"{stem.name}.json"), json.dumps({"scores": label.scores.tolist()}).encode())

    def candidates(self, colors: Colors, dist_thr: float = 19) -> Candidates:
        """The 2000 colours whose masks, in an image of such colours, are nearest to them; ties: the lower number.

        The score falls with the mean distance of the mask's pixels: 1 at no distance, 0 for the worst one.
        """
        pixels, distances = areas(self.palette, colors, _reach(dist_thr))
        present = pixels.nonzero()[:, 0]
        means = distances[present] / (3 * pixels[present])
        means, order = means.sort(stable=True)
        means, numbers = means[:MAX_CANDIDATES], present[order[:MAX_CANDIDATES]]
        centers = torch.from_numpy(self.palette.colors).int().to(numbers.device)[numbers]
        return Candidates(centers, 1 - means / means[-1:].clamp(min=1), pixels[numbers])

    def nearest(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The number of the nearest colour of each pixel of (H, W, 3) bytes, 6400 = black, and its L1 distance."""
        number, distance = self.palette.nearest(image)
        black = image.sum(dim=-1, dtype=torch.int32)
        return torch.where(black < distance, self.palette.num, number), torch.minimum(black, distance)

    def sources(self, roots: Roots, split: str, offline: bool = False) -> list[Job]:
        """COCO's photographs and panoptic files, without those that show no instance; or the original's copies."""
        entries = [
            Entry(photo.image_path, photo.png_path, {"segments": things})
            for photo in read_panoptic(roots, split)
            if (things := [segment["id"] for segment in photo.segments if is_instance(segment)])
        ]
        return [_copies(roots, entry, split) if offline else Job((entry,)) for entry in entries]

    def read_pair(
        self, image: Path, target: Path, label: Any, rng: Generator | None
    ) -> tuple[Image.Image, Image.Image]:
        """As in the base; or instances {"segments": [ids]} of a panoptic file, painted at 1024 x 1024.

        `rng` draws one of the original's copies of a photograph: jittered, 30 of 32, plain or flipped. There are
        none that show nothing: these are drawn again, at last plainly.
        """
        if label is None:
            return super().read_pair(image, target, label, rng)
        pixels, index, num = _read(image, target, label)
        view, index = _draw_visible(index, rng) if rng else (PLAIN, PLAIN.of_labels(index))
        return Image.fromarray(view.of_image(pixels)), Image.fromarray(self.paint(index, num))

    def foreign(self, target: Image.Image) -> str | None:
        """A colour that is neither black nor of the palette."""
        color = self.palette.stranger(np.array(target))
        return f"shows {color}, the colour of no place" if color else None

    def loss_weight(self, target: Tensor) -> Tensor:
        """1, or 0 everywhere if the canvas shows next to no object."""
        return enough_painted(target).to(target.dtype).expand_as(target)


def _index(label: Instances) -> NDArray[np.uint16]:
    """The best instance at each pixel (H, W), from 1; 0 = none, as where nothing was found at all."""
    masks = np.asarray(label.masks)
    return np.where(masks.any(axis=0), masks.argmax(axis=0) + 1, 0).astype(np.uint16)


def _reach(dist_thr: float) -> int:
    """The least L1 distance over three channels that is too far."""
    return math.ceil(3 * dist_thr)


def is_instance(segment: Mapping[str, Any]) -> bool:
    """Whether a panoptic segment is painted: it is a thing, and no crowd."""
    return segment["category_id"] in THINGS and not segment["iscrowd"]


def _read(image: Path, target: Path, label: Any) -> tuple[NDArray[np.uint8], NDArray[np.uint16], int]:
    """Photograph (H, W, 3), instance of each of its pixels (H, W), number of instances."""
    segments = label.get("segments") if isinstance(label, dict) else None
    if not isinstance(segments, list) or any(type(i) is not int or not 0 < i < 1 << 24 for i in segments):
        raise ValueError(f'the label of {target} must be {{"segments": [ids]}}, ids of 1..16777215; got {label!r:.120}')
    pixels, index = np.asarray(read_rgb(image)), read_index(target, segments)
    check_same_size(image, target, index.shape)
    return pixels, index, len(segments)


def read_index(path: Path, segments: Sequence[int]) -> NDArray[np.uint16]:
    """A panoptic file -> the place in `segments` of each pixel (H, W), from 1; 0 for all other ids.

    A segment that is not in the file does no harm.
    """
    image = read_bytes(path, "RGB")
    table = np.zeros(1 << 24, np.uint16)  # of which the system hands out only what is touched
    table[list(segments)] = np.arange(1, len(segments) + 1)
    return table[panoptic_ids(image)]


def _draw_visible(index: NDArray[np.uint16], rng: Generator) -> tuple[View, NDArray[np.uint16]]:
    """A random copy's view, and what it shows of an index map (H, W)."""
    for _ in range(10):
        copy = rng.integers(NUM_JITTERED + 2)
        view = (PLAIN, FLIPPED)[copy] if copy < 2 else draw_view(rng)
        if (seen := view.of_labels(index)).any():
            return view, seen
    return PLAIN, PLAIN.of_labels(index)


def _copies(roots: Roots, photo: Entry, split: str) -> Job:
    """The original's files of one photograph."""
    jittered = [f"train_aug{i}" for i in range(NUM_JITTERED)]
    folders = ["train_org", "train_flip", *jittered] if split == "train" else ["val_org"]
    stem = Path(photo.image_path).stem
    paths = [(f"{FOLDER}/{x}/{stem}_image_{x}.png", f"{FOLDER}/{x}/{stem}_label_{x}.png") for x in folders]
    image, target = find(roots, photo.image_path), find(roots, photo.target_path)
    return Job([Entry(*both) for both in paths], partial(_paint_copies, image, target, photo.label, paths))


def _paint_copies(
    image: Path, target: Path, label: Any, paths: Sequence[tuple[str, str]]
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """The files of copies that show an instance: plain, flipped, jittered, the same whenever they are made."""
    pixels, index, num = _read(image, target, label)
    rng = np.random.default_rng(list(image.stem.encode()))
    for i, (image_path, target_path) in enumerate(paths):
        view = (PLAIN, FLIPPED)[i] if i < 2 else draw_view(rng)
        if (seen := view.of_labels(index)).any():
            yield image_path, view.of_image(pixels)
            yield target_path, COCO_INSTANCE.paint(seen, num)


COCO_INSTANCE = Instance()
