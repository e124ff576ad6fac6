"""Inference: the query below a prompt pair, its label hidden; the network paints it (paper, section 3.4).

The only place where prompts and queries meet.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from data.prompt import half_mask, query_half, stitch
from data.transforms import Size, resize
from util.image import denormalize, normalize

Model = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(images, targets (N, 3, 2H, W) normalised, mask (N, h, w)) -> painted canvases (N, 3, 2H, W), normalised"""


class Predictor:
    """Paints queries as one prompt pair shows.

    `size` (H, W) is that of half a canvas, `patch_size` that of the model's tokens; query_interp: queries are
    resized by Pillow's antialiased bicubic, or, as the original did for SIDD's blocks, by OpenCV's bilinear.
    """

    def __init__(
        self,
        model: Model,
        prompt: tuple[Image.Image, Image.Image],
        size: Size = (448, 448),
        patch_size: int = 16,
        query_interp: Literal["bicubic", "bilinear"] = "bicubic",
        device: torch.device | str = "cpu",
    ) -> None:
        """`prompt`: an image and its painted label, RGB of any size."""
        if any(side % patch_size for side in size):
            raise ValueError(f"size {size} must be a multiple of the patches' {patch_size}")
        self.model, self.size, self.query_interp, self.device = model, size, query_interp, device
        self.mask = half_mask((2 * size[0] // patch_size, size[1] // patch_size)).to(device)
        self.prompt_image, self.prompt_target = (half(image, size) for image in prompt)

    @torch.inference_mode()
    def __call__(self, queries: Sequence[Image.Image]) -> Tensor:
        """One or more images of any size -> (N, 3, H, W), float64, 0..1 but not clipped: what `decode` takes."""
        images, targets = self.canvases(queries)
        painted = self.model(images, targets, self.mask.expand(len(queries), -1, -1))
        return denormalize(query_half(painted).double())

    def canvases(self, queries: Sequence[Image.Image]) -> tuple[Tensor, Tensor]:
        """Stitched images and targets (N, 3, 2H, W), normalised; below the prompt's target lies the same again."""
        images = torch.stack([stitch(self.prompt_image, half(q, self.size, self.query_interp)) for q in queries])
        targets = stitch(self.prompt_target, self.prompt_target).expand_as(images)
        return images.to(self.device), targets.to(self.device)


def half(image: Image.Image, size: Size, interp: Literal["bicubic", "bilinear"] = "bicubic") -> Tensor:
    """An image as half a canvas, (3, H, W) normalised; computed in float64 as in the original."""
    image = image.convert("RGB")
    values: NDArray[Any]
    if interp == "bicubic":
        values = np.array(resize(image, size, "bicubic")) / 255
    else:
        values = cv2.resize(np.asarray(image, np.float32) / 255, size[::-1], interpolation=cv2.INTER_LINEAR)
    return normalize(torch.from_numpy(values).double().permute(2, 0, 1)).float()
