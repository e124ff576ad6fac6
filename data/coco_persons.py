"""COCO's keypoint annotations: who is in which photograph."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from data.person_crop import Label, keypoint_array, numbers
from data.roots import Roots, read_json


def read_persons(roots: Roots, listed: str) -> dict[str, list[Label]]:
    """Photographs of a COCO keypoint file with their persons, both in its order; no crowds, none without keypoints.

    Boxes are clipped to the photograph, and persons without an area left out, as in mmpose, whose numbers the
    persons thus have. Raises ValueError that names the annotation.
    """
    content = read_json(roots, listed)
    _check_keys(content, ("images", "annotations"), listed)
    if not all(isinstance(content[key], list) for key in ("images", "annotations")):
        raise ValueError(f"{listed}: images and annotations must be lists; download COCO's keypoint annotations again")
    for photo in content["images"]:
        _check_keys(photo, ("id", "file_name", "width", "height"), f"an image of {listed}")
    photos = {photo["id"]: photo for photo in content["images"]}
    if len({photo["file_name"] for photo in photos.values()}) < len(content["images"]):
        raise ValueError(f"{listed} lists a photograph twice; download COCO's keypoint annotations again")
    persons = defaultdict(list)
    for annotation in content["annotations"]:
        _check_keys(annotation, ("id", "image_id", "bbox", "keypoints"), f"an annotation of {listed}")
        try:
            if label := _read_person(annotation, photos):
                persons[annotation["image_id"]].append(label)
        except (ValueError, TypeError, OverflowError) as error:
            raise ValueError(f"{listed}, annotation {annotation['id']}: {error}") from None
    return {photo["file_name"]: persons[number] for number, photo in photos.items() if number in persons}


def _check_keys(entry: Any, keys: Sequence[str], what: str) -> None:
    """ValueError unless `entry` is a JSON object with these keys."""
    if not isinstance(entry, dict) or (missing := [key for key in keys if key not in entry]):
        lacks = "is no object" if not isinstance(entry, dict) else f"has no {missing[0]}"
        raise ValueError(f"{what} {lacks}: {entry!r:.80}; download COCO's keypoint annotations again")


def _read_person(annotation: dict[str, Any], photos: dict[int, dict[str, Any]]) -> Label | None:
    if annotation.get("iscrowd"):
        return None
    if (photo := photos.get(annotation["image_id"])) is None:
        raise ValueError(f"image {annotation['image_id']} is not listed")
    x, y, w, h = numbers(annotation["bbox"], 4, "bbox")
    left, top = max(0, x), max(0, y)
    right, bottom = min(photo["width"] - 1, left + max(0, w - 1)), min(photo["height"] - 1, top + max(0, h - 1))
    has_area = right > left and bottom > top and annotation.get("area", 1) > 0
    if not has_area or not keypoint_array(annotation["keypoints"]).any():
        return None
    box = (left, top, right - left, bottom - top)
    return {"box": [round(v, 2) for v in box], "keypoints": [round(v, 2) for v in annotation["keypoints"]]}
