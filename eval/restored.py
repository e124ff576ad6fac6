"""What the three benchmarks of restoration share: photographs below a degraded one's, compared pixel by pixel."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from data.roots import Roots, find
from data.tasks import Entry, Interp
from data.tasks.restoration import Restoration
from eval.benchmark import Benchmark, Case, Picture, Record, means
from util.image import check_same_size, read_rgb
from util.visualize import heat


class Degraded(NamedTuple):
    """A degraded photograph and the clean one."""

    name: str
    image: Path
    clean: Path


class Restored(Benchmark):
    """Restored photographs (H, W, 3) of 0..1; the truth is in bytes."""

    task: Restoration
    target_interp: Interp | None = "bicubic"  # training's nearest is an accident

    def __init__(self) -> None:
        self.views = (self.task,)

    def queries(self, roots: Roots) -> list[Degraded]:
        """The validation pairs of the task."""
        return degraded(roots, [entry for job in self.task.sources(roots, "val") for entry in job.entries])

    def read(self, query: Degraded) -> Case:
        """The truth: bytes (H, W, 3)."""
        clean = np.asarray(read_rgb(query.clean))
        check_same_size(query.image, query.clean, clean.shape)
        return Case(query.name, [read_rgb(query.image)], clean)

    def targets(self, case: Case) -> list[Picture]:
        """The clean photograph."""
        return [case.truth]

    def decode(self, painted: Sequence[Tensor], case: Case) -> NDArray[Any]:
        """Clipped, not rounded."""
        return self.task.decode(painted[0], case.truth.shape[:2]).cpu().numpy()

    def summarise(self, records: Sequence[Record], queries: Sequence[Degraded]) -> dict[str, float]:
        """Means over the pairs."""
        return means(records)

    def scores(self, record: Record) -> dict[str, float]:
        """Those of the paper's table."""
        return {key: record[key] for key in self.headline}

    def quality(self, record: Record) -> float:
        """PSNR."""
        return record["psnr"]

    def show(self, pred: NDArray[Any], case: Case) -> Mapping[str, Picture]:
        """The error of the worst channel; an eighth of the range and more is pale yellow."""
        error = np.abs(pred - case.truth / 255).max(axis=-1)
        return {"decoded": self.task.answer(pred), "truth": case.truth, "error": heat(8 * error, inferno=True)}


def degraded(roots: Roots, entries: Sequence[Entry], folder: str = "") -> list[Degraded]:
    """The pairs of a data set, named by their files, below `folder`."""
    files = [(entry.image_path, entry.target_path) for entry in entries]
    return [Degraded(folder + Path(image).stem, find(roots, image), find(roots, clean)) for image, clean in files]
