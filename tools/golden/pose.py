"""Painted keypoints, person crops, and keypoints found in painted crops; scoring (AP) is no part of it."""

from pathlib import Path

import numpy as np
import torch

from data.person_crop import center_scale, crop_matrix, flip, person_of, to_photo
from data.tasks.pose import COCO_POSE, average_flipped, heatmaps, keypoints
from tools.golden import Checks, Stored, differing, largest, load

ROTATIONS = (0, 30, -77.5, 180)  # degrees, of the first boxes


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
    """Painted crops and their mirror images -> heat maps -> keypoints in the photographs; boxes as scoring has them."""
    stored = load(path)
    pictures = (torch.from_numpy(stored[name]) for name in ("pred_rgb", "pred_flip_rgb"))
    maps = average_flipped(*map(heatmaps, pictures))
    views = [center_scale(box) for box in stored["det_bbox_xywh"]]
    found = keypoints(maps).numpy()
    xy = np.stack([to_photo(points[:, :2], *view) for points, view in zip(found, views, strict=True)])
    sure = ~stored["tie_sensitive"]  # the original's float32 decided the others
    boxes = np.stack([(*center, *scale) for center, scale in views])
    areas = [np.prod(200 * scale.astype(float)) for _, scale in views]
    return {
        "keypoints": largest(xy[sure], stored["keypoints"][sure][:, :2], 1e-3),
        "scores": largest(found[..., 2][sure], stored["keypoints"][sure][:, 2], 1e-6),
        "boxes": largest(boxes, stored["boxes"][:, :4], 1e-6),
        "areas": largest(np.divide(areas, stored["boxes"][:, 4]), np.ones(len(areas)), 1e-6),
        "heatmaps": differing(2 * maps[[0, -1]], stored["heatmap_x510_first2"]),
    }


CHECKS = {"07_pose/encode": check_encode, "07_pose/affine": check_affine, "07_pose/decode_ap": check_decode}
