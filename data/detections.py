"""Boxes in which a detector saw persons, of a COCO result file."""

import math
from collections import defaultdict
from typing import Any, NamedTuple

from data.person_crop import numbers
from data.roots import Roots, read_json

PERSON = 1  # category
KEYS = ("image_id", "category_id", "bbox", "score")


class Detection(NamedTuple):
    """A box that may hold a person."""

    number: int
    """among the persons of the whole file, from 0"""
    box: tuple[float, float, float, float]
    """x, y, w, h in pixels; may reach out of the photograph"""
    score: float


def read_detections(roots: Roots, path: str) -> dict[int, list[Detection]]:
    """The persons of a file by photograph, as `group_detections` reads its content."""
    return group_detections(read_json(roots, path), path)


def group_detections(content: Any, path: str) -> dict[int, list[Detection]]:
    """Image id -> its persons, both in the order of the list; images without persons are left out.

    Other categories and scores below 0 are skipped and take no number, as in mmpose. Raises ValueError that names
    `path` and the entry.
    """
    if not isinstance(content, list):
        raise ValueError(f"{path} is no list of detections; download the detections of COCO's val2017 again")
    found: dict[int, list[Detection]] = defaultdict(list)
    number = 0
    for i, entry in enumerate(content):
        try:
            detection = _read(entry, number)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{path}, entry {i}: {error}; download the detections of COCO's val2017 again") from None
        if detection:
            found[entry["image_id"]].append(detection)
            number += 1
    return dict(found)


def _read(entry: Any, number: int) -> Detection | None:
    """None if it is skipped."""
    if not isinstance(entry, dict) or (missing := [key for key in KEYS if key not in entry]):
        raise ValueError(f"{entry!r:.80} " + (f"has no {missing[0]}" if isinstance(entry, dict) else "is no object"))
    if entry["category_id"] != PERSON:
        return None
    if type(entry["image_id"]) is not int:
        raise ValueError(f"image_id must be a whole number, got {entry['image_id']!r:.80}")
    x, y, w, h = numbers(entry["bbox"], 4, "bbox")
    score = entry["score"]
    if not isinstance(score, int | float) or not math.isfinite(score):
        raise ValueError(f"score must be a number, got {score!r:.80}")
    if min(w, h) <= 0:
        raise ValueError(f"bbox {entry['bbox']} has no area")
    return Detection(number, (x, y, w, h), score) if score >= 0 else None
