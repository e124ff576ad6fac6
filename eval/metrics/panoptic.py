"""Panoptic segmentation: instances and semantic classes merged into one map, and its panoptic quality (PQ).

A map (H, W) holds the id of each pixel's segment, 0 (void) where there is none; a list tells each segment's
category. The rule of merging is detectron2's, that of scoring panopticapi's.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from data.coco import CATEGORIES, NUMBERS

VOID = 0
NUM_THINGS = sum(category.is_thing for category in CATEGORIES)
GROUPS = {  # suffix of a score -> its categories
    "": NUMBERS.keys(),
    "_th": {category.id for category in CATEGORIES if category.is_thing},
    "_st": {category.id for category in CATEGORIES if not category.is_thing},
}

Ids = NDArray[np.integer[Any]]
Segment = dict[str, Any]
Record = Mapping[Any, Sequence[float]]  # category id, also as a string -> sum of IoUs, TP, FP, FN


def merge(
    masks: Tensor,
    scores: Tensor,
    classes: Tensor,
    semantic: Tensor,
    overlap: float = 0.5,
    stuff_area: int = 8192,
    score_thr: float = 0.55,
) -> tuple[NDArray[np.int32], list[Segment]]:
    """Instances, then stuff where they leave room -> map (H, W) of ids 1, 2, ..., and its segments in that order.

    Masks (N, H, W) bool may overlap; `classes` (N,) and `semantic` (H, W) are numbers in `CATEGORIES`, 0..132.
    Of scores (N,) at least `score_thr` the higher goes first. A mask of which more than `overlap` is taken is left
    out, as is stuff of fewer than `stuff_area` free pixels; the semantic map's things never count.
    A segment has `id`, `isthing`, `category_id` (COCO's), and `score` and `instance_id` (its place in `masks`) if
    it is a thing, `area` in pixels if it is stuff.
    """
    panoptic = np.zeros(semantic.shape, np.int32)
    things = _paint_things(panoptic, masks, scores, classes, overlap, score_thr)
    stuff = _paint_stuff(panoptic, semantic.numpy(force=True), stuff_area, len(things) + 1)
    return panoptic, things + stuff


def _paint_things(
    panoptic: NDArray[np.int32], masks: Tensor, scores: Tensor, classes: Tensor, overlap: float, score_thr: float
) -> list[Segment]:
    """Into the empty map; -> the segments."""
    values, numbers = scores.tolist(), classes.tolist()
    segments: list[Segment] = []
    for i in scores.argsort(descending=True, stable=True).tolist():
        if values[i] < score_thr:
            break
        mask = masks[i].bool().numpy(force=True)
        free = mask & (panoptic == VOID)
        area = np.count_nonzero(mask)
        if area and (area - np.count_nonzero(free)) / area <= overlap:
            category = CATEGORIES[numbers[i]].id
            thing = {"isthing": True, "score": values[i], "category_id": category, "instance_id": i}
            segments.append({"id": len(segments) + 1} | thing)
            panoptic[free] = len(segments)
    return segments


def _paint_stuff(
    panoptic: NDArray[np.int32], semantic: NDArray[np.integer[Any]], stuff_area: int, first: int
) -> list[Segment]:
    """Into the map's free pixels, with ids from `first`; -> the segments."""
    free = panoptic == VOID
    present, areas = (np.bincount(x, minlength=len(CATEGORIES)) for x in (semantic.ravel(), semantic[free]))
    table = np.zeros(len(areas), np.int32)  # class -> id
    segments: list[Segment] = []
    for number in range(NUM_THINGS, len(CATEGORIES)):
        if present[number] and areas[number] >= stuff_area:
            table[number] = first + len(segments)
            stuff = {"isthing": False, "category_id": CATEGORIES[number].id, "area": int(areas[number])}
            segments.append({"id": first + len(segments)} | stuff)
    panoptic[free] = table[semantic[free]]
    return segments


def quality_record(
    pred: Ids, pred_segments: Sequence[Segment], truth: Ids, truth_segments: Sequence[Segment]
) -> dict[int, list[float]]:
    """One image's part of the panoptic quality: category id -> [sum of IoUs, TP, FP, FN].

    Of a segment `id` and `category_id` count, of a true one `iscrowd` too. Two match if they are of one category
    and their IoU, without the prediction's pixels on void, is above 1/2; a crowd matches none. A prediction more
    than half of which is on void or on a crowd of its category is not wrong.
    Raises ValueError where the maps differ in size, where predicted map and list do not agree, and on a category
    that COCO does not have.
    """
    shared, pred_areas, truth_areas = _shared(pred, truth)
    preds = _categories(pred_segments)
    truths = _categories([segment for segment in truth_segments if not segment["iscrowd"]])
    crowds = {c: t for t, c in _categories([segment for segment in truth_segments if segment["iscrowd"]]).items()}
    _check_listed(preds, pred_areas)
    ious = {
        (p, t): pixels / (pred_areas[p] + truth_areas[t] - pixels - shared[p, VOID])
        for (p, t), pixels in shared.items()
        if p in preds and preds[p] == truths.get(t)
    }
    matches = {pair: iou for pair, iou in ious.items() if iou > 0.5}
    excused = {p: shared[p, VOID] + shared[p, crowds.get(category, -1)] for p, category in preds.items()}
    record: dict[int, list[float]] = defaultdict(lambda: [0.0, 0, 0, 0])
    for (p, _), iou in matches.items():
        record[preds[p]][0] += iou
        record[preds[p]][1] += 1
    for p in preds.keys() - {p for p, _ in matches}:
        record[preds[p]][2] += excused[p] / pred_areas[p] <= 0.5
    for t in truths.keys() - {t for _, t in matches}:
        record[truths[t]][3] += 1
    return {category: entry for category, entry in sorted(record.items()) if any(entry)}


def _shared(pred: Ids, truth: Ids) -> tuple[Counter[tuple[int, int]], Counter[int], Counter[int]]:
    """Pixels that a predicted id shares with a true one; pixels of each predicted id, and of each true one."""
    if pred.shape != truth.shape:
        raise ValueError(f"the predicted map is {pred.shape}, the true one {truth.shape}; give both in one size")
    pairs, counts = np.unique(pred.astype(np.int64) << 32 | truth, return_counts=True)
    shared, preds, truths = Counter[tuple[int, int]](), Counter[int](), Counter[int]()
    for pair, pixels in zip(pairs.tolist(), counts.tolist(), strict=True):
        p, t = divmod(pair, 1 << 32)
        shared[p, t] = pixels
        preds[p] += pixels
        truths[t] += pixels
    return shared, preds, truths


def _categories(segments: Iterable[Segment]) -> dict[int, int]:
    """Segments -> id: category."""
    for segment in segments:
        if segment["category_id"] not in NUMBERS:
            raise ValueError(f"segment {segment['id']} is of category {segment['category_id']}, which COCO lacks")
    return {segment["id"]: segment["category_id"] for segment in segments}


def _check_listed(listed: dict[int, int], shown: Counter[int]) -> None:
    if unlisted := shown.keys() - listed.keys() - {VOID}:
        raise ValueError(f"the predicted map shows segment {min(unlisted)}, which the list of its segments lacks")
    if absent := listed.keys() - shown.keys():
        raise ValueError(f"the list of predicted segments has {min(absent)}, which their map does not show")


def per_class(records: Iterable[Record]) -> dict[int, dict[str, float]]:
    """Category id -> `pq`, `sq`, `rq`, 0..1, of those that any record has, in the order of ids.

    `sq` is the mean IoU of matches (0 without any), `rq` the F1 score, `pq` their product. Sums are exact, thus the
    same in whatever order images come.
    """
    entries = defaultdict(list)
    for record in records:
        for category, entry in record.items():
            entries[int(category)].append(entry)
    return {category: _quality(*map(math.fsum, zip(*entries[category], strict=True))) for category in sorted(entries)}


def _quality(iou: float, tp: float, fp: float, fn: float) -> dict[str, float]:
    total = tp + fp / 2 + fn / 2
    return {"pq": iou / total, "sq": iou / tp if tp else 0.0, "rq": tp / total}


def panoptic_scores(records: Iterable[Record]) -> dict[str, float]:
    """Records of all images, also read from JSON -> PQ, SQ, RQ, then of things `_th`, of stuff `_st`; 0..100.

    Each is the mean over the categories that occur; NaN if none of the group does, where panopticapi fails.
    """
    classes = per_class(records)
    scores = {}
    for suffix, categories in GROUPS.items():
        members = [quality for category, quality in classes.items() if category in categories]
        for key in ("pq", "sq", "rq"):
            values = [quality[key] for quality in members]
            scores[key.upper() + suffix] = 100 * sum(values) / len(values) if values else math.nan
    return scores
