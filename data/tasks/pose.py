"""Keypoints: a coloured square and a Gaussian a joint, on black."""

from types import MappingProxyType

import torch
from torch import Tensor

from data.tasks.base import BLACK, Interp, Task, enough_painted


class Pose(Task):
    """Painted person crops, already augmented when they were painted."""

    name = "coco_pose"
    type = "coco_image2pose"
    lists = MappingProxyType(
        {"train": "coco_pose/coco_pose_256x192_train.json", "val": "coco_pose/coco_pose_256x192_val.json"}
    )
    target_interp: Interp = "bicubic"
    augment = False
    canvas_crop = False

    def loss_weight(self, target: Tensor) -> Tensor:
        """10 on painted values, 1 on the background; 0 everywhere if next to nothing is painted."""
        if not enough_painted(target):
            return torch.zeros_like(target)
        return torch.where(target > BLACK, 10.0, 1.0)


COCO_POSE = Pose()
