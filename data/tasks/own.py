"""Your own folder: images beside labels that are pictures, or class numbers; docs/FINETUNE.md shows it.

DIR/images/{train,val}/NAME.jpg, DIR/labels/{train,val}/NAME.png; without train and val every tenth pair validates.
Class numbers have their colours in DIR/palette.json, and are painted into DIR/painted. Both kinds have the same lists,
so that one config trains either.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ExifTags import Base
from torch import Tensor

from data.folders import Paths, is_folder, paired
from data.own_palette import PALETTE, read_palette
from data.palette import Palette
from data.roots import Absent, Roots, find, has, places
from data.tasks.base import BLACK, Entry, Interp, Job
from data.tasks.restoration import Restoration
from data.tasks.semantic import IGNORE, Semantic
from util.image import image_size, read_bytes

LISTS = {"train": "own_train.json", "val": "own_val.json"}
IMAGES, LABELS, PAINTED = "images", "labels", "painted"
NTH = 10  # pair validates, where no folders tell


class OwnPictures(Restoration):
    """Labels that are what is to be painted."""

    target_interp: Interp = "bicubic"

    def owns(self, roots: Roots) -> bool:
        """Where no palette says that labels are numbers."""
        return not has(roots, PALETTE)

    def sources(self, roots: Roots, split: str, offline: bool = False) -> list[Job]:
        """The files. Raises ValueError on a pair of two sizes, and where a palette says that labels are numbers."""
        pairs = own_pairs(roots, split)
        if has(roots, PALETTE):
            raise ValueError(f"{find(roots, PALETTE)} is of class numbers; prepare own_classes, or remove the palette")
        for image, label in pairs:
            check_sizes(find(roots, image), find(roots, label))
        return [Job([Entry(*pair) for pair in pairs])]


class OwnClasses(Semantic):
    """Labels that are class numbers, 8-bit gray or palette PNGs; 255: unlabelled.

    The colours are those of a folder, which `own_classes` knows; of the task by its name they are those of 255 classes.
    """

    def owns(self, roots: Roots) -> bool:
        """Where there is a palette."""
        return has(roots, PALETTE)

    def sources(self, roots: Roots, split: str, offline: bool = False) -> list[Job]:
        """A job for each label. Raises ValueError where one, or the palette, has changed since it was painted."""
        pairs, task = own_pairs(roots, split), replace(self, palette=read_palette(roots))
        return [_job(task, roots, *pair) for pair in pairs]

    def check_decodes(self) -> None:
        """ValueError where the folder and its palette are not known."""
        if self is OWN_CLASSES:
            raise ValueError(
                "own_classes decodes by the palette of your folder: in Python predict(image, own_classes(DIR)); "
                "else take own_pictures, which keeps the painting as it is"
            )

    def foreign(self, target: Image.Image) -> str | None:
        """Nothing: which colours are right, only the folder knows."""
        return None

    def loss_weight(self, target: Tensor) -> Tensor:
        """0 on unlabelled pixels. Not on single values of 0: people's colours have those."""
        return (target >= BLACK).any(dim=0).to(target.dtype).expand_as(target)


def own_classes(folder: str | Path) -> Semantic:
    """The task of a folder's class numbers, to decode by its palette: Predictor.predict(image, own_classes("my"))."""
    return replace(OWN_CLASSES, palette=read_palette([Path(folder)]))


def own_pairs(roots: Roots, split: str) -> list[Paths]:
    """The pairs of images and labels of a split, by name; ValueError if there are none."""
    told = is_folder(roots, f"{IMAGES}/train")
    folders = (f"{IMAGES}/{split}", f"{LABELS}/{split}") if told else (IMAGES, LABELS)
    try:
        pairs = paired(roots, folders)
    except Absent as error:
        cure = "docs/FINETUNE.md says how images and labels are laid out"
        raise Absent(error.path, f"folder {error.path} is not under {places(roots)}; {cure}") from None
    found = [pair for i, pair in enumerate(pairs) if told or (i % NTH == 0) == (split == "val")]
    if not found:
        raise ValueError(
            f"{folders[0]} and {folders[1]} in {roots[0]} hold {len(pairs)} pairs, none of them for {split}; "
            "put pictures into both, partners of one name"
        )
    return found


def paint(task: Semantic, photo: Path, label: Path, target_path: str) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """A label as its target; nothing if all of it is unlabelled. ValueError names a file that does not fit."""
    check_sizes(photo, label)
    classes = read_classes(label)
    try:
        painted = task.encode(classes)
    except ValueError as error:
        raise ValueError(f"{label}: {error}; add to {PALETTE}, or mend the label (255: unlabelled)") from None
    if (classes != IGNORE).any():
        yield target_path, painted


def read_classes(file: Path) -> NDArray[np.uint8]:
    """The class numbers (H, W) of a label; ValueError if it cannot hold any."""
    with Image.open(file) as image:
        kind, mode = image.format, image.mode
    if kind == "JPEG" or mode not in ("L", "P"):
        raise ValueError(f"{file} is a {kind} of mode {mode}; class numbers are 8-bit PNGs of mode L or P")
    return read_bytes(file, "L", "P")


def check_sizes(photo: Path, label: Path) -> None:
    """ValueError unless an image and its label are as large."""
    with Image.open(photo) as image:
        if image.getexif().get(Base.Orientation, 1) != 1:
            raise ValueError(f"{photo} is stored turned, as its camera says; save it upright, as its label is")
    (w, h), (label_w, label_h) = image_size(photo), image_size(label)
    if (w, h) != (label_w, label_h):
        raise ValueError(f"{photo} is {w} x {h} but {label} is {label_w} x {label_h} pixels; give both one size")


def _job(task: Semantic, roots: Roots, image: str, label: str) -> Job:
    """Of a pair. Raises ValueError if it is painted already, but its label or the palette is newer."""
    target = str(PurePosixPath(label.replace(LABELS, PAINTED, 1)).with_suffix(".png"))
    for file in (find(roots, path) for path in (label, PALETTE)):
        if has(roots, target) and file.stat().st_mtime > (painted := find(roots, target)).stat().st_mtime:
            raise ValueError(f"{file} is newer than {painted}; remove the folder {PAINTED} to have all painted again")
    return Job([Entry(image, target)], partial(paint, task, find(roots, image), find(roots, label), target))


OWN_PICTURES = OwnPictures("own_pictures", "own_image2picture", LISTS, {})
OWN_CLASSES = OwnClasses("own_classes", "own_image2classes", LISTS, Palette.of_base(255, 7))
