"""Keypoints of a person crop: R is a Gaussian at each joint; G, B its colour on a square; black elsewhere.

Crops are cut and painted while loading, in the random views of which the original wrote 20 copies to files.
"""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from data.coco_persons import read_persons
from data.palette import Palette
from data.person_crop import CROP, MIRRORED, NUM_JOINTS, Label, Person, augment, person_of
from data.roots import Roots, find, names
from data.skeletons import drawn
from data.tasks.base import BLACK, Entry, Interp, Job, Picture, Size, Task, enough_painted, to_pixels
from util.files import write
from util.image import read_rgb

REACH = 9  # pixels from a joint to the end of its Gaussian, whose sigma is 3
OFFSET = np.arange(-REACH, REACH + 1, dtype=np.int16)
DISTANCE = OFFSET[:, None] ** 2 + OFFSET**2  # squared, around a joint
FAR = DISTANCE.max() + 1
PEAK = (255 * np.exp(-np.arange(FAR + 1) / 18)).astype(np.uint8)  # red, by squared distance
PALETTE = Palette.of_base(NUM_JOINTS, 5, channels=2)
GREEN_BLUE = np.concatenate([PALETTE.colors, np.zeros((1, 2), np.uint8)])  # the last is the background

VISIBLE = 0.2  # the score above which a found joint counts

COPIES = 20  # of a training crop in the original's files, of which one is plain
NUM_DRAWS = 10  # of a view, until one shows a joint


class Pose(Task):
    """Person crops of 256 x 192. Left and right have colours of their own, so nothing may flip them later."""

    name = "coco_pose"
    type = "coco_image2pose"
    lists = MappingProxyType(
        {"train": "coco_pose/coco_pose_256x192_train.json", "val": "coco_pose/coco_pose_256x192_val.json"}
    )
    target_interp: Interp = "bicubic"
    augment = False
    canvas_crop = False
    palette = PALETTE

    def encode(self, label: tuple[ArrayLike, ArrayLike]) -> NDArray[np.uint8]:
        """Joints (17, 2), x and y in crop pixels, and which are visible (17,) -> (256, 192, 3).

        A joint outside is painted as far as it reaches in. Where squares collide, the nearest joint of all colours.
        """
        distance, joint = _nearest_joint(*label)
        return np.concatenate([PEAK[distance][..., None], GREEN_BLUE[joint]], axis=2)

    def decode(self, painted: Tensor, size: Size = CROP) -> Tensor:
        """Keypoints (17, 3) in pixels of `size`, as `keypoints` finds them."""
        return keypoints(heatmaps(to_pixels(painted, size, "nearest")))

    def draw(self, label: NDArray[np.floating], image: Picture) -> Picture:
        """The skeleton of keypoints that score enough, on the image."""
        return drawn(image, label, label[:, 2] > VISIBLE)

    def save(self, label: NDArray[np.floating], stem: Path) -> None:
        """A JSON array of 17 keypoints: x and y in pixels, score 0..1."""
        write(stem.with_name(f"{stem.name}.json"), json.dumps(label.tolist()).encode())

    def sources(self, roots: Roots, split: str, offline: bool = False) -> list[Job]:
        """The persons of COCO's keypoint annotations, a job a photograph."""
        folder, listed = f"coco/{split}2017", f"coco/annotations/person_keypoints_{split}2017.json"
        persons, files = read_persons(roots, listed), set(names(roots, folder))
        if missing := persons.keys() - files:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise ValueError(f"{folder}/{min(missing)}{more}, listed in {listed}, is missing; download it again")
        if offline:
            copies = [f"train_256x192_aug{copy}" for copy in range(COPIES)] if split == "train" else ["val_256x192"]
            return [_files_of(find(roots, f"{folder}/{photo}"), labels, copies) for photo, labels in persons.items()]
        jobs = (
            Job([Entry(f"{folder}/{photo}", listed, label) for label in labels if _shows(person_of(label))])
            for photo, labels in persons.items()
        )
        return [job for job in jobs if job.entries]

    def read_pair(
        self, image: Path, target: Path, label: Any, rng: Generator | None
    ) -> tuple[Image.Image, Image.Image]:
        """A crop and its painted joints, with `rng` in a random view; `target` only says where the label is from."""
        if label is None:
            return super().read_pair(image, target, label, rng)
        person, photo = person_of(label), np.asarray(read_rgb(image))
        if rng is not None and rng.random() >= 1 / COPIES:
            person = random_view(person, photo.shape[1], rng)
        return Image.fromarray(person.cut(photo)), Image.fromarray(_paint(person))

    def foreign(self, target: Image.Image) -> str | None:
        """Green and blue of no joint."""
        known = GREEN_BLUE.astype(int) @ (256, 1)
        wrong = np.setdiff1d(np.asarray(target)[..., 1:].astype(int) @ (256, 1), known)
        return f"shows green, blue {divmod(int(wrong[0]), 256)}, which no joint has" if len(wrong) else None

    def loss_weight(self, target: Tensor) -> Tensor:
        """10 on painted values, 1 on the background; 0 everywhere if next to nothing is painted."""
        return torch.where(target > BLACK, 10.0, 1.0) * enough_painted(target)


COCO_POSE = Pose()


def _nearest_joint(joints: ArrayLike, visible: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Of each pixel: squared distance to the nearest joint, FAR at most; the joint that colours it, or 17."""
    margin = 2 * REACH
    h, w = (side + 2 * margin for side in CROP)
    distance, nearest = np.full((h, w), FAR, np.int16), np.full((h, w), NUM_JOINTS, np.uint8)
    square, num_squares = nearest.copy(), np.zeros((h, w), np.uint8)
    centers = np.trunc(np.asarray(joints, np.float64) + 0.5).astype(int) + margin  # towards 0, as the original
    for k in np.flatnonzero(visible):
        x, y = centers[k]
        if not (REACH <= x < w - REACH and REACH <= y < h - REACH):
            continue
        around = np.s_[y - REACH : y + REACH + 1, x - REACH : x + REACH + 1]
        closer = distance[around] > DISTANCE
        distance[around][closer] = DISTANCE[closer]
        nearest[around][closer] = k
        square[y - 5 : y + 5, x - 5 : x + 5] = k
        num_squares[y - 5 : y + 5, x - 5 : x + 5] += 1
    joint = np.where(num_squares > 1, nearest, square)
    return distance[margin:-margin, margin:-margin], joint[margin:-margin, margin:-margin]


def heatmaps(image: Tensor) -> Tensor:
    """Painted crops (..., H, W, 3), bytes -> (..., 17, H, W), bytes: R on the pixels that show the joint's colour.

    That is the nearest in green and blue; black is one more, for the background, and loses ties.
    """
    joint, distance = PALETTE.nearest(image[..., 1:])
    joint = torch.where(distance <= image[..., 1:].sum(dim=-1), joint, NUM_JOINTS)
    joints = torch.arange(NUM_JOINTS, device=image.device)[:, None, None]
    return image[..., None, :, :, 0] * (joint[..., None, :, :] == joints)


def average_flipped(plain: Tensor, flipped: Tensor) -> Tensor:
    """Heat maps (..., 17, H, W) of crops and of their mirror images -> their mean, float32.

    What is flipped back is moved a pixel to the right, its first column kept, as the original does.
    """
    back = flipped.flip(-1)[..., list(MIRRORED), :, :]
    return (plain.float() + torch.cat((back[..., :1], back[..., :-1]), dim=-1)) / 2


def keypoints(heatmaps: Tensor) -> Tensor:
    """Heat maps (..., 17, H, W) of 0..255 -> (..., 17, 3): x and y in their pixels, score 0..1.

    The first maximum, moved .25 towards its larger neighbour in x and in y unless near the border. Empty: (-1, -1, 0).
    """
    h, w = heatmaps.shape[-2:]
    flat = heatmaps.flatten(-2).float()
    peak = flat.argmax(dim=-1, keepdim=True)
    x, y = peak % w, peak // w
    inside = (x > 1) & (x < w - 1) & (y > 1) & (y < h - 1)

    def slope(step: int) -> Tensor:
        ahead, behind = (flat.gather(-1, (peak + s).clamp(0, h * w - 1)) for s in (step, -step))
        return (ahead - behind).sign() * inside / 4

    score = flat.gather(-1, peak)
    position = torch.cat((x + slope(1), y + slope(w)), dim=-1)
    return torch.cat((torch.where(score > 0, position, -1.0), score / 255), dim=-1)


def random_view(person: Person, width: int, rng: Generator) -> Person:
    """A random view that shows a joint, for the original dropped the others; the plain one if none is found."""
    views = (augment(person, width, rng) for _ in range(NUM_DRAWS))
    return next(filter(_shows, views), person)


def _paint(person: Person) -> NDArray[np.uint8]:
    return COCO_POSE.encode((person.crop_joints, person.visible))


def _shows(person: Person) -> bool:
    """Whether anything is painted."""
    joints = person.crop_joints[person.visible]
    return bool(((joints > 0) & (joints < np.array(CROP[::-1]) - 1)).all(axis=1).any()) or bool(_paint(person).any())


def _files_of(photo: Path, labels: Sequence[Label], copies: Sequence[str]) -> Job:
    """The original's files of the persons of a photograph, which leave out what shows no joint."""
    stems = [f"coco_pose/data_pair/{copy}/{photo.stem}_box{k}" for copy in copies for k in range(len(labels))]
    entries = [Entry(f"{stem}_image.png", f"{stem}_label.png") for stem in stems]
    return Job(entries, partial(_make_files, photo, labels, stems))


def _make_files(photo: Path, labels: Sequence[Label], stems: Sequence[str]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Crops and labels under `stems`, all persons plainly and then in random views that the names determine."""
    image = np.asarray(read_rgb(photo))
    for i, stem in enumerate(stems):
        person = person_of(labels[i % len(labels)])
        if i >= len(labels):
            person = augment(person, image.shape[1], np.random.default_rng(list(stem.encode())))
        if (painted := _paint(person)).any():
            yield f"{stem}_image.png", person.cut(image)
            yield f"{stem}_label.png", painted
