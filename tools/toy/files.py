"""Writing files so that each is whole or absent, and the same for the same content."""

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from util.files import write


def write_json(path: Path, content: object) -> None:
    write(path, json.dumps(content).encode())


def write_image(path: Path, pixels: np.ndarray) -> None:
    """uint8 (h, w) or (h, w, 3), or uint16 (h, w), in the format that the name says; JPEG of quality 95."""
    buffer = io.BytesIO()
    if path.suffix.lower() in (".jpg", ".jpeg"):
        Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    else:
        Image.fromarray(pixels).save(buffer, "PNG", compress_level=3)
    write(path, buffer.getvalue())
