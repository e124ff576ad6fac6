"""Panoptic segmentation: the merge alone, and the way from painted pictures to panoptic quality and instance AP."""

import json
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.coco import CATEGORIES
from data.color_masks import distinct, masks_near, overlaps
from data.matrix_nms import decay, iou
from data.tasks.instance import COCO_INSTANCE, MAX_INSTANCES, Instances
from data.tasks.semantic import COCO_SEMANTIC, vote
from eval.metrics.instances import Record, average_precision, instance_record, truth_record
from eval.metrics.panoptic import GROUPS, Segment, merge, panoptic_scores, per_class, quality_record
from tools.golden import Checks, Stored, differing, indices, largest, load
from tools.golden.instance import FREE, LOW_SLACK, compare, unpack

DIST_THR = 19
COCO_IDS = np.array([category.id for category in CATEGORIES])
INPUTS = ("masks", "scores", "classes", "semantic")
THRESHOLDS = ("overlap", "stuff_area", "score_thr")
TIED = 0.01  # of an AP: what low scores that tie may change
STATS_OF = {"inst": "inst_coco_stats", "withnms": "inst_coco_stats_with_nms"}


class Found(NamedTuple):
    """Instances, and their classes (N,), 0..79."""

    instances: Instances
    classes: Tensor

    def record(self) -> Record:
        """As AP takes it."""
        return instance_record(*self.instances, COCO_IDS[self.classes].tolist())


def check_merge(path: Path) -> Checks:
    """Instances and a semantic map -> panoptic map and segments; the stored categories are numbers here."""
    stored = load(path)
    checks: Checks = {}
    for case in json.loads(path.with_suffix(".json").read_text()):
        i = case["index"]
        masks, scores, classes, semantic = (torch.from_numpy(stored[f"{key}_{i}"]) for key in INPUTS)
        thresholds = {key: case[key] for key in THRESHOLDS}
        panoptic, segments = merge(masks, scores, classes, semantic, **thresholds)
        due = [segment | {"category_id": COCO_IDS[segment["category_id"]]} for segment in case["segments_info"]]
        checks[f"panoptic_{i}"] = differing(panoptic, stored[f"panoptic_{i}"])
        checks |= _check_segments(segments, due, f"_{i}")
    return checks


def _check_segments(ours: list[Segment], due: list[Segment], suffix: str) -> Checks:
    """All that is stored of each segment: scores to 1e-5, the rest exactly."""
    pairs = zip_longest(ours, due, fillvalue=Segment())
    wrong = [key for x, y in pairs for key in y or x if key != "score" and x.get(key) != y.get(key)]
    scores, scores_due = ([x["score"] for x in segments if "score" in x] for segments in (ours, due))
    return {
        f"segments{suffix}": (float(len(wrong)), 0.0),
        f"segment_scores{suffix}": largest(scores, scores_due, 1e-5),
    }


def check_end_to_end(path: Path) -> Checks:
    """Painted pictures -> instances and their classes -> panoptic maps and their quality, and AP; twice for AP."""
    stored, facts = load(path), json.loads(path.with_suffix(".json").read_text())
    finders = {"inst": _default, "withnms": _class_by_class}
    images = indices(stored, "pred_inst_img")
    checks: Checks = {}
    for name, find in finders.items():
        found = [find(*_pictures(stored, i)) for i in images]
        for i, ours in zip(images, found, strict=True):
            checks |= _check_instances(stored, ours, name, i)
        checks |= _check_ap(stored, facts, found, name)
        if name == "inst":
            for run in facts["runs"]:
                checks |= _check_run(stored, facts, found, run)
    return checks


def _pictures(stored: Stored, i: int) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(stored[f"pred_inst_img_{i}"]), torch.from_numpy(stored[f"pred_sem_img_{i}"])


def _default(painted: Tensor, semantic: Tensor) -> Found:
    """Suppression, then the vote."""
    instances = COCO_INSTANCE.instances(painted, DIST_THR)
    return Found(instances, vote(COCO_SEMANTIC.palette, semantic, instances.masks))


def _class_by_class(painted: Tensor, semantic: Tensor) -> Found:
    """The vote on all candidates, then suppression among those of one class."""
    colors, reach = distinct(painted), 3 * DIST_THR
    candidates = COCO_INSTANCE.candidates(colors, DIST_THR)
    masks = masks_near(painted, candidates.centers, reach)
    classes = vote(COCO_SEMANTIC.palette, semantic, masks)
    shared = overlaps(colors, candidates.centers, reach)
    scores = candidates.scores * decay(iou(shared, candidates.areas) * (classes[:, None] == classes))
    best = scores.argsort(descending=True, stable=True)[:MAX_INSTANCES]
    return Found(Instances(masks[best], scores[best].float()), classes[best])


def _check_instances(stored: Stored, ours: Found, name: str, i: int) -> Checks:
    """Scores, masks, and the class of each stored mask: the one voted for, or one equally near."""
    packed, due, semantic = stored[f"{name}_masks_packed_{i}"], _stored(stored, name, i), _pictures(stored, i)[1]
    masks, scores = due.instances
    voted = vote(COCO_SEMANTIC.palette, semantic, masks)
    distances = [_distances(semantic, masks, classes) for classes in (voted, due.classes)]
    checks = compare(ours.instances, packed, scores.numpy(), f"_{name}_{i}", LOW_SLACK, FREE)
    return checks | {f"category_id_{name}_{i}": differing(*distances)}


def _distances(semantic: Tensor, masks: Tensor, classes: Tensor) -> list[int]:
    """Of each mask's pixels from the colour of its class, in sum."""
    colors = torch.from_numpy(COCO_SEMANTIC.palette.colors[classes.numpy()]).int()
    return [int((semantic[mask] - color).abs().sum()) for mask, color in zip(masks, colors, strict=True)]


def _truths(stored: Stored, facts: Any) -> list[tuple[NDArray[np.int32], list[Segment]]]:
    """The true map and segments of each image."""
    return [(stored[f"gt_panoptic_id_{i}"], entry["segments_info"]) for i, entry in enumerate(facts["gt_annotations"])]


def _check_run(stored: Stored, facts: Any, found: list[Found], run: Any) -> Checks:
    """Maps, segments and panoptic quality at one choice of thresholds."""
    checks: Checks = {}
    records, j = [], run["run"]
    for i, (ours, truth) in enumerate(zip(found, _truths(stored, facts), strict=True)):
        semantic = COCO_SEMANTIC.nearest(_pictures(stored, i)[1])
        panoptic, segments = merge(*ours.instances, ours.classes, semantic, **{key: run[key] for key in THRESHOLDS})
        checks[f"run{j}_panoptic_{i}"] = differing(panoptic, stored[f"run{j}_panoptic_{i}"])
        checks |= _check_segments(segments, run["segments_info"][i]["segments"], f"_run{j}_{i}")
        records.append(quality_record(panoptic, segments, *truth))
    return checks | _check_quality(records, run)


def _check_quality(records: list[dict[int, list[float]]], run: Any) -> Checks:
    """Scores to 1e-6, of each class with any quality too, and how many classes a mean is of."""
    scores, classes = panoptic_scores(records), per_class(records)
    good = {str(category): quality for category, quality in classes.items() if quality["pq"]}
    checks = {f"run{run['run']}_{key}": largest(scores[key], value, 1e-6) for key, value in run["results"].items()}
    counts = [len(classes.keys() & group) for group in GROUPS.values()]
    names = differing(sorted(good), sorted(run["per_class"]))
    values, values_due = (
        [x[c][key] for c in sorted(x) for key in ("pq", "sq", "rq")] for x in (good, run["per_class"])
    )
    return checks | {
        f"run{run['run']}_n": differing(counts, [run["n"][key] for key in ("All", "Things", "Stuff")]),
        f"run{run['run']}_classes": names,
        f"run{run['run']}_per_class": largest(values, values_due, 1e-6),
    }


def _check_ap(stored: Stored, facts: Any, found: list[Found], name: str) -> Checks:
    """AP of the stored instances; that of ours may differ a little, where scores tie."""
    truths = [truth_record(*truth) for truth in _truths(stored, facts)]
    sizes = [ids.shape for ids, _ in _truths(stored, facts)]
    theirs, ours = [_stored(stored, name, i).record() for i in range(len(found))], [x.record() for x in found]
    checks: Checks = {}
    for n, due in enumerate(facts[STATS_OF[name]]):
        for kind, preds, tolerance in (("stored", theirs, 1e-9), ("ours", ours, TIED)):
            stats = average_precision(truths, preds, sizes, class_aware=due["useCats"] == 1)
            error = largest(list(stats.values()), [due[key] for key in stats], tolerance)
            checks[f"{STATS_OF[name]}_{n}_{kind}"] = error
    return checks


def _stored(stored: Stored, name: str, i: int) -> Found:
    """The stored instances."""
    packed, scores, ids = (stored[f"{name}_{key}_{i}"] for key in ("masks_packed", "scores", "category_id"))
    masks = unpack(packed, stored[f"gt_panoptic_id_{i}"].shape)
    instances = Instances(torch.from_numpy(masks), torch.from_numpy(scores))
    return Found(instances, torch.from_numpy(np.searchsorted(COCO_IDS, ids)))


CHECKS = {
    "06_instance_panoptic/merge": check_merge,
    "06_instance_panoptic/panoptic_end2end": check_end_to_end,
}
