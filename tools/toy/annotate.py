"""A rendering as COCO's annotators describe it: segments, outlines, joints and what a detector of persons finds."""

from typing import Any, NamedTuple

import numpy as np
from skimage.measure import find_contours

from data.coco import CATEGORIES
from tools.toy.objects import KINDS
from tools.toy.render import Rendering
from tools.toy.scene import Thing

PERSON = 1
FEWEST_PIXELS = 12  # annotators leave out what shows less than this
SMALLEST_LABELLED = 0.004  # share of the picture: smaller figures have no joints labelled
THICKNESS_M = 0.15  # a joint lies this far inside the body
THINGS = {category.id for category in CATEGORIES if category.is_thing}

Json = dict[str, Any]


class Segment(NamedTuple):
    """Pixels of one thing, of one crowd or of all stuff of a category."""

    category: int
    mask: np.ndarray  # (h, w) bool
    crowd: bool
    thing: Thing | None  # the object, where it is a single one

    @property
    def bbox(self) -> list[int]:
        """x, y, width, height in pixels."""
        (rows,), (columns,) = np.nonzero(self.mask.any(1)), np.nonzero(self.mask.any(0))
        x, y = int(columns[0]), int(rows[0])
        return [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1]

    @property
    def area(self) -> int:
        return int(self.mask.sum())


def segments(rendering: Rendering) -> list[Segment]:
    """Disjoint; what is unlabelled or too small is in none. Things first, in the order of the scene."""
    groups: dict[tuple[int, bool, int], list[int]] = {}  # (category, crowd, number of a single thing) -> owners
    things = [*rendering.scene.things, Thing("sky", [])]
    for index, thing in enumerate(things):
        category = KINDS[thing.kind].coco
        alone = category in THINGS and not thing.crowd
        groups.setdefault((category, thing.crowd, index if alone else -1), []).append(index)
    owner = np.where(rendering.owner < 0, len(things) - 1, rendering.owner)
    found = [
        Segment(category, np.isin(owner, members), crowd, things[number] if number >= 0 else None)
        for (category, crowd, number), members in groups.items()
        if category
    ]
    return sorted((s for s in found if s.area >= FEWEST_PIXELS), key=lambda segment: segment.category not in THINGS)


def polygons(mask: np.ndarray) -> list[list[float]]:
    """Outlines [x, y, x, y, ...] of a mask (h, w); the upper left corner of the picture is 0, 0; holes are filled."""
    outlines = []
    for contour in find_contours(np.pad(mask, 1).astype(float), 0.5, fully_connected="high"):
        y, x = contour[:-1].T - 0.5  # from centres of padded pixels to corners of the picture
        if (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() > 1:  # clockwise on the screen: no hole, not a lone pixel
            outlines.append(np.stack((x, y), 1).ravel().tolist())
    return outlines


def run_lengths(mask: np.ndarray) -> Json:
    """Uncompressed RLE of a mask (h, w): lengths of zeros and ones in turn, down the columns."""
    flat = np.concatenate(([False], mask.ravel(order="F")))
    edges = np.concatenate(([0], np.nonzero(flat[1:] != flat[:-1])[0], [mask.size]))
    counts = np.diff(edges).tolist()
    return {"counts": counts, "size": list(mask.shape)}


def instance(segment: Segment) -> Json:
    """An entry of instances_*.json, without its ids."""
    outline = run_lengths(segment.mask) if segment.crowd else polygons(segment.mask)
    return {
        "segmentation": outline,
        "area": segment.area,
        "iscrowd": int(segment.crowd),
        "bbox": segment.bbox,
        "category_id": segment.category,
    }


def keypoints(rendering: Rendering, segment: Segment) -> Json:
    """17 times x, y (pixels) and 2 = seen, 1 = hidden by something or by the figure itself, 0 = outside the picture."""
    flat: list[int] = []
    for joint, (x, y) in _projected(rendering, segment):
        flat += [x, y, _visibility(rendering, segment, joint, x, y)] if _inside(segment, x, y) else [0, 0, 0]
    return {"keypoints": flat, "num_keypoints": sum(value > 0 for value in flat[2::3])}


def _projected(rendering: Rendering, segment: Segment) -> list[tuple[np.ndarray, tuple[int, int]]]:
    joints = segment.thing.joints if segment.thing else None
    if joints is None or segment.area < SMALLEST_LABELLED * segment.mask.size:
        return [(np.zeros(3), (-1, -1))] * 17
    pixels = np.floor(rendering.scene.camera.project(joints)).astype(int)
    return [(joint, (int(x), int(y))) for joint, (x, y) in zip(joints, pixels, strict=True)]


def _inside(segment: Segment, x: int, y: int) -> bool:
    h, w = segment.mask.shape
    return 0 <= x < w and 0 <= y < h


def _visibility(rendering: Rendering, segment: Segment, joint: np.ndarray, x: int, y: int) -> int:
    return 2 if segment.mask[y, x] and rendering.depth[y, x] > joint[2] - THICKNESS_M else 1


def detections(found: list[Segment], shape: tuple[int, int], rng: np.random.Generator) -> list[Json]:
    """Boxes and scores of a detector: one near each figure, some twice, and now and then one where nobody is."""
    persons = [segment.bbox for segment in found if segment.category == PERSON and not segment.crowd]
    boxes = [(_jittered(box, 0.03, rng), rng.uniform(0.7, 1)) for box in persons]
    boxes += [(_jittered(box, 0.12, rng), rng.uniform(0.05, 0.4)) for box in persons if rng.random() < 0.3]
    if rng.random() < 0.4:
        size = rng.uniform(0.1, 0.4, 2) * shape[::-1]
        boxes.append(([*(rng.random(2) * (shape[::-1] - size)), *size], rng.uniform(0.003, 0.3)))
    return [{"bbox": [float(v) for v in box], "category_id": PERSON, "score": float(score)} for box, score in boxes]


def _jittered(box: list[int], share: float, rng: np.random.Generator) -> list[float]:
    x, y, w, h = box
    move = rng.normal(0, share, 4) * (w, h, w, h)
    return [x + move[0], y + move[1], max(1.0, w + move[2]), max(1.0, h + move[3])]
