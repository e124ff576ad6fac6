"""What a run has measured so far, a JSON line a query, so that a stopped run goes on where it was."""

import json
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

from eval.benchmark import Record
from util.files import write

PIXELS = "pixels of the prompt"
WORDS = {  # of what another run differs in, for the user
    "checkpoint": "other weights (--ckpt)",
    "model": "another network (--model)",
    "prompt": "another prompt (--prompt)",
    PIXELS: "other pictures in the prompt of this name (--prompt)",
    "oracle": "another painter (--oracle, --oracle_noise or --ckpt)",
    "size": "another --size",
    "precision": "another --precision",
}
IMPLIED = {"oracle": ("checkpoint", "model", "prompt", PIXELS), "checkpoint": ("model",), "prompt": (PIXELS,)}


class Records:
    """The records in a folder, all of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "records"

    def claim(self, identity: dict[str, Any]) -> str | None:
        """Say what decides the values of these records; returns what is wrong if the folder holds another run's."""
        file = self.folder / "run.json"
        identity = json.loads(json.dumps(identity))
        other = _parsed(file.read_bytes()) if file.is_file() else identity
        if not isinstance(other, dict):
            return f"{file} is damaged; remove {self.folder.parent}, or give another --out_dir"
        changed = [key for key in identity | other if identity.get(key) != other.get(key)]
        if changed:
            return (
                f"{self.folder.parent} holds results with {_in_words(changed)}; "
                "give another --out_dir, or remove that folder to measure anew"
            )
        write(file, json.dumps(identity, indent=1).encode())
        return None

    def clear(self) -> None:
        """Forget all there is."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def read(self) -> dict[str, Record]:
        """Records by the name of their query. A line that was cut when the run was stopped counts as none."""
        found: dict[str, Record] = {}
        for file in sorted(self.folder.glob("rank*.jsonl")):
            for line in file.read_bytes().splitlines():
                match _parsed(line):
                    case [str(name), dict(record)]:
                        found[name] = record
        return found

    def append(self, name: str, record: Record, rank: int) -> None:
        """Add a record; each rank writes a file of its own."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"rank{rank}.jsonl").open("a+b") as stream:
            stream.write(b"\n" * _is_cut(stream) + json.dumps([name, record]).encode() + b"\n")


def _in_words(changed: Collection[str]) -> str:
    """What differs, without what goes without saying."""
    implied = {other for key in changed for other in IMPLIED.get(key, ())}
    return ", ".join(WORDS.get(key, f"another {key}") for key in changed if key not in implied)


def _parsed(line: bytes) -> Any:
    """A JSON value; None if it is none."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _is_cut(stream: IO[bytes]) -> bool:
    """Whether the last line of a file has no end."""
    if not stream.seek(0, os.SEEK_END):
        return False
    stream.seek(-1, os.SEEK_END)
    return stream.read() != b"\n"
