"""Pictures of what the model sees and paints: input | masked | pred | target."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
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


def captioned(strips: Sequence[NDArray[np.uint8]], scale: int = 1, titles: Sequence[str] = ()) -> NDArray[np.uint8]:
    """Strips of one width below each other, enlarged, under the names of the columns; each under its title, if any."""
    height, width = strips[0].shape[0] * scale, strips[0].shape[1] * scale
    pitch = height + (CAPTION if titles else GAP * scale)
    sheet = Image.new("RGB", (width, CAPTION + pitch * len(strips) - (0 if titles else GAP * scale)), "white")
    draw = ImageDraw.Draw(sheet)
    for i, name in enumerate(COLUMNS):
        draw.text((i * (width + GAP * scale) / len(COLUMNS) + 2, 2), name, fill="black")
    for row, strip in enumerate(strips):
        top = CAPTION + row * pitch
        if titles:
            draw.text((2, top + 2), titles[row], fill="black")
        sheet.paste(
            Image.fromarray(strip).resize((width, height), Image.Resampling.NEAREST), (0, top + CAPTION * bool(titles))
        )
    return np.asarray(sheet)


def save_png(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an (H, W, 3) picture, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def panels(pictures: Mapping[str, NDArray[np.uint8]], height: int = 224) -> NDArray[np.uint8]:
    """Pictures (H, W, 3) side by side at one height, each under its name."""
    images = [Image.fromarray(picture) for picture in pictures.values()]
    widths = [round(image.width * height / image.height) for image in images]
    sheet = Image.new("RGB", (sum(widths) + GAP * (len(widths) - 1), CAPTION + height), "white")
    draw, left = ImageDraw.Draw(sheet), 0
    for name, image, width in zip(pictures, images, widths, strict=True):
        draw.text((left + 2, 2), name, fill="black")
        interp = Image.Resampling.BICUBIC if image.height > height else Image.Resampling.NEAREST
        sheet.paste(image.resize((width, height), interp), (left, CAPTION))
        left += width + GAP
    return np.asarray(sheet)


def blend(image: NDArray[np.uint8], colors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colours (H, W, 3) over a darkened image (H, W, 3), which shows alone where they are black."""
    mixed = cv2.addWeighted(image, 0.4, colors, 0.6, 0)
    return np.where(colors.any(axis=2, keepdims=True), mixed, image // 2)


def distinct_colors(num: int) -> NDArray[np.uint8]:
    """(num, 3): bright colours, of which neighbours differ; the same ones each time."""
    hues = np.arange(num) * 0.618034 % 1 * 180  # the golden ratio comes back to no hue soon
    hsv = np.stack([hues, np.full(num, 200), np.full(num, 255)], axis=-1).astype(np.uint8)
    return np.asarray(cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB), np.uint8)[0]


def heat(values: NDArray[Any], inferno: bool = False) -> NDArray[np.uint8]:
    """Values (H, W) of 0..1 in false colours (H, W, 3): from blue to red, or, inferno, from black to pale yellow."""
    gray = (values.clip(0, 1) * 255).astype(np.uint8)
    colors = cv2.applyColorMap(gray, cv2.COLORMAP_INFERNO if inferno else cv2.COLORMAP_TURBO)
    return np.ascontiguousarray(colors[..., ::-1])


def mistakes(wrong: NDArray[np.bool_], counts: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Wrong pixels (H, W) in red, right ones in gray, those that do not count in black: (H, W, 3)."""
    colors = np.where(wrong[..., None], (220, 40, 40), (200, 200, 200)) * counts[..., None]
    return colors.astype(np.uint8)
