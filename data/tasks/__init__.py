"""The tasks by the `type` of their pairs. A new task is one file here and one line below."""

import difflib

from data.tasks.base import Interp, Task
from data.tasks.depth import Depth
from data.tasks.instance import Instance
from data.tasks.pose import Pose
from data.tasks.restoration import Restoration
from data.tasks.semantic import Semantic

__all__ = ["TASKS", "Interp", "Task", "task_of"]

TASKS: dict[str, Task] = {
    "nyuv2_image2depth": Depth(),
    "ade20k_image2semantic": Semantic(),
    "coco_image2panoptic_inst": Instance(),
    "coco_image2panoptic_sem_seg": Semantic(),
    "coco_image2pose": Pose(),
    "ssid_image2denoise": Restoration(),
    "derain_image2derain": Restoration(),
    "lol_image2enhance": Restoration(),
}


def task_of(pair_type: str) -> Task:
    """The task that paints pairs of this type; ValueError names the near ones if unknown."""
    if pair_type not in TASKS:
        near = difflib.get_close_matches(pair_type, TASKS, n=2) or TASKS
        raise ValueError(f"unknown type {pair_type!r}; did you mean {' or '.join(near)}?")
    return TASKS[pair_type]
