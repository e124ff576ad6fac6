"""A task is a way to turn a label into an image and back; everything else asks it and knows no task by name."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils._pytree import tree_map_only

from data.roots import Roots
from util.files import write_png
from util.image import read_rgb
from util.visualize import blend

Interp = Literal["bicubic", "nearest"]
Size = tuple[int, int]  # (h, w)
Picture = NDArray[np.uint8]  # (H, W, 3)

BLACK = 1e-5  # a value of 0..1 below this is black: background, or nothing painted
MIN_PAINTED = 300  # values (3 a pixel) a canvas must have painted to teach anything


class Entry(NamedTuple):
    """A pair of a data set, as its list will name it."""

    image_path: str
    target_path: str
    label: Any = None
    """JSON value that is painted while loading; None where the target file shows the label"""


class Job(NamedTuple):
    """Pairs of a data set, and how to make their files that no download holds.

    `make` yields (path below the output root, pixels) and must be picklable; a pair whose files it does not
    yield has nothing to show and is left out of the list. None: all files are downloads.
    """

    entries: Sequence[Entry]
    make: Callable[[], Iterable[tuple[str, NDArray[Any]]]] | None = None


class Task:
    """How labels of one kind become images and come back, and how training treats them.

    The defaults are those of semantic segmentation and restoration (paper, section 4.1).
    """

    name: str
    """of the source, in configs and commands"""
    type: str
    """of its pairs, in lists"""
    lists: Mapping[str, str]
    """the pair list of each split, `train` and `val`"""
    derived: bool = False
    """made of another source's downloads: nothing is amiss where it has not been prepared"""
    target_interp: Interp = "nearest"
    """how painted targets are resized; images are always bicubic"""
    augment: bool = True
    """random crop, colour jitter and flip of each pair; otherwise a plain resize"""
    canvas_crop: bool = True
    """one more random crop of the stitched canvas, where block masking follows"""

    def encode(self, label: Any) -> NDArray[Any]:
        """The label as an image, (H, W, 3) bytes."""
        raise NotImplementedError

    def decode(self, painted: Tensor, size: Size) -> Any:
        """A painted image (3, h, w), 0..1 but not clipped, as a label of `size`, on the same device."""
        raise NotImplementedError

    def label(self, painted: Tensor, size: Size) -> Any:
        """As `decode`, in NumPy's arrays; raises as `check_decodes`."""
        self.check_decodes()
        return tree_map_only(Tensor, lambda x: x.cpu().numpy(), self.decode(painted, size))

    def check_decodes(self) -> None:
        """ValueError if it cannot."""
        if type(self).decode is Task.decode:
            raise ValueError(f"task {self.name} paints labels but does not decode them; leave the task out")

    def answer(self, label: Any) -> Any:
        """What people want to know of a decoded label: itself, or in other units."""
        return label

    def draw(self, label: Any, image: Picture) -> Picture:
        """A decoded label over its image (H, W, 3)."""
        return blend(image, self.encode(label))

    def save(self, label: Any, stem: Path) -> None:
        """Write a decoded label as `stem`.png, painted, or as its data set has it; or as other files of this stem."""
        write_png(stem, self.encode(label))

    def owns(self, roots: Roots) -> bool:
        """Whether files that several sources could be made of are meant for this one."""
        return True

    def sources(self, roots: Roots, split: str, offline: bool = False) -> list[Job]:
        """The pairs of the data set, found in its official downloads.

        `offline`: paint to files, with the original's augmented copies, what is else painted while loading.
        Raises ValueError on what is missing, broken or foreign.
        """
        raise NotImplementedError

    def read_pair(
        self, image: Path, target: Path, label: Any, rng: Generator | None
    ) -> tuple[Image.Image, Image.Image]:
        """Image and painted target of one size, RGB; a gray target, L, stands for three equal channels.

        `label` as in the list. `rng`: draw the augmentation that belongs to painting, if there is any;
        None for validation.
        """
        if label is not None:
            raise ValueError(f"pairs of type {self.type} are files; take the label out of the list")
        return read_rgb(image), self.read_target(target)

    def read_target(self, path: Path) -> Image.Image:
        """The label file as its painted image, RGB or L."""
        return read_rgb(path)

    def foreign(self, target: Image.Image) -> str | None:
        """What a painted target shows that `encode` never paints, in words; None if all is well."""
        return None

    def loss_weight(self, target: Tensor) -> Tensor:
        """Weight of each value of a target canvas (3, H, W) in 0..1; the same shape.

        On the device of `target`, whose values the host may not ask for: it would wait for them.
        """
        return torch.ones_like(target)


def enough_painted(target: Tensor) -> Tensor:
    """Whether a canvas (3, H, W) in 0..1 shows anything on its black background, () bool."""
    return (target > BLACK).sum() >= MIN_PAINTED


def to_pixels(painted: Tensor, size: Size, interp: Literal["bilinear", "nearest"]) -> Tensor:
    """(3, h, w) in 0..1 -> (H, W, 3) bytes of `size`: clipped, resized, truncated, in this order as in the original."""
    return resize_painted(painted.mul(255).clamp(0, 255), size, interp).byte().permute(1, 2, 0)


def resize_painted(painted: Tensor, size: Size, interp: Literal["bilinear", "bicubic", "nearest"]) -> Tensor:
    """(C, h, w) at `size`, without antialias; to the last bit the same for any number of threads."""
    if interp == "nearest":
        rows, columns = (_nearest(*sides).to(painted.device) for sides in zip(painted.shape[1:], size, strict=True))
        return painted[:, rows[:, None], columns]
    one_by_one = painted[:, None]  # several channels take another path, of other rounding, where there is one thread
    return F.interpolate(one_by_one, size=size, mode=interp, align_corners=False)[:, 0]


def _nearest(side: int, new: int) -> Tensor:
    """The place (new,) in 0 .. side - 1 of each pixel of a resized line: PyTorch's choice on the CPU in float64.

    In float32, and on other devices, it is another one here and there.
    """
    return F.interpolate(torch.arange(side, dtype=torch.float64)[None, None, :, None], size=(new, 1)).long().flatten()
