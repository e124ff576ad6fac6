"""A benchmark: queries with their truth, and how a painting of a query is decoded, measured and shown.

It knows its tasks and the data set; of the network it knows nothing. Each file beside this one makes one.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from PIL import Image
from torch import Tensor

from data.pairs import Pair
from data.roots import Roots
from data.tasks import Interp, Task
from data.tasks.base import Picture
from eval.paper import HEADLINE

Record = dict[str, Any]
"""what measuring a query leaves: plain JSON values, of which the data set's metrics are made"""


class Query(Protocol):
    """Files of a query; no picture is open yet."""

    @property
    def name(self) -> str:
        """Its own among the queries; a path below a folder of results."""


class Case(NamedTuple):
    """A query that has been read."""

    name: str
    images: Sequence[Image.Image]
    """the views of it that are painted, one for each of the benchmark's `views`"""
    truth: Any


class Benchmark(ABC):
    """One line of the paper's Table 1."""

    name: str
    views: tuple[Task, ...]
    """the task that paints each view of a query"""
    prompt: str
    """that the paper evaluates with"""
    num_expected: int
    """queries of the official set"""
    zoom: float = 1.0
    """size of queries, relative to training"""
    query_interp: Literal["bicubic", "bilinear"] = "bicubic"
    """how queries are resized, by Pillow or, bilinear, by OpenCV"""
    target_interp: Interp | None = None
    """how an oracle's targets are resized; None: as in training"""

    @property
    def tasks(self) -> list[Task]:
        """Those that paint the views, each once: a prompt is due for each."""
        return list(dict.fromkeys(self.views))

    @property
    def headline(self) -> Sequence[str]:
        """The metrics of the paper's table."""
        return HEADLINE[self.name]

    @abstractmethod
    def prompt_files(self, task: Task, name: str) -> tuple[str, str]:
        """Image and painted target of the prompt `name`, as preparation writes them, below a data root."""

    def named(self, pairs: Sequence[Pair], roots: Roots) -> dict[str, Pair]:
        """Training pairs by the names that prompts have: those of the files, without folder and suffix."""
        return {PurePosixPath(pair.image_path).stem: pair for pair in pairs}

    @abstractmethod
    def queries(self, roots: Roots) -> Sequence[Query]:
        """All queries in a fixed order; opens no picture. ValueError says what is missing and the cure."""

    @abstractmethod
    def read(self, query: Any) -> Case:
        """Open the files of a query; runs in a loader process."""

    @abstractmethod
    def targets(self, case: Case) -> Sequence[Picture]:
        """The truth painted, for each view: what a perfect network would paint."""

    @abstractmethod
    def decode(self, painted: Sequence[Tensor], case: Case) -> Any:
        """Paintings of all views (3, h, w), 0..1 but not clipped, as the benchmark's prediction."""

    @abstractmethod
    def measure(self, pred: Any, case: Case) -> Record:
        """The prediction against the truth."""

    @abstractmethod
    def summarise(self, records: Sequence[Record], queries: Sequence[Any]) -> dict[str, float]:
        """Records of these queries, in their order -> metrics of the set; NaN where one is not defined."""

    @abstractmethod
    def scores(self, record: Record) -> dict[str, float]:
        """Numbers of one query to show beside its picture."""

    @abstractmethod
    def quality(self, record: Record) -> float:
        """What tells the best query from the worst; more is better, NaN: no part in it."""

    def save(self, pred: Any, stem: Path) -> None:
        """Write a prediction as `stem`.png, in the data set's own format, or as other files that begin with `stem`."""
        self.views[0].save(pred, stem)

    @abstractmethod
    def show(self, pred: Any, case: Case) -> Mapping[str, Picture]:
        """Pictures `decoded`, `truth` and `error` of a prediction."""


def means(records: Sequence[Record]) -> dict[str, float]:
    """The mean of each number over records that have the same ones."""
    return {key: float(np.mean([record[key] for record in records])) for key in records[0]}
