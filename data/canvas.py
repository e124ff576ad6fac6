"""What the loader's bytes become on the device: cropped, normalised, weighted canvases (paper, section 3.3)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from data.pair_dataset import Sample
from data.tasks import task_of
from data.transforms import Box
from util.image import normalize


class Canvas(NamedTuple):
    """A batch of stitched canvases, as model and loss want them."""

    image: Tensor
    """(N, 3, H, W) float32, normalised"""
    target: Tensor
    """(N, 3, H, W) float32, normalised"""
    mask: Tensor
    """(N, h, w) bool over tokens, True = hidden"""
    weight: Tensor
    """(N, 3, H, W) float32, loss weight of each value"""


def finish(batch: Sample) -> Canvas:
    """A collated batch, on the device of its canvases; `crop` stays on the host, which never waits for the device."""
    image, target = (bytes_.float() / 255 for bytes_ in (batch.image, batch.target))
    weight = torch.empty_like(target)
    whole = [0, 0, *image.shape[-2:]]
    for i, (box, interp, type_) in enumerate(zip(batch.crop.tolist(), batch.target_interp, batch.type, strict=True)):
        if box != whole:
            image[i], target[i] = crop(image[i], box, "bicubic"), crop(target[i], box, interp)
        weight[i] = task_of(type_).loss_weight(target[i])
    return Canvas(normalize(image), normalize(target), batch.mask, weight)


def crop(canvas: Tensor, box: Box | list[int], interp: str) -> Tensor:
    """A box of a canvas (3, H, W), back at the canvas's size; no antialias, and bicubic may leave 0..1."""
    top, left, h, w = box
    align = {"align_corners": False} if interp == "bicubic" else {}
    window = canvas[None, :, top : top + h, left : left + w]
    return F.interpolate(window, size=canvas.shape[1:], mode=interp, **align)[0]
