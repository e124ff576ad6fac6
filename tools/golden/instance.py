"""Instances painted and decoded, matrix NMS, and the vote on their classes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from data.color_masks import distinct
from data.matrix_nms import matrix_nms
from data.tasks.instance import COCO_INSTANCE, MAX_CANDIDATES, Instances
from data.tasks.semantic import COCO_SEMANTIC, vote
from tools.golden import Checks, differing, indices, largest, load

CLEAR = 0.4  # scores above it do not hang on the order of ties
LOW_SLACK, FREE = 0.02, 12  # below it: of scores, and of masks out of 100; most that was met with the original


def check_encode(path: Path) -> Checks:
    """Masks -> colours; a label that stays black has no file."""
    stored = load(path)
    checks: Checks = {}
    for i in indices(stored, "masks"):
        painted = COCO_INSTANCE.encode(stored[f"masks_{i}"])
        checks[f"written_{i}"] = differing(painted.any(), stored.get(f"written_{i}", True))
        if f"label_{i}" in stored:
            checks[f"label_{i}"] = differing(painted, stored[f"label_{i}"])
    return checks


def check_decode(path: Path) -> Checks:
    """Candidates, instances, and the nearest colours; ties are as free as the stored notes say."""
    stored = load(path)
    checks: Checks = {}
    for case in json.loads(path.with_name(f"{path.stem}_meta.json").read_text()):
        i, free = case["index"], case["float64_rule_vs_original"]
        image = torch.from_numpy(stored[f"img_{i}"])
        found = COCO_INSTANCE.candidates(distinct(image))
        checks[f"keepall_scores_{i}"] = largest(found.scores, stored[f"keepall_scores_{i}"], 2e-6)
        if len(found.scores) < MAX_CANDIDATES:  # else ties at the end decide which are there
            areas = np.sort(found.areas), np.sort(stored[f"keepall_areas_{i}"])
            checks[f"keepall_areas_{i}"] = differing(*areas)
        ours = COCO_INSTANCE.instances(image)
        scores = stored[f"thr_scores_{i}"]
        slack = 1e-5 + free["max_abs_diff_of_sorted_scores"]
        checks |= compare(ours, stored[f"thr_masks_packed_{i}"], scores, f"_{i}", slack, free["masks_not_shared"])
        checks[f"thr_labels_{i}"] = differing(_labels(ours), stored[f"thr_labels_{i}"])
        checks |= _check_nearest(image, {key: stored[f"minmax_{key}_{i}"] for key in MINMAX}, f"_{i}")
    return checks


MINMAX = ("pred_map", "dist_map", "scores", "classes")


def _check_nearest(image: torch.Tensor, stored: dict[str, NDArray[Any]], suffix: str) -> Checks:
    """The variant in which every pixel belongs to its nearest colour."""
    number, distance = COCO_INSTANCE.nearest(image)
    found = number.unique()
    means = torch.stack([distance[number == n].double().mean() for n in found])
    return {
        f"minmax_pred_map{suffix}": differing(number, stored["pred_map"]),
        f"minmax_dist_map{suffix}": differing(distance, stored["dist_map"]),
        f"minmax_scores{suffix}": largest(1 - means / means.max().clamp(min=1), stored["scores"], 1e-6),
        f"minmax_classes{suffix}": differing(found < COCO_INSTANCE.palette.num, stored["classes"]),
    }


def check_thresholds(path: Path) -> Checks:
    """One image at several thresholds, and one in which nothing is found."""
    stored = load(path)
    image = torch.from_numpy(stored["img"])
    checks: Checks = {}
    for thr in indices(stored, "scores"):
        ours = COCO_INSTANCE.instances(image, thr)
        checks |= compare(ours, stored[f"masks_packed_{thr}"], stored[f"scores_{thr}"], f"_{thr}", LOW_SLACK, FREE)
    empty = COCO_INSTANCE.instances(torch.from_numpy(stored["empty_img"]), float(stored["empty_thr"]))
    checks |= compare(empty, stored["empty_masks_packed"], stored["empty_scores"], "_empty", 0, 0)
    checks["labels_empty"] = differing(_labels(empty), stored["empty_labels"])
    return checks


def check_matrix_nms(path: Path) -> Checks:
    """Which masks are kept, in which order, and what is left of their scores."""
    stored = load(path)
    checks: Checks = {}
    for config in json.loads(path.with_name(f"{path.stem}_cfg.json").read_text()):
        i = config["index"]
        options = {key: value for key, value in config.items() if key not in ("index", "n_out")}
        masks = torch.from_numpy(unpack(stored[f"masks_packed_{i}"], stored[f"shape_{i}"][1:]))
        labels, scores = (torch.from_numpy(stored[f"{key}_{i}"]) for key in ("labels", "scores"))
        kept, decayed = matrix_nms(masks, labels, scores, **options)
        checks[f"keep_{i}"] = differing(kept, stored[f"out_keep_{i}"])
        checks[f"labels_{i}"] = differing(labels[kept], stored[f"out_labels_{i}"])
        checks[f"scores_{i}"] = largest(decayed, stored[f"out_scores_{i}"], 1e-5)
    return checks


def check_vote(path: Path) -> Checks:
    """The class of each mask, but of those where two are equally near: there the original's rounding decides."""
    stored = load(path)
    checks: Checks = {}
    for i in indices(stored, "masks"):
        image, masks = (torch.from_numpy(stored[f"{key}_{i}"]) for key in ("sem_img", "masks"))
        classes, clear = vote(COCO_SEMANTIC.palette, image, masks).numpy(), stored[f"margin_{i}"] > 0
        for kind in ("argmax", "softmax"):
            checks[f"classes_{kind}_{i}"] = differing(classes[clear], stored[f"classes_{kind}_{i}"][clear])
    return checks


def compare(
    ours: Instances, packed: NDArray[np.uint8], scores: NDArray[Any], suffix: str, slack: float, free: int
) -> Checks:
    """Sorted scores to 1e-5, or `slack` where they are low; masks as a multiset, but for `free` of them."""
    clear = scores > CLEAR
    masks = unpack(packed, ours.masks.shape[1:])
    return {
        f"scores{suffix}": largest(ours.scores, scores, slack),
        f"clear_scores{suffix}": largest(ours.scores[: clear.sum()], scores[clear], 1e-5),
        f"masks_not_shared{suffix}": (_not_shared(ours.masks.numpy(), masks), float(free)),
    }


def _not_shared(ours: NDArray[np.bool_], stored: NDArray[np.bool_]) -> float:
    """How many masks of the larger multiset the other lacks."""
    left = [mask.tobytes() for mask in stored]
    for mask in ours:
        if (key := mask.tobytes()) in left:
            left.remove(key)
    return float(len(left) + max(0, len(ours) - len(stored)))


def _labels(instances: Instances) -> NDArray[np.bool_]:
    """The original's labels: 1, or 0 of the empty mask that stands for nothing found."""
    return instances.masks.flatten(1).any(dim=1).numpy()


def unpack(packed: NDArray[np.uint8], size: Any) -> NDArray[np.bool_]:
    """Packed rows -> masks (N, H, W)."""
    h, w = (int(side) for side in size)
    return np.unpackbits(packed, axis=1)[:, : h * w].reshape(-1, h, w).astype(bool)


CHECKS = {
    "05_instance_encode/encode": check_encode,
    "06_instance_panoptic/decode": check_decode,
    "06_instance_panoptic/decode_thresholds": check_thresholds,
    "06_instance_panoptic/matrix_nms": check_matrix_nms,
    "06_instance_panoptic/vote": check_vote,
}
