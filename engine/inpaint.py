"""The query below a prompt pair, its label hidden; the network paints it (paper, section 3.4).

The only place where prompts and queries meet.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from data.prompt import half_mask, query_half, stitch
from data.transforms import Size, resize
from engine.precision import Precision
from models import Painter
from util.image import denormalize, normalize, to_uint8

Half = Image.Image | Tensor
"""a picture of any size; or half a canvas (3, H, W), normalised, as learned prompts have it"""

Prompt = tuple[Half, Half]
"""an image and its painted label"""

Model = Callable[..., Tensor]
"""(images, targets (N, 3, 2H, W) normalised, mask (N, h, w)) -> painted canvases (N, 3, 2H, W), normalised"""


class Inpainter:
    """Paints queries as one or more prompt pairs show: called with images, or in two steps, prepare and paint.

    `prepare` turns a query of any size into half a canvas, (3, H, W) normalised. It is a function that pickles
    without the network, so that a loader's processes can do this work; `paint` takes them stacked.
    """

    def __init__(
        self,
        model: Model,
        prompts: Sequence[Prompt],
        size: Size = (448, 448),
        patch_size: int = 16,
        query_interp: Literal["bicubic", "bilinear"] = "bicubic",
        device: torch.device | str = "cpu",
        precision: Literal["fp32", "bf16", "fp16"] = "fp32",
        token_type: int = 0,
    ) -> None:
        """`size` (H, W) is that of half a canvas; `patch_size` and `device` are the model's.

        prompts: several make a feature ensemble (SegGPT), by the model's argument `num_prompts`.
        query_interp: queries are resized by Pillow's antialiased bicubic, or, as the original did for SIDD's
        blocks, by OpenCV's bilinear. token_type: 0 semantic, 1 instance, for networks with type tokens.
        A Painter computes once what no query changes, and what only the prompt needs not at all; its weights must
        stay as they are.
        """
        if any(side % patch_size for side in size):
            raise ValueError(f"size {size} must be a multiple of the patches' {patch_size}")
        if not prompts:
            raise ValueError("no prompt is given; give at least one pair of an image and its painted label")
        self.model, self.size, self.device, self.num_prompts = model, size, torch.device(device), len(prompts)
        options = {"num_prompts": (len(prompts), 1), "token_type": (token_type, 0)}
        self.options = {name: given for name, (given, usual) in options.items() if given != usual}
        self.precision = Precision(precision, self.device.type)
        self.prepare: Callable[[Image.Image], Tensor] = partial(half, size=size, interp=query_interp)
        self.mask = half_mask((2 * size[0] // patch_size, size[1] // patch_size)).to(device)
        images, labels = (torch.stack([half(x, size) for x in side]).to(device) for side in zip(*prompts, strict=True))
        self.prompt_images, self.prompt_targets = images, stitch(labels, labels)

    def __call__(self, queries: Sequence[Image.Image]) -> Tensor:
        """One or more images of any size -> (N, 3, H, W), float64, 0..1 but not clipped: what `decode` takes."""
        if not queries:
            raise ValueError("no query is given; give at least one image")
        return self.paint(torch.stack([self.prepare(query) for query in queries]))

    @torch.inference_mode()
    def paint(self, halves: Tensor) -> Tensor:
        """Prepared queries (N, 3, H, W) -> their painted halves, as from calling the inpainter.

        Of an ensemble: the half below the first prompt. Below the others it is the same but for its first row of
        pixels, where the head's convolution sees the prompt above. A module that is training is put into
        evaluation mode meanwhile.
        """
        images = self._images(halves)
        mask = self.mask.expand(len(images), -1, -1)
        with _evaluating(self.model), self.precision.autocast():
            if isinstance(self.model, Painter):
                targets = self._known_targets or self._targets(len(halves))
                painted = self.model(images, targets, mask, **self.options, query_only=True)
            else:
                painted = query_half(self.model(images, self._targets(len(halves)), mask, **self.options))
        if not painted.isfinite().all():
            raise ValueError("the network paints values that are not finite: its weights are broken, or overflow")
        return denormalize(painted[:: self.num_prompts].float().double())

    @cached_property
    def _known_targets(self) -> list[Tensor] | None:
        """What a Painter that merges knows of the prompts' targets before it sees a query."""
        if not isinstance(self.model, Painter) or self.model.config.merge_after is None:
            return None
        mask = self.mask.expand(self.num_prompts, -1, -1)
        return self.model.target_states(self.prompt_targets, mask, **self.options)

    def canvases(self, halves: Tensor) -> tuple[Tensor, Tensor]:
        """Stitched images and targets (N * prompts, 3, 2H, W), normalised, each query below all prompts in turn.

        Below the prompt's target lies the same again, which the mask hides.
        """
        return self._images(halves), self._targets(len(halves))

    def _images(self, halves: Tensor) -> Tensor:
        assert halves.shape[1:] == (3, *self.size)
        queries = self._send(halves).repeat_interleave(self.num_prompts, dim=0)
        return stitch(self.prompt_images.repeat(len(halves), 1, 1, 1), queries)

    def _targets(self, num_queries: int) -> Tensor:
        return self.prompt_targets.repeat(num_queries, 1, 1, 1)

    def _send(self, halves: Tensor) -> Tensor:
        """To the device; the host does not wait until it is there."""
        halves = halves.pin_memory() if self.device.type == "cuda" and not halves.is_cuda else halves
        return halves.to(self.device, non_blocking=True)


def half(image: Half, size: Size, interp: Literal["bicubic", "bilinear"] = "bicubic") -> Tensor:
    """An image as half a canvas, (3, H, W) normalised; computed in float64 as in the original.

    What is half a canvas already is taken as it is; ValueError if it is of another size.
    """
    if isinstance(image, Tensor):
        image = image.detach().float().cpu()
        if image.shape != (3, *size):
            made, due = (f"{w} x {h}" for h, w in (image.shape[1:], size))
            raise ValueError(f"the prompt was learned at {made} pixels and is used at {due}; learn one of this size")
        return image
    image = image.convert("RGB")
    values: NDArray[Any]
    if interp == "bicubic":
        values = np.array(resize(image, size, "bicubic")) / 255
    else:
        values = cv2.resize(np.asarray(image, np.float32) / 255, size[::-1], interpolation=cv2.INTER_LINEAR)
    return normalize(torch.from_numpy(values).double().permute(2, 0, 1)).float()


def picture_of(half: Half) -> NDArray[np.uint8]:
    """A side of a prompt to look at, (H, W, 3)."""
    return to_uint8(denormalize(half)) if isinstance(half, Tensor) else np.asarray(half.convert("RGB"))


@contextmanager
def _evaluating(model: Model) -> Iterator[None]:
    """A module that is training is in evaluation mode inside, and training again after."""
    if not (isinstance(model, nn.Module) and model.training):
        yield
        return
    model.eval()
    try:
        yield
    finally:
        model.train()
