"""Class-agnostic instance segmentation: an object's colour tells the place of its centre."""

from types import MappingProxyType

import torch
from torch import Tensor

from data.tasks.base import Task, enough_painted


class Instance(Task):
    """Painted instance maps; positions are absolute, so nothing may move them: no crop, no flip."""

    name = "coco_instance"
    type = "coco_image2panoptic_inst"
    lists = MappingProxyType(
        {
            "train": "coco/pano_ca_inst/coco_train_image_panoptic_inst.json",
            "val": "coco/pano_ca_inst/coco_val_image_panoptic_inst.json",
        }
    )
    augment = False
    canvas_crop = False

    def loss_weight(self, target: Tensor) -> Tensor:
        """1, or 0 everywhere if the canvas shows next to no object."""
        return torch.full_like(target, float(enough_painted(target)))


COCO_INSTANCE = Instance()
