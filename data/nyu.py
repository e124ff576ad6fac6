"""NYU Depth V2: the labelled .mat, which is HDF5, and the official split of its images."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from data.roots import Roots, find

LABELED, SPLITS = "nyu_depth_v2/nyu_depth_v2_labeled.mat", "nyu_depth_v2/splits.mat"
FRAME = np.array([[7, 474], [7, 632]]) / [[480], [640]]  # rows and columns that are kept, as shares of the size


def test_images(roots: Roots) -> list[tuple[int, str]]:
    """Index from 0 and scene type of each official test image that the labelled file holds.

    Indices of the split beyond the file are left out: an extract is read as far as it goes.
    """
    file = find(roots, LABELED)
    with _opened(file) as content:
        num = _num_images(content, file)
        scenes = ["".join(map(chr, content[name][()].ravel())) for name in content["sceneTypes"][()].ravel()]
    chosen = sorted(index - 1 for index in _test_numbers(find(roots, SPLITS)) if index <= num)
    if unfit := [scenes[index] for index in chosen if not scenes[index].replace("_", "").isalnum()]:
        raise ValueError(f"{file} names a scene type {unfit[0]!r}, which can be no folder; download it again")
    return [(index, scenes[index]) for index in chosen]


def read_labeled(file: Path, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Image `index`, (H, W, 3), its border black, and its measured depth (H, W) in millimetres, truncated."""
    with _opened(file) as content:
        _num_images(content, file)
        image, metres = content["images"][index].transpose(2, 1, 0), content["rawDepths"][index].T
    inside = tuple(slice(*ends) for ends in np.rint(FRAME * [[side] for side in metres.shape]).astype(int))
    framed = np.zeros_like(image)
    framed[inside] = image[inside]
    return framed, np.nan_to_num(metres * np.float32(1000)).clip(0, 65535).astype(np.uint16)


@contextmanager
def _opened(file: Path) -> Iterator[h5py.File]:
    try:
        with h5py.File(file) as content:
            yield content
    except (OSError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} is not NYU Depth V2's labelled HDF5 file ({error}); download it again") from None


def _num_images(content: h5py.File, file: Path) -> int:
    """How many images there are; ValueError on other shapes than those of the data set."""
    images, depths, scenes = (content[name].shape for name in ("images", "rawDepths", "sceneTypes"))
    num, width, height = depths if len(depths) == 3 else (0, 0, 0)
    if (images, scenes) != ((num, 3, width, height), (1, num)) or content["images"].dtype != np.uint8:
        raise ValueError(
            f"{file} holds images {images} of {content['images'].dtype}, rawDepths {depths} and sceneTypes {scenes}; "
            "due are (N, 3, W, H) of uint8, (N, W, H) and (1, N); download it again"
        )
    return num


def _test_numbers(file: Path) -> list[int]:
    """The test images, counted from 1."""
    try:
        numbers = [int(number) for number in loadmat(file, variable_names=["testNdxs"])["testNdxs"].ravel()]
    except Exception as error:  # scipy's reader raises what it meets
        raise ValueError(f"{file} is not a MATLAB 5 file with `testNdxs` ({error}); download it again") from None
    if not numbers or min(numbers) < 1:
        raise ValueError(f"{file}: testNdxs must count images from 1; download it again")
    return numbers
