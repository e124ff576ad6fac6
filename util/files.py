"""Files that are whole or not there at all."""

import os
from pathlib import Path


def write(path: Path, content: bytes) -> bool:
    """Write a file, whole or not at all; False if it was there with these bytes."""
    if path.is_file() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return True
