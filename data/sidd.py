"""SIDD: patches of the Medium sRGB photographs, and the blocks of the two validation files."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat, whosmat

from data.folders import subfolders
from data.roots import Roots, find, names
from util.image import image_size, read_rgb

DATA = "denoise/SIDD_Medium_Srgb/Data"
NOISY_BLOCKS, CLEAN_BLOCKS = "denoise/val/ValidationNoisyBlocksSrgb.mat", "denoise/val/ValidationGtBlocksSrgb.mat"
PATCH, MOST_PATCHES = 256, 300  # pixels a side; of a photograph

Picture = NDArray[np.uint8]


def photographs(roots: Roots) -> dict[int, tuple[Path, Path]]:
    """The noisy and the clean file of every photograph, by its number; ValueError names one without a partner."""
    files = [
        f"{folder}/{name}"
        for folder in subfolders(roots, DATA)
        for name in names(roots, folder)
        if name.lower().endswith(".png")
    ]
    noisy, clean = ({file for file in files if part in file.rsplit("/", 1)[1]} for part in ("_NOISY_", "_GT_"))
    if alone := sorted({partner(file) for file in noisy} ^ clean):
        raise ValueError(f"{DATA}: {alone[0]} or its partner is missing ({len(alone)} such files); download them again")
    found: dict[int, tuple[Path, Path]] = {}
    for file in sorted(noisy):
        if (number := number_of(file)) in found:
            raise ValueError(f"{found[number][0]} and {file} have one number; remove one of them")
        found[number] = (find(roots, file), find(roots, partner(file)))
    return found


def number_of(noisy: str) -> int:
    """The number of a photograph, of which each scene has two: 1 for 0001_NOISY_SRGB_010, 2 for .._011, 3 for 0002.."""
    parts = re.fullmatch(r"(\d+)_NOISY_SRGB_(\d+)\.PNG", noisy.rsplit("/", 1)[1], re.IGNORECASE)
    if not parts:
        raise ValueError(f"{noisy} is not named like SIDD's 0001_NOISY_SRGB_010.PNG; give it its name back")
    return 2 * int(parts[1]) - 1 + int(parts[2]) % 2


def partner(noisy: str) -> str:
    """The clean file that belongs to a noisy one."""
    folder, name = noisy.rsplit("/", 1)
    return f"{folder}/{name.replace('_NOISY_', '_GT_')}"


def patch_names(noisy: Path, number: int) -> list[str]:
    """File names of the patches of photograph `number`: as many as cover it three times, at most 300."""
    width, height = image_size(noisy)
    count = min(MOST_PATCHES, max(1, 3 * width * height // PATCH**2))
    return [f"{number}_{patch}.png" for patch in range(1, count + 1)]


def cut(noisy: Path, clean: Path, number: int, count: int) -> Iterator[tuple[Picture, Picture]]:
    """Noisy and clean patches of photograph `number`, at random places that depend on the number only."""
    a, b = np.asarray(read_rgb(noisy)), np.asarray(read_rgb(clean))
    h, w = a.shape[:2]
    if a.shape != b.shape or min(h, w) < PATCH:
        raise ValueError(f"{noisy} is {w} x {h}, {clean} {b.shape[1]} x {b.shape[0]}; due is one size from {PATCH} up")
    rng = np.random.default_rng(number)
    for _ in range(count):
        y, x = rng.integers(h - PATCH + 1), rng.integers(w - PATCH + 1)
        yield a[y : y + PATCH, x : x + PATCH], b[y : y + PATCH, x : x + PATCH]


def block_names(roots: Roots) -> list[str]:
    """File names of all validation blocks: image and block, from 1; ValueError on files of other shapes."""
    files = [find(roots, path) for path in (NOISY_BLOCKS, CLEAN_BLOCKS)]
    (images, blocks, *_), other = (_shape(file) for file in files)
    if other[:2] != (images, blocks):
        raise ValueError(
            f"{files[0]} holds {images} x {blocks} blocks, {files[1]} {other[0]} x {other[1]}; download both"
        )
    return [f"{image:04}_{block:02}.png" for image in range(1, images + 1) for block in range(1, blocks + 1)]


def read_blocks(noisy: Path, clean: Path) -> Iterator[tuple[Picture, Picture]]:
    """The noisy and the clean validation blocks, in the order of their names."""
    a, b = (_blocks(file) for file in (noisy, clean))
    yield from zip(a, b, strict=True)


def _blocks(file: Path) -> Picture:
    try:
        return loadmat(file, variable_names=[file.stem])[file.stem].reshape(-1, PATCH, PATCH, 3)
    except Exception as error:  # scipy's reader raises what it meets
        raise ValueError(f"{file} is truncated or broken ({error}); download it again") from None


def _shape(file: Path) -> tuple[int, ...]:
    try:
        found = {name: (shape, kind) for name, shape, kind in whosmat(file)}
    except Exception as error:  # scipy's reader raises what it meets
        raise ValueError(f"{file} is not a MATLAB 5 file ({error}); download it again") from None
    shape, kind = found.get(file.stem, ((), "nothing"))
    if len(shape) != 5 or shape[2:] != (PATCH, PATCH, 3) or kind != "uint8":
        raise ValueError(
            f"{file}: {file.stem} is {shape} of {kind}; due is (images, blocks, {PATCH}, {PATCH}, 3) of uint8 "
            "(40 x 32 blocks); download it again"
        )
    return shape
