"""Prompts on disk: pairs for one or more tasks in one file, with what is known of them, and a picture beside it.

`NAME.safetensors` holds TASK.image and TASK.target of each task: bytes (H, W, 3), or half a canvas (3, H, W) of
normalised floats where they were learned. A folder of such files is a prompt bank; its `manifest.json` lists them.
"""

import fcntl
import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from engine.inpaint import Half, Prompt, picture_of
from util.files import check_writable, write
from util.image import to_rgb
from util.lock import LOCK
from util.visualize import panels, save_png

SUFFIX = ".safetensors"
FACTS = "painter_prompt"  # where a file says what is known of it
MANIFEST = "manifest.json"
SIDES = "image", "target"


class StoredPrompt(NamedTuple):
    """A prompt file."""

    pairs: dict[str, Prompt]
    """by the name of the task"""
    facts: dict[str, Any]
    """`kind` is searched, learned or given; `source` says of what it was made, `score` how well it does"""


def save_prompt(path: Path, pairs: Mapping[str, Prompt], facts: Mapping[str, Any]) -> None:
    """Write a prompt file, its picture beside it, and its line in the folder's manifest. Raises as `check_place`."""
    check_place(path)
    with (path.parent / LOCK).open("a") as lock:
        with suppress(OSError):  # a file system without locks
            fcntl.lockf(lock, fcntl.LOCK_EX)  # two searches may end at once; both are to be in the manifest
        _save(path, pairs, facts)


def _save(path: Path, pairs: Mapping[str, Prompt], facts: Mapping[str, Any]) -> None:
    halves = {f"{task}.{side}": half for task, pair in pairs.items() for side, half in zip(SIDES, pair, strict=True)}
    told = {FACTS: json.dumps(dict(facts))}  # one entry: of more, each time another comes first
    content = save({name: _stored(half) for name, half in halves.items()}, told)
    write(path, content)
    save_png(path.with_suffix(".png"), panels({name: picture_of(half) for name, half in halves.items()}))
    listed = read_manifest(path.parent) | {path.stem: {"tasks": sorted(pairs), "sha256": _digest(content), **facts}}
    write(path.parent / MANIFEST, json.dumps(dict(sorted(listed.items())), indent=1).encode())


def check_place(path: Path) -> None:
    """Make the folder of a prompt file that is to be written; ValueError if it cannot be, or is of another suffix.

    Or if the prompt's picture would replace one that is not a prompt's.
    """
    if path.suffix != SUFFIX:
        raise ValueError(f"{path} must end in {SUFFIX}")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the name of a file")
    check_writable(path.parent, "--out")
    if path.stem not in read_manifest(path.parent) and (picture := path.with_suffix(".png")).exists():
        raise ValueError(f"{picture} is there already, and would be replaced by the prompt's; give another name")


def read_prompt_file(path: Path) -> StoredPrompt:
    """What `save_prompt` has written; ValueError names the file and what is wrong with it."""
    if not path.is_file():
        raise ValueError(f"there is no prompt file {path}; tools/search_prompt.py and tools/learn_prompt.py write them")
    try:
        with safe_open(path, "pt") as file:
            facts = (file.metadata() or {}).get(FACTS)
            halves = {name: _half(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 (no dict)
        if facts is None or not halves:
            raise ValueError("it holds other tensors, or none")
        return StoredPrompt(_paired(halves), dict(json.loads(facts)))
    except (SafetensorError, TypeError, ValueError, OSError, RecursionError, NotImplementedError) as error:
        raise ValueError(
            f"{path} is no whole prompt file ({error}); write it again with the tools for prompts"
        ) from None


def read_manifest(folder: Path) -> dict[str, dict[str, Any]]:
    """What is known of the prompts of a bank, by name; empty where there is no manifest."""
    file = folder / MANIFEST
    if not file.is_file():
        return {}
    try:
        listed = json.loads(file.read_bytes())
        if isinstance(listed, dict) and all(map(_is_listed, listed, listed.values())):
            return listed
    except (ValueError, RecursionError):
        pass
    raise ValueError(f"{file} is no manifest, or is damaged; remove it, and write the prompts of this folder again")


def _is_listed(name: str, facts: Any) -> bool:
    """Whether a manifest's entry is of a file in its folder, with its tasks."""
    if not isinstance(facts, dict) or not name or Path(name).name != name:
        return False
    tasks = facts.get("tasks")
    return isinstance(tasks, list) and all(isinstance(task, str) for task in tasks) and _is_mapping(facts.get("score"))


def _is_mapping(score: Any) -> bool:
    return score is None or isinstance(score, dict)


def faults(folder: Path) -> list[str]:
    """What is wrong with a bank, a line each: files that are not listed, not there, broken, or not as listed."""
    listed, there = read_manifest(folder), {path.stem: path for path in sorted(folder.glob(f"*{SUFFIX}"))}
    found = [f"{name} is listed, but {folder / name}{SUFFIX} is not there" for name in listed if name not in there]
    for name, path in there.items():
        try:
            read_prompt_file(path)
        except ValueError as error:
            found.append(str(error))
            continue
        if name not in listed:
            found.append(f"{path} is not in the manifest")
        elif _digest(path.read_bytes()) != listed[name].get("sha256"):
            found.append(f"{path} is not the file that was listed: its SHA-256 is another")
    return found


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _paired(halves: Mapping[str, Half]) -> dict[str, Prompt]:
    """Halves by TASK.SIDE -> the pair of each task; ValueError if a side is not there, or is of another size."""
    pairs: dict[str, Prompt] = {}
    for task in sorted({name.rpartition(".")[0] for name in halves}):
        if missing := [side for side in SIDES if f"{task}.{side}" not in halves]:
            raise ValueError(f"{task or next(iter(halves))} has no {missing[0]}")
        image, target = (halves[f"{task}.{side}"] for side in SIDES)
        sizes = {tuple(half.shape[:0:-1]) if isinstance(half, Tensor) else half.size for half in (image, target)}
        if len(sizes) > 1:
            raise ValueError(f"image and target of {task} are of different sizes")
        pairs[task] = image, target
    if len(halves) != len(SIDES) * len(pairs):
        raise ValueError("it holds more than images and targets")
    return pairs


def _stored(half: Half) -> Tensor:
    if isinstance(half, Tensor):
        return half.detach().float().cpu().clone(memory_format=torch.contiguous_format)  # files share no memory
    return torch.from_numpy(np.array(half.convert("RGB")))


def _half(stored: Tensor) -> Half:
    """ValueError unless it is a picture, or half a canvas."""
    if stored.dtype == torch.uint8:
        return to_rgb(stored.numpy())
    if stored.ndim != 3 or stored.shape[0] != 3 or not stored.numel() or not stored.isfinite().all():
        raise ValueError(f"{stored.dtype} of shape {tuple(stored.shape)} is not half a canvas, or not finite")
    return stored.float()
