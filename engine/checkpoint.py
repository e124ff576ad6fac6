"""Checkpoints: folders that are whole or not there, written while training goes on, the same for any number of ranks.

PyTorch's distributed checkpoint writes the tensors, each rank a share, as .safetensors; rank 0 then seals the folder
and renames it. Nothing in it can run code. Random numbers and data order are functions of (seed, step), so no more is
needed to go on exactly.
"""

import logging
import os
import shutil
from concurrent.futures import Future
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint import CheckpointException, HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.checkpoint.storage import WriteResult

from engine.state import TrainState
from models.weights import MODEL, check_fit, stored_tensors
from util.dist import TogetherError, ToldByMainError, World, on_main, was_restarted
from util.sealed import check_seal, flush, read_seal, seal

LAST = "last"
FILE_BYTES = 200_000_000  # of a file, about: one much larger would stop the training while it is put together


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
        tensors = state.tensors()
        saving = dcp.async_save(
            tensors,
            storage_writer=_Writer(self, f"step_{state.step:07d}", tensors, {**state.facts(), "config": config}),
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
            raise (TogetherError if self.world.is_main else ToldByMainError)(problem) from None

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
        state.make_room(set(stored))
        dcp.load(
            state.tensors(),
            storage_reader=HuggingFaceStorageReader(str(path)),
            process_group=self.group,
            no_dist=self.group is None,
        )
        state.restore(facts)
        return facts["config"]

    def _find(self, resume: str) -> Path | None:
        if resume == "never" and self._all() and not was_restarted():
            raise ValueError(
                f"{self.folder} holds checkpoints of another run; go on with --resume auto or choose another --out_dir"
            )
        newest = self._newest_whole()
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
        """Later ones are moved aside; where all are damaged, none is touched."""
        damaged: list[tuple[Path, ValueError]] = []
        for path in reversed(self._all()):
            try:
                check_seal(path)
            except ValueError as error:
                damaged.append((path, error))
                continue
            for later, why in damaged:
                _set_aside(later, why)
            _point_last_at(path)
            return path
        if not damaged:
            return None
        raise ValueError(f"all checkpoints of {self.folder} are damaged; start again with another --out_dir")

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

    def __init__(self, run: Checkpoints, name: str, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        self.run, self.facts = run, facts
        self.hidden, self.final = run.folder / f".{name}.part", run.folder / name
        ends = accumulate(x.nbytes for x in tensors.values())
        files = {name: 1 + (end - 1) // FILE_BYTES for name, end in zip(tensors, ends, strict=True)}
        super().__init__(str(self.hidden), fqn_to_index_mapping=files, save_distributed=True)

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        super().finish(metadata, results)
        seal(
            self.hidden, sorted({result.storage_data.relative_path for part in results for result in part}), self.facts
        )
        _discard(self.final)
        self.hidden.rename(self.final)
        _point_last_at(self.final)
        flush(self.final.parent)
        self.run.remove_old()


def _set_aside(path: Path, error: ValueError) -> None:
    aside = path.with_name(f"damaged_{path.name}")
    shutil.rmtree(aside, ignore_errors=True)
    path.rename(aside)
    logging.warning("%s; it is now %s, and the one before is used", error, aside.name)


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
