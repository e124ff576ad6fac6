"""Validation: every pair as a query below another one as its prompt, the query's target hidden."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from data.canvas import Canvas, finish
from data.pair_dataset import Sample
from data.prompt import query_half, stitch
from data.transforms import resize_pair
from engine.inpaint import Prompt, picture_of
from engine.loss import Loss, masked_loss
from engine.precision import Precision
from util.dist import World, all_sum
from util.image import denormalize
from util.visualize import canvas_strip


@dataclass
class Validation:
    """Means over the validation pairs of one source."""

    loss: float
    psnr: float
    """of the painted query against its target, 0..1, in dB; NaN where no value of any query counts"""
    strips: list[NDArray[np.uint8]] = field(default_factory=list)
    """input | masked | pred | target of the first pairs this rank saw"""


@torch.no_grad()
def validate(
    model: nn.Module, batches: Iterable[Sample], world: World, precision: Precision, loss: Loss, num_strips: int
) -> Validation:
    """Loss and PSNR of one source over all ranks; every pair counts once and alone, whatever the batch size."""
    model.eval()
    totals = torch.zeros(4, dtype=torch.float64, device=world.device)  # loss, PSNR, and how many of each
    strips: list[NDArray[np.uint8]] = []
    for batch in batches:
        canvas = to_device(batch, world.device)
        with precision.autocast():
            pred = model(canvas.image, canvas.target, canvas.mask).float()
        for i in range(len(pred)):
            one = slice(i, i + 1)
            target, mask, weight = canvas.target[one], canvas.mask[one], canvas.weight[one]
            error = masked_loss(pred[one], target, mask, weight, loss)
            psnr = query_psnr(pred[i], canvas.target[i], canvas.weight[i])
            counts = psnr.isfinite()
            totals += torch.stack((error.double(), psnr.nan_to_num(), torch.ones_like(psnr), counts.double()))
            if len(strips) < num_strips:
                strips.append(canvas_strip(canvas.image[i], canvas.target[i], canvas.mask[i], pred[i]))
    loss_sum, psnr_sum, num_losses, num_psnrs = all_sum(totals).tolist()
    return Validation(loss_sum / num_losses, psnr_sum / num_psnrs if num_psnrs else math.nan, strips)


def below(prompt: Prompt, batch: Sample) -> Sample:
    """A validation batch whose upper pairs, each of a list once, have become the queries below one prompt pair."""
    height, width = batch.image.shape[-2] // 2, batch.image.shape[-1]
    pair = [Image.fromarray(picture_of(side)) for side in prompt]
    halves = resize_pair(pair[0], pair[1], (height, width), batch.target_interp[0])  # type: ignore[arg-type]  # batched
    image, target = (
        stitch(torch.from_numpy(half).expand_as(canvas[..., :height, :]), canvas[..., :height, :])
        for half, canvas in zip(halves, (batch.image, batch.target), strict=True)
    )
    return batch._replace(image=image, target=target)


def query_psnr(pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """PSNR in dB of the query half of a normalised canvas (3, H, W), clipped to 0..1, where it has a weight.

    At most 100; NaN where nothing has a weight.
    """
    pred, target = (query_half(denormalize(x.double()).clamp(0, 1)) for x in (pred, target))
    error = (pred - target)[query_half(weight) > 0].square().mean()
    return -10 * torch.log10(error.clamp(min=1e-10))


def to_device(batch: Sample, device: torch.device) -> Canvas:
    """The canvases of a loader's batch, sent as bytes and finished on `device`; the host does not wait for it."""
    image, target, mask = (x.to(device, non_blocking=True) for x in (batch.image, batch.target, batch.mask))
    return finish(batch._replace(image=image, target=target, mask=mask))
