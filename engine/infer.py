"""In-context painting: give pairs of an image and its painted label, and any other image is painted alike.

from engine.infer import Predictor

predictor = Predictor.from_pretrained("painter.safetensors")
predictor.set_prompts([("room.jpg", "room_depth.png")])
depth = predictor.predict("kitchen.jpg", task="depth")  # (H, W) metres; .paint(...) is the painting itself
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from data.tasks import Size, Task, task_named
from data.tasks.base import resize_painted
from data.transforms import resize
from engine.fit import check_canvases
from engine.inpaint import Half, Inpainter, Prompt
from engine.precision import Name, Precision, chosen_precision
from engine.pretrained import find_pretrained, load_painter
from models import Painter
from util.dist import known_device
from util.image import PictureLike, to_rgb, to_uint8

Ensemble = Literal["feature", "spatial"]
CANVASES = 8  # painted at once


class Predictor:
    """A Painter, prompts for it, and pictures of any kind and size to paint: files, Pillow images, arrays of bytes."""

    def __init__(
        self, model: Painter, device: str = "auto", precision: Name | Literal["auto"] = "auto", side: int | None = None
    ) -> None:
        """Takes over the network, whose weights get ready to infer.

        precision: auto is the fastest of the device, whose results differ by a thousandth; the paper's is fp32.
        side: of the squares that prompts and queries become, in pixels; None: as trained.
        """
        self.device = torch.device(known_device(device))
        self.precision = chosen_precision(precision, self.device)
        self.model = Precision(self.precision, self.device.type).for_inference(model.eval().to(self.device))
        height, width = model.config.img_size
        self.size: Size = (side, side) if side else (height // 2, width)
        self._inpainter: Inpainter | None = None

    @classmethod
    def from_pretrained(
        cls,
        path_or_hub_id: str | Path,
        device: str = "auto",
        precision: Name | Literal["auto"] = "auto",
        side: int | None = None,
        model: str | None = None,
    ) -> "Predictor":
        """From a weights file, a run's checkpoint, a folder of tools/export.py, or else the `user/model` of a hub.

        model: registered name of the network, for weights that do not tell; by default painter_vit_large.
        Raises ValueError: one sentence that names the file and the cure.
        """
        return cls(load_painter(find_pretrained(path_or_hub_id), model)[0], device, precision, side)

    def set_prompts(
        self,
        prompts: Sequence[tuple[PictureLike | Tensor, PictureLike | Tensor]],
        ensemble: Ensemble = "feature",
        instances: bool = False,
    ) -> "Predictor":
        """Pairs of an image and its painted label, which all that follows is painted after; returns itself.

        Several are an ensemble (SegGPT): of features, which costs as many canvases for each query; or spatial, a grid
        of all of them shrunk into one prompt. A pair may be tensors, half canvases as prompts are learned.
        instances: tells a SegGPT that the prompts show single objects, and not all of a class.
        """
        if ensemble not in get_args(Ensemble):
            raise ValueError(f"ensemble {ensemble!r} must be one of {', '.join(get_args(Ensemble))}")
        if isinstance(prompts, str | Path) or not all(
            isinstance(pair, tuple | list) and len(pair) == 2 for pair in prompts
        ):
            raise ValueError("give a list of pairs, each an image and its painted label: [(image, target), ...]")
        if instances and not self.model.config.type_tokens:
            raise ValueError("this network has no type tokens, which only SegGPT's have; leave `instances` out")
        num = len(prompts) if ensemble == "feature" else 1
        check_canvases(self.model.config, self.size, num, self.device)
        pairs = [_pair(*pair, number) for number, pair in enumerate(prompts, 1)]
        if ensemble == "spatial" and pairs:
            pairs = [grid(pairs, self.size)]
        return self.use(pairs, instances)

    def use(self, pairs: Sequence[Prompt], instances: bool = False) -> "Predictor":
        """As `set_prompts`, of pairs that are read and fit into the memory."""
        self._inpainter = Inpainter(
            self.model,
            pairs,
            self.size,
            self.model.config.patch_size,
            device=self.device,
            precision=self.precision,
            token_type=int(instances),
        )
        return self

    @overload
    def paint(self, image: PictureLike) -> NDArray[np.uint8]: ...  # type: ignore[overload-overlap]  # str
    @overload
    def paint(self, image: Sequence[PictureLike]) -> list[NDArray[np.uint8]]: ...
    def paint(self, image: PictureLike | Sequence[PictureLike]) -> NDArray[np.uint8] | list[NDArray[np.uint8]]:
        """The painted label of a picture, (H, W, 3) bytes of its size; of several, a list."""
        images, is_one = _pictures(image)
        found = [
            to_picture(painted, one.size[::-1]) for one, painted in zip(images, self.paintings(images), strict=True)
        ]
        return found[0] if is_one else found

    def predict(self, image: PictureLike | Sequence[PictureLike], task: str | Task) -> Any:
        """The label of a picture in units for people, in its size: NumPy's arrays; of several, a list.

        task: which one the prompts show, such as depth: metres (H, W), float32; ade20k_semantic: classes (H, W), bytes;
        instance: masks (N, H, W) and scores (N,); pose: keypoints (17, 3), x, y, score; denoise: bytes (H, W, 3).
        """
        chosen = task if isinstance(task, Task) else task_named(task)
        images, is_one = _pictures(image)
        found = [
            chosen.answer(chosen.label(painted, one.size[::-1]))
            for one, painted in zip(images, self.paintings(images), strict=True)
        ]
        return found[0] if is_one else found

    def paintings(self, images: Iterable[Image.Image]) -> Iterator[Tensor]:
        """Of each image the painting (3, h, w) as tasks decode it: as large as half a canvas, 0..1 but not clipped.

        Images are taken as they are due, a batch at a time.
        """
        if self._inpainter is None:
            raise ValueError("no prompt is set; call set_prompts with pairs of an image and its painted label")
        step = max(1, CANVASES // self._inpainter.num_prompts)
        waiting = iter(images)
        while batch := list(islice(waiting, step)):
            yield from self._inpainter(batch).cpu()


def to_picture(painted: Tensor, size: Size) -> NDArray[np.uint8]:
    """A painting (3, h, w) -> (H, W, 3) bytes of `size`: bicubic, clipped, rounded."""
    return to_uint8(resize_painted(painted, size, "bicubic"))


def grid(prompts: Sequence[tuple[Half, Half]], size: Size) -> tuple[Image.Image, Image.Image]:
    """Prompts side by side in a square grid that is one prompt of `size` (SegGPT's spatial ensemble).

    Cells that would stay empty show the first ones again. Raises ValueError on tensors.
    """
    if any(isinstance(half, Tensor) for pair in prompts for half in pair):
        raise ValueError("learned prompts are whole canvases; combine them as an ensemble of features")
    images, targets = zip(*prompts, strict=True)
    return _tiled(images, size, "bicubic"), _tiled(targets, size, "nearest")


def _tiled(images: Sequence[Image.Image], size: Size, interp: Literal["bicubic", "nearest"]) -> Image.Image:
    side = next(n for n in range(1, len(images) + 1) if n * n >= len(images))
    rows, columns = (np.linspace(0, length, side + 1).round().astype(int).tolist() for length in size)
    sheet = Image.new("RGB", size[::-1])
    for cell in range(side * side):
        (top, bottom), (left, right) = rows[cell // side :][:2], columns[cell % side :][:2]
        sheet.paste(resize(images[cell % len(images)], (bottom - top, right - left), interp), (left, top))
    return sheet


def _pair(image: PictureLike | Tensor, target: PictureLike | Tensor, number: int) -> Prompt:
    """A prompt as pictures in RGB; ValueError if both are not of one size."""
    found = [
        side if isinstance(side, Tensor) else to_rgb(side, f"the {name} of prompt {number}")
        for name, side in (("image", image), ("target", target))
    ]
    sizes = [side.size for side in found if isinstance(side, Image.Image)]
    if len(set(sizes)) > 1:
        (w, h), (target_w, target_h) = sizes
        raise ValueError(
            f"prompt {number}: its image is {w} x {h} but its target {target_w} x {target_h} pixels; "
            "give the painted label of this very image"
        )
    return found[0], found[1]


def _pictures(image: PictureLike | Sequence[PictureLike]) -> tuple[list[Image.Image], bool]:
    """All as RGB, and whether it was one alone."""
    if isinstance(image, str | Path | Image.Image | np.ndarray):
        return [to_rgb(image)], True
    return [to_rgb(one, f"picture {number}") for number, one in enumerate(image, 1)], False
