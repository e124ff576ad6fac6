"""Images: reading with clear errors, and ImageNet normalisation. Once for all."""

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
MAX_PIXELS = 64_000_000  # a photograph of 8000 x 8000; more is a mistake or an attack

PictureLike = Image.Image | NDArray[Any] | str | Path
"""whatever shows one picture: a Pillow image, an array, a file"""

FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "PPM", "GIF")  # none that runs another program

_EIGHT_BIT = ("RGB", "RGBA", "L", "LA", "P", "1")
_SIXTEEN_BIT = ("I;16", "I;16B", "I")


def read_rgb(path: Path) -> Image.Image:
    """An 8-bit colour, gray or palette image as RGB; ValueError says what else the file is."""
    return _to_rgb(_decode(path), str(path))


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    """Of any Pillow image."""
    _check_pixels(image.width, image.height, name)
    if image.mode in _SIXTEEN_BIT or image.mode == "F":
        raise ValueError(f"{name} has 16 or more bits a channel where 8 are due; save it as 8-bit RGB")
    if image.mode not in _EIGHT_BIT:
        raise ValueError(f"{name} is {image.mode}; convert it to RGB")
    image.info.pop("transparency", None)  # of a palette: colours are read without it
    return image if image.mode == "RGB" else image.convert("RGB")


def to_rgb(picture: PictureLike, name: str = "the picture") -> Image.Image:
    """A file, a Pillow image or an array (H, W), (H, W, 3) of bytes as RGB; ValueError says what else `name` is.

    Photographs stand upright, as the camera says; those of data sets stay as they are stored, see `read_rgb`.
    """
    if isinstance(picture, str | Path):
        return _upright(read_rgb(Path(picture)))
    if isinstance(picture, Image.Image):
        _check_still(_num_frames(picture), name)
        _check_pixels(picture.width, picture.height, name)
        return _to_rgb(_upright(picture), name)
    pixels = np.asarray(picture)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)) or not pixels.size:
        found = f"{pixels.dtype} of shape {pixels.shape}"
        raise ValueError(f"{name} is an array of {found}; give bytes (uint8) of shape (H, W, 3) or (H, W)")
    _check_pixels(pixels.shape[1], pixels.shape[0], name)
    return Image.fromarray(pixels).convert("RGB")


def read_bytes(path: Path, *modes: str) -> NDArray[np.uint8]:
    """The bytes of an image that must be of one of these Pillow modes, (H, W) or (H, W, 3); ValueError if it is not."""
    image = _decode(path)
    if image.mode not in modes:
        raise ValueError(
            f"{path} is {image.mode} where {' or '.join(modes)} is due; use the file of the official download"
        )
    return np.asarray(image)


def read_uint16(path: Path) -> NDArray[np.uint16]:
    """A 16-bit gray image, (H, W); ValueError if it holds anything else."""
    image = _decode(path)
    if image.mode not in _SIXTEEN_BIT:
        raise ValueError(f"{path} is an 8-bit {image.mode} image where 16-bit gray is due; prepare it again")
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError(f"{path} holds values outside 0..65535; save it as 16-bit gray")
    return values.astype(np.uint16)


def image_size(path: Path) -> tuple[int, int]:
    """Width and height; decodes nothing."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            return image.size
    except Exception as error:
        raise ValueError(f"{path} is not an image in a known format ({error}); copy or download it again") from None


def check_same_size(photo: Path, label: Path, shape: tuple[int, ...]) -> None:
    """ValueError unless the photograph is as large as its label, whose `shape` (H, W, ...) is given."""
    if (size := image_size(photo)) != shape[1::-1]:
        raise ValueError(
            f"{photo} is {size[0]} x {size[1]} but {label} is {shape[1]} x {shape[0]}; download both again"
        )


def _decode(path: Path) -> Image.Image:
    """The decoded file; every way to be broken becomes one sentence."""
    try:
        _check_file(path)
    except OSError as error:  # a disk or a mount that fails
        raise ValueError(f"{path} cannot be read ({error.strerror}); check its disk or mount") from None
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(path, formats=FORMATS) as image,
        ):  # broken metadata, size: see below
            num_frames = _num_frames(image)
            if image.width * image.height <= MAX_PIXELS:
                image.load()
    except UnidentifiedImageError:
        raise ValueError(f"{path} is not an image in a known format; replace it") from None
    except Image.DecompressionBombError:
        raise ValueError(f"{path} has far more than {MAX_PIXELS} pixels; shrink it") from None
    except Exception as error:  # Pillow's readers raise OSError, SyntaxError, struct.error, IndexError and others
        raise ValueError(f"{path} is truncated or broken ({error}); copy or download it again") from None
    _check_pixels(image.width, image.height, str(path))
    _check_still(num_frames, str(path))
    return image


def _upright(image: Image.Image) -> Image.Image:
    """A copy."""
    return ImageOps.exif_transpose(image)


def _num_frames(image: Image.Image) -> int:
    """1 of a photograph in several sizes (MPO)."""
    return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)


def _check_still(num_frames: int, name: str) -> None:
    if num_frames > 1:
        raise ValueError(f"{name} is an animation of {num_frames} frames; give one of them, or a video file")


def _check_pixels(width: int, height: int, name: str) -> None:
    if width * height > MAX_PIXELS:
        raise ValueError(f"{name} has {width} x {height} pixels, more than {MAX_PIXELS}; shrink it")


def _check_file(path: Path) -> None:
    if not path.exists():
        raise ValueError(f"{path} does not exist")
    if path.is_dir():
        raise ValueError(f"{path} is a folder where a picture is due")
    if not os.access(path, os.R_OK):
        raise ValueError(f"{path} may not be read by this user; give it read permission")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty (0 bytes); copy or download it again")


def normalize(x: Tensor) -> Tensor:
    """(..., 3, H, W) in 0..1 -> ImageNet-normalised."""
    return (x - _channels(IMAGENET_MEAN, x)) / _channels(IMAGENET_STD, x)


def denormalize(x: Tensor) -> Tensor:
    """(..., 3, H, W) ImageNet-normalised -> 0..1 (a prediction may lie outside)."""
    return x * _channels(IMAGENET_STD, x) + _channels(IMAGENET_MEAN, x)


def to_uint8(x: Tensor) -> NDArray[np.uint8]:
    """(3, H, W) in 0..1 -> (H, W, 3) bytes, clipped and rounded."""
    return (x.float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()


def _channels(values: tuple[float, float, float], like: Tensor) -> Tensor:
    """(3, 1, 1), filled in on the device: a tensor of Python's numbers would be sent there, and waited for."""
    return torch.cat([torch.full((1, 1, 1), value, dtype=like.dtype, device=like.device) for value in values])
