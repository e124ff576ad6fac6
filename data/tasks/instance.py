"""Class-agnostic instance segmentation: an object's colour tells the place of its centre."""

import torch
from torch import Tensor

from data.tasks.base import Task, enough_painted


class Instance(Task):
    """Painted instance maps; positions are absolute, so nothing may move them: no crop, no flip."""

    augment = False
    canvas_crop = False

    def loss_weight(self, target: Tensor) -> Tensor:
        """1, or 0 everywhere if the canvas shows next to no object."""
        return torch.full_like(target, float(enough_painted(target)))
