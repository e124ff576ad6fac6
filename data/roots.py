"""Data roots: folders searched in order, so that downloads and painted labels may live apart."""

import json
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

Roots = Sequence[Path]


class Absent(ValueError):
    """Something that is under no root: `path`."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


def check_inside(path: str) -> None:
    """ValueError unless `path` is relative and stays inside its root."""
    parts = PurePosixPath(path.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or not parts.parts:
        raise ValueError(f"path {path!r} leaves the data root; give it relative to the root, without '..'")


def find(roots: Roots, path: str) -> Path:
    """The file `path` in the first root that has it; ValueError lists where it was looked for."""
    check_inside(path)
    for root in roots:
        if os.path.isfile(root / path):
            return root / path
    raise Absent(path, f"{path} is not under {places(roots)}; name the root that holds it, or prepare the data")


def names(roots: Roots, folder: str) -> list[str]:
    """The sorted names in `folder` of every root that has it, hidden ones left out; ValueError if none has."""
    check_inside(folder)
    if not any(os.path.isdir(root / folder) for root in roots):
        raise Absent(folder, f"folder {folder} is not under {places(roots)}; docs/DATA.md says where to download it")
    return sorted(name for name in listing(roots, folder) if not name.startswith("."))


def listing(roots: Roots, folder: str) -> frozenset[str]:
    """The names in `folder` of every root that has it."""
    found = (root / folder for root in roots if os.path.isdir(root / folder))
    return frozenset(name for place in found for name in os.listdir(place))


def has(roots: Roots, path: str) -> bool:
    """Whether any root has this file or folder."""
    return any((root / path).exists() for root in roots)


def read_json(roots: Roots, path: str) -> Any:
    """The content of a JSON file; ValueError names the file and the cure."""
    file = find(roots, path)
    try:
        return json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is not JSON ({error}); download or prepare it again") from None


def places(roots: Roots) -> str:
    """The roots, for messages."""
    return " or ".join(dict.fromkeys(str(root) for root in roots))
