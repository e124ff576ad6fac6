"""What a run may meet and still go on, by its config: numbers that are not finite, pairs that cannot be read."""

import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path

import torch.distributed as dist

from engine.config import DataConfig, OptimConfig
from engine.outcome import Micro
from util.dist import TogetherError, ToldByMainError, World
from util.files import write
from util.logger import at_worst_warned


class NonFiniteError(TogetherError):
    """The loss or its gradient became NaN or infinite; the message names the file that lists the batch."""


class Guard:
    """Keeps the weights from a step whose loss or gradient is NaN or infinite."""

    def __init__(self, optim: OptimConfig, out_dir: Path, world: World) -> None:
        self.optim, self.out_dir, self.world = optim, out_dir, world

    @staticmethod
    def is_finite(loss: float, norm: float, scale: float) -> bool:
        """Whether the step may be taken. A gradient of a scaled loss may overflow: its scaler leaves the step out."""
        return math.isfinite(loss) and (math.isfinite(norm) or scale > 1)

    def refuse(self, step: int, skipped: int, loss: float, norm: float, batch: Sequence[Micro]) -> int:
        """How many steps are skipped with this one; every rank writes down the loss and pairs of its micro-batches.

        Raises NonFiniteError where the config says stop, or its budget is spent; ToldByMainError on other ranks than 0.
        """
        path = self.out_dir / f"non_finite_step{step}_rank{self.world.rank}.json"
        content = [{"loss": str(micro.loss.item()), "pairs": micro.pairs} for micro in batch]
        with at_worst_warned():
            write(path, json.dumps(content, indent=1).encode())
        every = path if self.world.size == 1 else path.with_name(f"non_finite_step{step}_rank*.json")
        what = f"loss {loss}, gradient norm {norm} at step {step}; the pairs of the batch are in {every}"
        budget = self.optim.max_skipped if self.optim.non_finite == "skip" else 0
        if skipped < budget:
            if self.world.is_main:
                logging.warning("%s; skipped, the %d. of at most %d such steps", what, skipped + 1, budget)
            return skipped + 1
        spent = f"; {skipped} steps were skipped before, and optim.max_skipped is {budget}" if budget else ""
        raise NonFiniteError(what + spent) if self.world.is_main else ToldByMainError(what)


class Quarantine:
    """Pairs that could not be read and were replaced, over all ranks and restarts, each once; a line each in a file."""

    def __init__(self, data: DataConfig, out_dir: Path, world: World, known: list[str]) -> None:
        """`known`: the sentences so far; it grows in place."""
        self.limit, self.path, self.world, self.known = data.max_broken, out_dir / "broken_pairs.txt", world, known
        self.new: dict[str, str] = {}

    def note(self, sentences: Sequence[str]) -> None:
        """Take in what was replaced in the samples of a batch; most often nothing."""
        for sentence in (line for text in sentences for line in text.splitlines()):
            if _name(sentence) not in map(_name, self.known):
                self.new[_name(sentence)] = sentence

    def share(self) -> None:
        """Bring what is new on any rank to all of them, and to the user; TogetherError if it is too much."""
        found: list[dict[str, str] | None] = [self.new]
        if dist.is_initialized():
            found = [None] * self.world.size
            dist.all_gather_object(found, self.new)
        new = {name: sentence for part in found for name, sentence in (part or {}).items()}
        self.new = {}
        self.known += [new[name] for name in sorted(new)]
        if not self.world.is_main and len(self.known) > self.limit:
            raise ToldByMainError("too many broken pairs")
        if self.world.is_main:
            self._tell(sorted(new.values()))

    def _tell(self, new: list[str]) -> None:
        with at_worst_warned():
            write(self.path, "".join(f"{line}\n" for line in self.known).encode())
        for sentence in new:
            logging.warning("replaced by another pair: %s", sentence)
        if len(self.known) > self.limit:
            raise TogetherError(
                f"{len(self.known)} different pairs are broken, and data.max_broken is {self.limit}; see {self.path}"
            )


def _name(sentence: str) -> str:
    """The pair of which it speaks: LIST, entry N."""
    return sentence.partition(": ")[0]
