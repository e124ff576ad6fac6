"""Persons as COCO's annotators saw them: whom a box shows, and how similar keypoints are to a person."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.person_crop import keypoint_array, numbers
from data.roots import Roots, read_json
from eval.metrics.keypoints import SIGMAS

OVERLAP = 0.3  # of a box and a person (IoU), at least, if the box is to show the person


class Annotated(NamedTuple):
    """A person, in pixels of the photograph."""

    box: Sequence[float]
    """x, y, w, h"""
    points: NDArray[np.floating]
    """(17, 3), x, y, and 0 where not labelled; some joint is"""
    area: float
    """of what shows of the person, in square pixels"""


def read_annotated(roots: Roots, listed: str) -> dict[int, list[Annotated]]:
    """The persons on each photograph of a COCO keypoint file, by its id: no crowds, none without keypoints.

    Photographs of nobody have an empty list. ValueError says what the file lacks.
    """
    content = read_json(roots, listed)
    try:
        persons: dict[int, list[Annotated]] = {photo["id"]: [] for photo in content["images"]}
        for entry in content["annotations"]:
            points = keypoint_array(entry["keypoints"])
            if points[:, 2].any() and not entry["iscrowd"]:
                person = Annotated(numbers(entry["bbox"], 4, "bbox"), points, float(entry["area"]))
                persons[entry["image_id"]].append(person)
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{listed} is not made as COCO's files are ({error!r}); download it again") from None
    return persons


def shown(box: Sequence[float], persons: Sequence[Annotated]) -> Annotated | None:
    """The person that a box (x, y, w, h), which has an area, overlaps best; None if none enough."""
    best = max(persons, key=lambda person: _overlap(box, person.box), default=None)
    return best if best and _overlap(box, best.box) >= OVERLAP else None


def similarity(points: NDArray[np.floating], person: Annotated) -> float:
    """COCO's similarity (OKS) of keypoints (17, 2 or 3) to a person, 0..1; only labelled joints count."""
    squares = ((points[:, :2] - person.points[:, :2]) ** 2).sum(axis=1)
    each = np.exp(-squares / (2 * SIGMAS) ** 2 / (person.area + np.spacing(1.0)) / 2)
    return float(each[person.points[:, 2] > 0].mean())


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of boxes x, y, w, h, one of which has an area."""
    w, h = (max(0.0, min(a[i] + a[i + 2], b[i] + b[i + 2]) - max(a[i], b[i])) for i in (0, 1))
    return w * h / (a[2] * a[3] + b[2] * b[3] - w * h)
