"""Checkpoints: whole or not there at all, newest named `last.pth`, safe to read (tensors and plain values only).

Random numbers and data order are functions of (seed, step), so these two are all there is to save of them.
"""

import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.optim import AdamW

from models import Painter, PainterConfig, model_config
from models.weights import load_strict, named_tensors, read_checkpoint

LAST = "last.pth"
DEFAULT_MODEL = "painter_vit_large"  # of weights that do not tell their network


@dataclass
class TrainState:
    """All that changes while training."""

    model: Painter
    optimizer: AdamW
    scaler: torch.amp.GradScaler
    step: int = 0
    """optimiser steps done"""


def save_checkpoint(folder: Path, state: TrainState, config: dict[str, Any], keep: int) -> Path:
    """Write step_NNNNNNN.pth, point last.pth at it and delete all but the newest `keep`."""
    path = folder / f"step_{state.step:07d}.pth"
    content = {
        "model": state.model.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "scaler": state.scaler.state_dict(),
        "step": state.step,
        "config": config,
    }
    _atomically(path, lambda temporary: torch.save(content, temporary))
    _atomically(folder / LAST, lambda temporary: temporary.symlink_to(path.name))
    for old in _all(folder)[:-keep]:
        old.unlink()
    return path


def load_checkpoint(path: Path, state: TrainState) -> dict[str, Any]:
    """Restore `state` in place; returns the config of the run that wrote it. ValueError names what does not fit."""
    content = read_checkpoint(path)
    parts = {"model", "optimizer", "scaler", "step", "config"}
    if not isinstance(content, dict) or not parts <= content.keys():
        raise ValueError(f"{path} is no checkpoint of a run (of {', '.join(sorted(parts))}); start from it with --init")
    load_strict(state.model, content["model"], str(path))
    state.optimizer.load_state_dict(content["optimizer"])
    state.scaler.load_state_dict(content["scaler"])
    state.step = content["step"]
    return content["config"]


def load_painter(path: Path, name: str | None = None) -> tuple[Painter, dict[str, Any]]:
    """A network in evaluation mode with the weights of a file, and the config of the run that wrote it.

    A checkpoint of a run knows its network; of other files `name` tells it, in the registry of models, by default
    the released ViT-L, and the config is empty. Raises ValueError on weights that do not fit exactly.
    """
    content = read_checkpoint(path)
    config = content.get("config") if isinstance(content, dict) and "optimizer" in content else None
    config = config if isinstance(config, dict) else {}
    told = None if name else _told_model(config, path)
    model = Painter(told or model_config(name or DEFAULT_MODEL))
    try:
        load_strict(model, named_tensors(content, path), str(path))
    except ValueError as error:
        hint = "" if told else f"\nIt was tried as {name or DEFAULT_MODEL}; --model names another network"
        raise ValueError(f"{error}{hint}") from None
    return model.eval(), config


def _told_model(config: dict[str, Any], path: Path) -> PainterConfig | None:
    """The network that the config of a run tells of; None if it does not."""
    parts = {key.removeprefix("model."): value for key, value in config.items() if key.startswith("model.")}
    fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in parts.items()}
    try:
        return PainterConfig(**fields) if fields else None
    except TypeError as error:
        raise ValueError(f"{path} tells of a network that this version does not know ({error}); use its own") from None


def find_resume(folder: Path, resume: str) -> Path | None:
    """The checkpoint to go on from: `resume` is auto, never or a file."""
    newest = folder / LAST if (folder / LAST).exists() else next(reversed(_all(folder)), None)
    if resume == "never" and newest:
        raise ValueError(
            f"{folder} holds checkpoints of another run; go on with --resume auto or choose another --out_dir"
        )
    if resume in ("auto", "never"):
        return newest
    return Path(resume)


def report_changes(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Warn of every config value that differs from the resumed run's."""
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            logging.warning("resumed with another %s: %s -> %s", key, old.get(key), new.get(key))


def _all(folder: Path) -> list[Path]:
    """Checkpoints, oldest first."""
    return sorted(path for path in folder.glob("step_*.pth") if re.fullmatch(r"step_\d+\.pth", path.name))


def _atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a temporary neighbour, flush it to the disk, then put it in place in one move."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    write(temporary)
    if not temporary.is_symlink():
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
    os.replace(temporary, path)
