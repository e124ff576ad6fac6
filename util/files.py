"""Files that are whole or not there at all."""

import io
import os
import tempfile
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from PIL import Image


def write(path: Path, content: bytes) -> bool:
    """Write a file, whole or not at all; False if it was there with these bytes."""
    if path.is_file() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        if error.errno and not error.filename:  # a full disk does not name the file
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
    finally:
        part.unlink(missing_ok=True)
    return True


def check_writable(folder: Path, option: str) -> None:
    """Make the folder; ValueError, now and not after hours of work, if it cannot be written to. `option` names it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"{option}: {folder} cannot be written to ({error.strerror}); give another") from None


def write_png(stem: Path, pixels: NDArray[Any]) -> None:
    """Write pixels (H, W) or (H, W, 3), of 8 or 16 bits, as `stem`.png."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    write(stem.with_name(f"{stem.name}.png"), content.getvalue())
