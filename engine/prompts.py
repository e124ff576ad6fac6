"""Prompts on disk: pairs for one or more tasks in one file, with what is known of them, and a picture beside it.

`NAME.safetensors` holds TASK.image and TASK.target of each task: bytes (H, W, 3), or half a canvas (3, H, W) of
normalised floats where they were learned. A folder of such files is a prompt bank; its `manifest.json` lists them.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from engine.inpaint import Half, Prompt, picture_of
from util.files import write
from util.image import to_rgb
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
    """Write a prompt file, its picture beside it, and its line in the folder's manifest."""
    if path.suffix != SUFFIX:
        raise ValueError(f"{path} must end in {SUFFIX}")
    halves = {f"{task}.{name}": half for task, pair in pairs.items() for name, half in zip(SIDES, pair, strict=True)}
    content = save(
        {name: _stored(half) for name, half in halves.items()}, {"format": "pt", FACTS: json.dumps(dict(facts))}
    )
    write(path, content)
    save_png(path.with_suffix(".png"), panels({name: picture_of(half) for name, half in halves.items()}))
    listed = read_manifest(path.parent) | {
        path.stem: {"tasks": sorted(pairs), "sha256": hashlib.sha256(content).hexdigest(), **facts}
    }
    write(path.parent / MANIFEST, json.dumps(dict(sorted(listed.items())), indent=1).encode())


def read_prompt_file(path: Path) -> StoredPrompt:
    """What `save_prompt` has written; ValueError names the file and what is wrong with it."""
    if not path.is_file():
        raise ValueError(f"there is no prompt file {path}; tools/search_prompt.py and tools/learn_prompt.py write them")
    try:
        with safe_open(path, "pt") as file:
            facts = json.loads((file.metadata() or {})[FACTS])
            halves = {name: _half(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 (no dict)
        tasks = sorted({name.rpartition(".")[0] for name in halves})
        return StoredPrompt({task: (halves[f"{task}.image"], halves[f"{task}.target"]) for task in tasks}, facts)
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise ValueError(
            f"{path} is no whole prompt file ({error}); write it again with the tools for prompts"
        ) from None


def read_manifest(folder: Path) -> dict[str, dict[str, Any]]:
    """What is known of the prompts of a bank, by name; empty where there is no manifest."""
    file = folder / MANIFEST
    if not file.is_file():
        return {}
    try:
        return dict(json.loads(file.read_bytes()))
    except ValueError:
        raise ValueError(
            f"{file} is not a JSON object; remove it, and write the prompts of this folder again"
        ) from None


def _stored(half: Half) -> Tensor:
    if isinstance(half, Tensor):
        return half.detach().float().cpu().contiguous()
    return torch.from_numpy(np.array(half.convert("RGB")))


def _half(stored: Tensor) -> Half:
    """ValueError unless it is a picture, or half a canvas."""
    if stored.dtype == torch.uint8:
        return to_rgb(stored.numpy())
    if stored.ndim != 3 or stored.shape[0] != 3 or not stored.isfinite().all():
        raise ValueError(f"{stored.dtype} of shape {tuple(stored.shape)} is not half a canvas, or not finite")
    return stored.float()
