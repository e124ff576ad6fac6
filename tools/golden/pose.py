"""Painted keypoints, person crops, keypoints found in painted crops, and their scoring up to AP."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from data.detections import group_detections
from data.person_crop import center_scale, crop_matrix, flip, person_of, to_photo
from data.tasks.pose import COCO_POSE, average_flipped, heatmaps, keypoints
from eval.metrics.keypoints import FoundPerson, average_precision, keypoint_results, oks, oks_nms
from tools.golden import Checks, Stored, differing, indices, largest, load

Json = dict[str, Any]

ROTATIONS = (0, 30, -77.5, 180)  # degrees, of the first boxes
STATS = {  # name here -> in the file
    **{"AP": "AP", "AP50": "AP .5", "AP75": "AP .75", "APm": "AP (M)", "APl": "AP (L)"},
    **{"AR": "AR", "AR50": "AR .5", "AR75": "AR .75", "ARm": "AR (M)", "ARl": "AR (L)"},
}


def check_encode(path: Path) -> Checks:
    """Joints -> picture, byte for byte."""
    stored = load(path)
    painted = map(COCO_POSE.encode, zip(stored["joints_xy"], stored["visible"], strict=True))
    return {"label_rgb": differing(list(painted), stored["label_rgb"])}


def check_affine(path: Path) -> Checks:
    """Boxes -> views -> matrices; joints and pictures through them, plain and mirrored."""
    stored = load(path)
    views = [center_scale(box) for box in stored["bbox_xywh"]]
    turned = [crop_matrix(*view, degrees) for view, degrees in zip(views[: len(ROTATIONS)], ROTATIONS, strict=True)]
    checks = {
        "center": largest([center for center, _ in views], stored["center"], 1e-6),
        "scale": largest([scale for _, scale in views], stored["scale"], 1e-6),
        "trans": largest([crop_matrix(*view) for view in views], stored["trans"], 2e-3),
        "trans_rot": largest(turned, stored["trans_rot_0_30_m77p5_180"], 2e-3),
    }
    return checks | _check_crops(stored)


def _check_crops(stored: Stored) -> Checks:
    image, points = stored["image"], np.pad(stored["joints_image_xy"], ((0, 0), (0, 1)), constant_values=2)
    label = {"keypoints": points.flatten().tolist()}
    plain = [person_of(label | {"box": box.tolist()}) for box in stored["crop_bbox"]]
    flipped = [flip(person, image.shape[1]) for person in plain]
    checks: Checks = {"flip_center": largest([person.center for person in flipped], stored["flip_center"], 1e-6)}
    for name, persons in (("", plain), ("flip_", flipped)):
        off = np.abs(np.stack([person.cut(image) for person in persons]) - stored[f"{name}crop"].astype(float))
        joints = [person.crop_joints for person in persons]
        checks[f"{name}crop mean"] = float(off.mean()), 0.5
        checks[f"{name}crop share beyond 3"] = float((off > 3).mean()), 0.01  # OpenCV's versions differ by up to 6
        checks[f"{name}crop_joints"] = largest(joints, stored[f"{name}crop_joints"], 2e-3)
    return checks


def check_decode(path: Path) -> Checks:
    """Painted crops and their mirror images -> heat maps -> keypoints in the photographs -> COCO's results -> AP."""
    stored, content = load(path), json.loads(path.with_suffix(".json").read_text())
    pictures = (torch.from_numpy(stored[name]) for name in ("pred_rgb", "pred_flip_rgb"))
    maps = average_flipped(*map(heatmaps, pictures))
    views = [center_scale(box) for box in stored["det_bbox_xywh"]]
    found = keypoints(maps).numpy()
    xy = np.stack([to_photo(points[:, :2], *view) for points, view in zip(found, views, strict=True)])
    sure = ~stored["tie_sensitive"]  # the original's float32 decided the others; scoring takes them as stored
    found[..., :2] = np.where(sure[..., None], xy, stored["keypoints"][..., :2])
    rows = zip(stored["bbox_id"].tolist(), found, views, stored["det_score"].tolist(), strict=True)
    persons = [FoundPerson(number, points, *view, score) for number, points, view, score in rows]
    boxes = np.stack([(*center, *scale) for center, scale in views])
    checks = {
        "keypoints": largest(xy[sure], stored["keypoints"][sure][:, :2], 1e-3),
        "scores": largest(found[..., 2][sure], stored["keypoints"][sure][:, 2], 1e-6),
        "boxes": largest(boxes, stored["boxes"][:, :4], 1e-6),
        "areas": largest([person.area for person in persons] / stored["boxes"][:, 4], np.ones(len(persons)), 1e-6),
        "heatmaps": differing(2 * maps[[0, -1]], stored["heatmap_x510_first2"]),
    }
    return checks | _check_detections(stored, content) | _check_scoring(persons, stored["image_id"], content)


def _check_detections(stored: Stored, content: Json) -> Checks:
    """The detections of the list, by their numbers."""
    rows = zip(*(stored[name].tolist() for name in ("bbox_id", "image_id", "det_bbox_xywh", "det_score")), strict=True)
    groups = group_detections(content["detections"], "detections").items()
    listed = {(found.number, image, *found.box, found.score) for image, group in groups for found in group}
    wrong = listed ^ {(number, image, *box, score) for number, image, box, score in rows}
    return {"detections": (float(len(wrong)), 0.0)}


def _check_scoring(persons: list[FoundPerson], image_ids: NDArray[np.int64], content: Json) -> Checks:
    """Who is kept, in which order, with which scores; the numbers of all."""
    photos = defaultdict(list)
    for person, image_id in zip(persons, image_ids.tolist(), strict=True):
        photos[image_id].append(person)
    ours = [result for image_id, group in photos.items() for result in keypoint_results(group, image_id)]
    stored, stats = content["result_keypoints"], average_precision(content["gt"], ours)
    checks = {"result_fields": differing([sorted(entry) for entry in ours], [sorted(entry) for entry in stored])}
    for key in ("image_id", "category_id", "center", "scale", "score", "keypoints"):
        tolerance = {"score": 1e-6, "keypoints": 1e-3}.get(key, 0)
        checks[f"result_{key}"] = largest([entry[key] for entry in ours], [entry[key] for entry in stored], tolerance)
    stored_stats = [content["stats"][name] for name in STATS.values()]
    return checks | {"stats": largest([stats[name] for name in STATS], stored_stats, 1e-9)}


def check_oks_nms(path: Path) -> Checks:
    """Similarities of persons, and who is kept in which order."""
    stored = load(path)
    checks: Checks = {}
    for i in indices(stored, "keypoints"):
        points, scores, areas = (stored[f"{name}_{i}"] for name in ("keypoints", "scores", "areas"))
        checks[f"oks_{i}"] = largest(oks(points, areas), stored[f"oks_{i}"], 1e-4)
        checks[f"keep_{i}"] = differing(oks_nms(points, scores, areas, float(stored[f"thr_{i}"])), stored[f"keep_{i}"])
    return checks


CHECKS = {
    "07_pose/encode": check_encode,
    "07_pose/affine": check_affine,
    "07_pose/decode_ap": check_decode,
    "07_pose/oks_nms": check_oks_nms,
}
