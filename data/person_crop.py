"""A person of a list as a 256 x 192 crop of the photograph, plain or in a random view (mmpose's top-down recipe)."""

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating]
Bytes = NDArray[np.uint8]

CROP = (256, 192)  # (h, w)
NUM_JOINTS = 17
MIRRORED = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)  # joint that a joint becomes in a mirror
NUM_UPPER = 11  # joints 0 .. 10 are above the hips
PIXEL_STD = 200  # photograph pixels that a scale of 1 means
PADDING, HALF_BODY_PADDING = 1.25, 1.5

cv2.setNumThreads(0)  # loader processes are the parallelism; each with a thread a core would only get in their way


Label = dict[str, list[float]]
"""a person in a list: "box" (x, y, w, h), "keypoints" (17 times x, y and 0, or 1 if occluded, or 2)"""


class Person(NamedTuple):
    """A person and the view of it; pixels of the photograph, or of its mirror image where `flipped`."""

    center: Floats
    """(2,), x and y"""
    scale: Floats
    """(2,), width and height of the view over PIXEL_STD"""
    joints: Floats
    """(17, 2), x and y, in COCO's order"""
    visible: NDArray[np.bool_]
    """(17,), labelled at all, if only as occluded"""
    flipped: bool = False
    rotation: float = 0.0
    """degrees that the view is turned clockwise"""

    @property
    def matrix(self) -> Floats:
        """(2, 3), photograph -> crop."""
        return crop_matrix(self.center, self.scale, self.rotation)

    @property
    def crop_joints(self) -> Floats:
        """(17, 2), in crop pixels."""
        return transform(self.joints, self.matrix)

    def cut(self, photo: Bytes) -> Bytes:
        """The crop (256, 192, 3) of a photograph (H, W, 3)."""
        return warp(np.ascontiguousarray(photo[:, ::-1]) if self.flipped else photo, self.matrix)


def person_of(label: Any) -> Person:
    """The plain view of what a list tells of a person."""
    if not isinstance(label, dict) or not {"box", "keypoints"} <= label.keys():
        raise ValueError(f"a pose label holds box and keypoints, got {label!r:.80}; prepare the list again")
    if min(numbers(label["box"], 4, "box")[2:]) <= 0:
        raise ValueError(f"box {label['box']} has no area; prepare the list again")
    points = keypoint_array(label["keypoints"])
    return Person(*center_scale(label["box"]), points[:, :2], points[:, 2] > 0)


def keypoint_array(values: Any) -> Floats:
    """(17, 3), of the 51 numbers of COCO."""
    points = np.array(numbers(values, 3 * NUM_JOINTS, "keypoints"), np.float32).reshape(NUM_JOINTS, 3)
    if wrong := set(points[:, 2].tolist()) - {0, 1, 2}:
        raise ValueError(f"visibility {min(wrong):g} of a keypoint is not 0, 1 or 2")
    return points


def numbers(values: Any, count: int, what: str) -> list[float]:
    """The list itself; ValueError unless it holds `count` finite numbers."""
    is_list = isinstance(values, list) and len(values) == count
    if not is_list or not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        raise ValueError(f"{what} must be {count} numbers, got {values!r:.80}")
    return list(values)


def center_scale(box: ArrayLike) -> tuple[Floats, Floats]:
    """Box (x, y, w, h) in pixels -> centre (2,) and scale (2,) of its view: wider than the box by PADDING."""
    x, y, w, h = np.asarray(box, np.float64)
    return np.array([x + w / 2, y + h / 2], np.float32), _scale(w, h, PADDING)


def _scale(w: float, h: float, padding: float) -> Floats:
    """The scale of a padded box, widened to the crop's aspect."""
    aspect = CROP[1] / CROP[0]
    return np.array([max(w, h * aspect), max(h, w / aspect)], np.float32) / np.float32(PIXEL_STD) * np.float32(padding)


def crop_matrix(center: Floats, scale: Floats, rotation: float = 0.0) -> Floats:
    """(2, 3), photograph -> crop: the centre comes to the middle, the width of the scale to the crop's width."""
    zoom = CROP[1] / (PIXEL_STD * float(scale[0]))
    cos, sin = zoom * np.cos(np.radians(rotation)), zoom * np.sin(np.radians(rotation))
    turn = np.array([[cos, sin], [-sin, cos]])
    middle = np.array([CROP[1] / 2, CROP[0] / 2])
    return np.column_stack((turn, middle - turn @ center.astype(np.float64)))


def warp(photo: Bytes, matrix: Floats) -> Bytes:
    """The crop (256, 192, 3), bilinear; black outside the photograph."""
    return np.asarray(cv2.warpAffine(photo, matrix, CROP[::-1], flags=cv2.INTER_LINEAR), np.uint8)


def transform(points: Floats, matrix: Floats) -> Floats:
    """Points (..., 2) through a matrix (2, 3)."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def to_photo(points: Floats, center: Floats, scale: Floats) -> Floats:
    """Points (..., 2) of an unturned crop in pixels of its photograph."""
    return points * (PIXEL_STD * scale / np.array(CROP[::-1])) + center - PIXEL_STD / 2 * scale


def augment(person: Person, width: int, rng: Generator) -> Person:
    """A random view, of a photograph `width` wide: shifted, flipped, half the body, scaled and turned, in this order.

    Probabilities and ranges are mmpose's defaults, as the original's configuration has them.
    """
    person = shift_center(person, rng) if rng.random() < 0.3 else person
    person = flip(person, width) if rng.random() < 0.5 else person
    if person.visible.sum() > 8 and rng.random() < 0.3:
        person = half_body(person, rng)
    return scale_and_turn(person, rng)


def shift_center(person: Person, rng: Generator) -> Person:
    """The view moved by up to .16 of its size each way."""
    shift = rng.uniform(-1, 1, 2) * 0.16 * PIXEL_STD * person.scale
    return person._replace(center=person.center + shift)


def flip(person: Person, width: int) -> Person:
    """The person in the mirror image of a photograph `width` wide; left and right joints change places."""
    mirror, offset = np.array([-1, 1]), np.array([width - 1, 0])
    return person._replace(
        center=person.center * mirror + offset,
        joints=(person.joints * mirror + offset)[list(MIRRORED)],
        visible=person.visible[list(MIRRORED)],
        flipped=not person.flipped,
    )


def half_body(person: Person, rng: Generator) -> Person:
    """A view of the upper or the lower joints alone; unchanged where they have no extent."""
    is_upper = np.arange(NUM_JOINTS) < NUM_UPPER
    upper, lower = person.joints[person.visible & is_upper], person.joints[person.visible & ~is_upper]
    prefer_upper = rng.normal() < 0.5  # a normal draw, hence 69 %: mmpose's slip, but the recipe
    chosen = lower if len(lower) > 2 and not (prefer_upper and len(upper) > 2) else upper
    if len(chosen) < 2 or not np.ptp(chosen, axis=0).any():
        return person
    w, h = np.ptp(chosen, axis=0)
    return person._replace(center=chosen.mean(axis=0), scale=_scale(w, h, HALF_BODY_PADDING))


def scale_and_turn(person: Person, rng: Generator) -> Person:
    """The view .5 .. 1.5 times as large, turned by up to 80 degrees with probability .6."""
    factor = np.clip(rng.normal() * 0.5 + 1, 0.5, 1.5)
    rotation = np.clip(rng.normal() * 40, -80, 80) if rng.random() < 0.6 else 0.0
    return person._replace(scale=person.scale * factor, rotation=float(rotation))
