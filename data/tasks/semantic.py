"""Semantic segmentation: a colour a class, black where nothing is labelled."""

from torch import Tensor

from data.tasks.base import BLACK, Task


class Semantic(Task):
    """Painted class maps."""

    def loss_weight(self, target: Tensor) -> Tensor:
        """0 on unlabelled (black) values."""
        return (target >= BLACK).to(target.dtype)
