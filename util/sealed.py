"""A folder that can prove it is whole: `checkpoint.json`, written last, has the SHA-256 of each file and of itself."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SEAL = "checkpoint.json"
FORMAT = 1


def seal(folder: Path, names: Sequence[str], facts: dict[str, Any]) -> None:
    """Write the seal of these files in `folder`, with `facts` (plain JSON values), and flush it to the disk.

    Raises OSError where one is not there.
    """
    content = {**facts, "format": FORMAT, "files": {name: _fingerprint(folder / name) for name in names}}
    with (folder / SEAL).open("w") as file:
        json.dump({**content, "sha256": _digest(content)}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    flush(folder)


def read_seal(folder: Path) -> dict[str, Any]:
    """The facts of a sealed folder, its files unread; ValueError if there are none."""
    try:
        content = json.loads((folder / SEAL).read_bytes())
        if content.pop("sha256") != _digest(content):
            raise ValueError("changed")
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(
            f"{folder} is no checkpoint: it has no {SEAL}; give a folder step_NNNNNNN of a run, or weights to --init"
        ) from None
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{folder / SEAL} is damaged; use another checkpoint of the run") from None
    if content.get("format") != FORMAT:
        raise ValueError(f"{folder} was written by another version of Painter; use that one")
    return content


def check_seal(folder: Path) -> dict[str, Any]:
    """The facts of a sealed folder; ValueError names the file that is missing, too many, or not as it was written."""
    content = read_seal(folder)
    there = {path.name for path in folder.iterdir() if path.name != SEAL}
    for name in sorted(there ^ content["files"].keys()):
        raise ValueError(f"{folder / name} is {'not part of' if name in there else 'missing from'} the checkpoint")
    for name, expected in content["files"].items():
        if _fingerprint(folder / name) != expected:
            raise ValueError(f"{folder / name} is damaged: its size or SHA-256 is not that of {SEAL}")
    return content


def flush(folder: Path) -> None:
    """Have the disk keep what was created, renamed or removed in `folder`."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _fingerprint(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": os.fstat(file.fileno()).st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
