"""A run's record: `log.jsonl`, TensorBoard and, where asked for, wandb behind one interface."""

import json
import logging
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from util.files import write
from util.visualize import save_png

Scalars = dict[str, float]


class Sink(Protocol):
    """A place that takes scalars and pictures."""

    def scalars(self, step: int, values: Scalars) -> None:
        """Record values by name."""

    def picture(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        """Record an (H, W, 3) picture."""

    def close(self) -> None:
        """Write what is left."""


class Logger:
    """Passes everything on to its sinks; without any (ranks other than 0) it is silent.

    What cannot be written, for a disk that is full, is a warning: a record is not worth a run.
    """

    def __init__(self, sinks: Sequence[Sink] = ()) -> None:
        self.sinks = sinks
        self.failing: list[Sink] = []

    def scalars(self, step: int, values: Scalars) -> None:
        """Record values by name; `train/loss` style names group them."""
        self._each(lambda sink: sink.scalars(step, values))

    def picture(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        """Record an (H, W, 3) picture."""
        self._each(lambda sink: sink.picture(step, name, image))

    def close(self) -> None:
        """Flush and close every sink."""
        self._each(lambda sink: sink.close())

    def _each(self, act: Callable[[Sink], None]) -> None:
        """On every sink; the first failure of one is told, and that it works again."""
        for sink in self.sinks:
            name = type(sink).__name__
            try:
                act(sink)
            except OSError as error:
                if sink not in self.failing:
                    logging.warning("%s: a part of the record is lost (%s); training goes on", name, error)
                    self.failing.append(sink)
            else:
                if sink in self.failing:
                    logging.warning("%s: recording again", name)
                    self.failing.remove(sink)


class JsonLines:
    """One JSON object a line and call; lines after `start_step` of an interrupted run are dropped first."""

    def __init__(self, path: Path, start_step: int) -> None:
        kept = [line for line in _lines(path) if _step_of(line) <= start_step]
        write(path, "".join(kept).encode())
        self.file = path.open("a", buffering=1)

    def scalars(self, step: int, values: Scalars) -> None:
        self.file.write(json.dumps({"step": step, **values}) + "\n")

    def picture(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        """Pictures are files of their own."""

    def close(self) -> None:
        self.file.close()


class Pictures:
    """Pictures as files NAME_step_NNNNNNN.png; of a name in groups, its last part."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def scalars(self, step: int, values: Scalars) -> None:
        """Scalars are lines of another file."""

    def picture(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        save_png(self.folder / f"{name.rpartition('/')[2]}_step_{step:07d}.png", image)

    def close(self) -> None:
        """Each file is whole already."""


class TensorBoard:
    """Scalars and pictures for `tensorboard --logdir`."""

    def __init__(self, folder: Path, start_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # slow to import, needed by rank 0 alone

        self.open = partial(SummaryWriter, str(folder))
        self.writer = self.open(purge_step=start_step + 1)

    def scalars(self, step: int, values: Scalars) -> None:
        with self._renewed():
            for name, value in values.items():
                self.writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        with self._renewed():
            self.writer.add_image(name, image, step, dataformats="HWC")

    @contextmanager
    def _renewed(self) -> Iterator[None]:
        """A writer that has failed once never writes again: the next record gets a new one."""
        try:
            yield
        except OSError:
            self.writer = self.open()
            raise

    def close(self) -> None:
        self.writer.close()


class Wandb:
    """The same for Weights & Biases; ValueError if the package is not installed."""

    def __init__(self, project: str, folder: Path, config: dict[str, Any]) -> None:
        try:
            import wandb
        except ImportError:
            raise ValueError("--log.wandb needs the package: pip install wandb") from None
        self.wandb = wandb
        place = folder.resolve()
        name = f"{place.name}-{zlib.crc32(bytes(place)):08x}"  # two folders of one name are two runs
        self.run = wandb.init(project=project, dir=str(folder), id=name, resume="allow", config=config)

    def scalars(self, step: int, values: Scalars) -> None:
        self.run.log(values, step=step)

    def picture(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        self.run.log({name: self.wandb.Image(image)}, step=step)

    def close(self) -> None:
        self.run.finish()


@contextmanager
def at_worst_warned() -> Iterator[None]:
    """What cannot be written is a warning."""
    try:
        yield
    except OSError as error:
        logging.warning("a part of the record is lost: %s", error)


def _lines(path: Path) -> list[str]:
    """Whole lines of a file that may have been cut off while one was written."""
    text = path.read_text() if path.exists() else ""
    return [line for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _step_of(line: str) -> float:
    """The step of a line; of one that is none, for want of room on the disk, infinity."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf
