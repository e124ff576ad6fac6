"""Denoising, deraining, low-light enhancement: the label is an image already."""

from data.tasks.base import Task


class Restoration(Task):
    """Degraded and clean photographs. Targets are resized by nearest, as the released model was trained."""
