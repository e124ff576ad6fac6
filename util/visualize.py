"""Pictures of what the model sees and paints: input | masked | pred | target."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from util.image import denormalize, to_uint8

COLUMNS = ("input", "masked", "pred", "target")
GAP, CAPTION, HIDDEN_GRAY = 4, 16, 0.5


def canvas_strip(image: Tensor, target: Tensor, mask: Tensor, pred: Tensor) -> NDArray[np.uint8]:
    """One sample's canvases side by side, in the order of COLUMNS; the visible part of pred is the target's.

    image, target, pred: (3, H, W) normalised; mask: (h, w) tokens. Returns (H, 4 W + gaps, 3) bytes.
    """
    image, target, pred = (denormalize(x.float()).cpu() for x in (image, target, pred))
    hidden = F.interpolate(mask[None, None].float().cpu(), size=image.shape[-2:], mode="nearest")[0]
    masked = target * (1 - hidden) + HIDDEN_GRAY * hidden
    painted = target * (1 - hidden) + pred * hidden
    gap = torch.ones(3, image.shape[-2], GAP)
    columns = [part for x in (image, masked, painted, target) for part in (x, gap)]
    return to_uint8(torch.cat(columns[:-1], dim=-1))


def captioned(strips: Sequence[NDArray[np.uint8]], scale: int = 1) -> NDArray[np.uint8]:
    """Strips of one width below each other, enlarged, under the names of the columns."""
    gap = np.full((GAP, strips[0].shape[1], 3), 255, np.uint8)
    rows = np.concatenate([part for strip in strips for part in (strip, gap)][:-1])
    rows = rows.repeat(scale, 0).repeat(scale, 1)
    sheet = Image.new("RGB", (rows.shape[1], rows.shape[0] + CAPTION), "white")
    sheet.paste(Image.fromarray(rows), (0, CAPTION))
    draw = ImageDraw.Draw(sheet)
    for i, name in enumerate(COLUMNS):
        draw.text((i * (rows.shape[1] + GAP * scale) / len(COLUMNS) + 2, 2), name, fill="black")
    return np.asarray(sheet)


def save_png(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an (H, W, 3) picture, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
