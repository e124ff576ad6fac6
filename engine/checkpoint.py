"""Checkpoints: folders that are whole or not there, written while training goes on, the same for any number of ranks.

PyTorch's distributed checkpoint writes the tensors, each rank a share, as .safetensors; rank 0 then seals the folder
and renames it. Nothing in it can run code. Random numbers and data order are functions of (seed, step), so no more is
needed to go on exactly.
"""

import logging
import os
import shutil
import warnings
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint import CheckpointException, HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.checkpoint.storage import WriteResult
from torch.optim import AdamW

from models import Painter
from models.weights import MODEL, check_fit, stored_tensors
from util.dist import ToldByMainError, World, on_main, was_restarted
from util.sealed import check_seal, flush, read_seal, seal

LAST = "last"
SLOTS = ("step", "exp_avg", "exp_avg_sq")  # AdamW's state of a parameter

warnings.filterwarnings("ignore", message="torch.distributed is disabled, unavailable or uninitialized")


@dataclass
class TrainState:
    """All that changes while training."""

    model: Painter
    optimizer: AdamW
    scaler: torch.amp.GradScaler
    step: int = 0
    """optimiser steps done"""
    skipped: int = 0
    """steps among these that left the weights alone, for want of a finite loss or gradient"""
    broken: list[str] = field(default_factory=list)
    """pairs that could not be read, and why"""

    def facts(self) -> dict[str, Any]:
        """What is not a tensor, as plain values."""
        plain = {"step": self.step, "skipped": self.skipped, "broken": list(self.broken)}
        return {**plain, "scaler": self.scaler.state_dict()}

    def restore(self, facts: dict[str, Any]) -> None:
        """Take over what `facts` gave."""
        self.step, self.skipped, self.broken = facts["step"], facts["skipped"], facts["broken"]
        self.scaler.load_state_dict(facts["scaler"])


class Checkpoints:
    """Those of one run: folders step_NNNNNNN in its output folder, and a link `last` to the newest.

    All ranks call all methods together.
    """

    def __init__(self, folder: Path, keep: int, world: World, keep_every: int | None = None) -> None:
        """Keep the newest `keep` of them, and those of multiples of `keep_every` steps."""
        self.folder, self.keep, self.keep_every, self.world = folder, keep, keep_every, world
        self.pending: Future[Any] | None = None
        self.group = dist.new_group(backend="gloo", timeout=world.timeout) if dist.is_initialized() else None
        self._clean()

    def save(self, state: TrainState, config: dict[str, Any]) -> None:
        """Begin to write step_NNNNNNN; training may go on at once. A failure of the one before is a warning."""
        self.settle()
        writer = _Writer(self, f"step_{state.step:07d}", {**state.facts(), "config": config})
        saving = dcp.async_save(
            _tensors(state.model, state.optimizer),
            storage_writer=writer,
            process_group=self.group,
            no_dist=self.group is None,
        )
        assert isinstance(saving, Future)
        self.pending = saving

    def settle(self) -> None:
        """Wait for the checkpoint that is being written, if there is one; warn if it failed."""
        try:
            self.finish()
        except ValueError as error:
            if self.world.is_main:
                logging.warning("%s; training goes on, and tries again at the next one", error)

    def finish(self) -> None:
        """Wait for the checkpoint that is being written, if there is one; ValueError if it failed."""
        pending, self.pending = self.pending, None
        try:
            if pending:
                pending.result()
        except CheckpointException as error:
            self._clean()
            rank, (cause, _) = min(error.failures.items())
            newest = self._all()[-1].name if self._all() else "none"
            problem = f"a checkpoint in {self.folder} failed on rank {rank} ({cause}); the last whole one: {newest}"
            raise (ValueError if self.world.is_main else ToldByMainError)(problem) from None

    def poll(self) -> None:
        """Warn of a failed checkpoint as soon as it is known."""
        if self.pending and self.pending.done():
            self.settle()  # no collective here: ranks come at different steps

    def find(self, resume: str) -> Path | None:
        """The checkpoint to go on from, verified: `resume` is auto, never, or another run's checkpoint to start with.

        Damaged ones are moved aside with a warning. Raises ValueError if none of those there is whole, if there
        should be none, and if there are later ones than the one asked for.
        """
        return on_main(lambda: self._find(resume))

    def load(self, path: Path, state: TrainState) -> dict[str, Any]:
        """Restore `state` in place; returns the config of the run. ValueError names what does not fit."""
        facts, stored = read_seal(path), stored_tensors(path)
        weights = {name.removeprefix(MODEL): x for name, x in stored.items() if name.startswith(MODEL)}
        check_fit(state.model.state_dict(), weights, str(path))
        _make_slots(state.model, state.optimizer, set(stored))
        dcp.load(
            _tensors(state.model, state.optimizer),
            storage_reader=HuggingFaceStorageReader(str(path)),
            process_group=self.group,
            no_dist=self.group is None,
        )
        state.restore(facts)
        return facts["config"]

    def _find(self, resume: str) -> Path | None:
        newest = self._newest_whole()
        if resume == "never" and newest and not was_restarted():
            raise ValueError(
                f"{self.folder} holds checkpoints of another run; go on with --resume auto or choose another --out_dir"
            )
        if resume in ("auto", "never"):
            return newest
        given = Path(resume)
        check_seal(given)
        if newest is None or given.resolve() == newest.resolve():
            return given
        if given.resolve().parent == self.folder.resolve():
            raise ValueError(f"{newest} is later than {given}; move later ones away, or choose another --out_dir")
        logging.info("%s has checkpoints already: they go before %s", self.folder, given)
        return newest

    def _newest_whole(self) -> Path | None:
        for path in reversed(there := self._all()):
            try:
                check_seal(path)
                _point_last_at(path)
                return path
            except ValueError as error:
                aside = path.with_name(f"damaged_{path.name}")
                shutil.rmtree(aside, ignore_errors=True)
                path.rename(aside)
                logging.warning("%s; it is now %s, and the one before is used", error, aside.name)
        if there:
            raise ValueError(f"all checkpoints of {self.folder} are damaged; start again with another --out_dir")
        return None

    def remove_old(self) -> None:
        """Remove those that are not to be kept."""
        for path in self._all()[: -self.keep]:
            if not self.keep_every or _step(path) % self.keep_every:
                _discard(path)

    def _all(self) -> list[Path]:
        """Checkpoints, oldest first."""
        return sorted((path for path in self.folder.glob("step_*") if path.name[5:].isdecimal()), key=_step)

    def _clean(self) -> None:
        """Remove what an interrupted save or removal has left."""
        for path in self.folder.glob(".step_*") if self.world.is_main else ():
            shutil.rmtree(path, ignore_errors=True)


class _Writer(HuggingFaceStorageWriter):
    """Writes a hidden folder; when all ranks have written, rank 0 seals it, names it and removes old ones."""

    def __init__(self, run: Checkpoints, name: str, facts: dict[str, Any]) -> None:
        self.run, self.facts = run, facts
        self.hidden, self.final = run.folder / f".{name}.part", run.folder / name
        super().__init__(str(self.hidden), save_distributed=True)

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        super().finish(metadata, results)
        seal(self.hidden, self.facts)
        _discard(self.final)
        self.hidden.rename(self.final)
        _point_last_at(self.final)
        flush(self.final.parent)
        self.run.remove_old()


def _step(path: Path) -> int:
    return int(path.name.removeprefix("step_"))


def _point_last_at(path: Path) -> None:
    link = path.with_name(f".{LAST}")
    link.unlink(missing_ok=True)
    link.symlink_to(path.name)
    os.replace(link, path.with_name(LAST))


def _discard(path: Path) -> None:
    """Remove a folder; one half removed has not its name any more."""
    if path.exists():
        shutil.rmtree(path.rename(path.with_name(f".{path.name}.old")))


def _tensors(model: nn.Module, optimizer: AdamW) -> dict[str, Tensor]:
    """Weights and moments by name, under the names that they have without any wrapper."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    moments = {
        f"optimizer.{names[parameter]}.{slot}": value
        for parameter, slots in optimizer.state.items()
        for slot, value in slots.items()
    }
    return {f"{MODEL}{name}": value for name, value in model.state_dict().items()} | moments


def _make_slots(model: nn.Module, optimizer: AdamW, saved: set[str]) -> None:
    """Room for the moments that were saved; a parameter that has never had a gradient has none."""
    for name, parameter in model.named_parameters():
        if f"optimizer.{name}.step" in saved:
            optimizer.state[parameter] = {
                "step": torch.zeros(()),
                **{slot: torch.zeros_like(parameter, memory_format=torch.preserve_format) for slot in SLOTS[1:]},
            }


def report_changes(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Warn of every config value that differs from the resumed run's."""
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            logging.warning("resumed with another %s: %s -> %s", key, old.get(key), new.get(key))
