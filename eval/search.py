"""Search for a prompt: training pairs are tried on few queries, the better half on twice as many, until few are left.

The queries of the search say too much of its winner; it is measured on others, beside prompts drawn at random.
"""

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from torch import Tensor
from tqdm import tqdm

from data.tasks import Size
from engine.precision import Name
from eval.benchmark import Benchmark, Case, Query, Record
from eval.painters import Network, Paints
from eval.prompts import Prompt
from models import Painter

FEWEST = 4  # queries of the first stage, if there are as many


class Stage(NamedTuple):
    """What a stage has found."""

    num_images: int
    scores: dict[str, float]
    """mean quality of each candidate that is left, the best one first; NaN, of images without any, is the worst"""


class Measured(NamedTuple):
    """A prompt on queries that the search has not seen."""

    name: str
    quality: float
    metrics: dict[str, float]
    """the benchmark's own"""


def stages(num_candidates: int, num_images: int) -> list[tuple[int, int]]:
    """Candidates and images of each stage: half as many on twice as many, the last of two or more on all images."""
    most = min(math.log2(max(1, num_candidates / 2)), math.log2(max(1, num_images / FEWEST)))
    later = range(int(most), -1, -1)  # stages that follow
    return [(math.ceil(num_candidates / 2 ** (later[0] - left)), num_images >> left) for left in later]


def eliminate(names: Sequence[str], num_images: int, score: Callable[[str, range], Sequence[float]]) -> list[Stage]:
    """Successive halving; `score(name, images)` is the quality of each of these images, and none is asked twice."""
    values: dict[str, list[float]] = {name: [] for name in names}
    done: list[Stage] = []
    for num, upto in stages(len(names), num_images):
        left = list(done[-1].scores)[:num] if done else names
        for name in left:
            values[name] += score(name, range(len(values[name]), upto))
        found = {name: mean(values[name]) for name in left}
        order = sorted(found, key=lambda name: -math.inf if math.isnan(found[name]) else found[name], reverse=True)
        done.append(Stage(upto, {name: found[name] for name in order}))
    return done


def cost(num_candidates: int, num_images: int) -> int:
    """How often `eliminate` has an image painted."""
    plan = [(0, 0), *stages(num_candidates, num_images)]
    return sum(num * (upto - before) for (_, before), (num, upto) in pairwise(plan))


def mean(values: Sequence[float]) -> float:
    """NaN counts nothing; NaN if there is nothing else."""
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def deviation(values: Sequence[float]) -> float:
    """Of a sample; NaN counts nothing; NaN of fewer than two."""
    known = [value for value in values if not math.isnan(value)]
    return float(np.std(known, ddof=1)) if len(known) > 1 else math.nan


def beside(score: float, random: Sequence[float]) -> dict[str, float]:
    """A prompt's score beside those of random prompts, for its file; what is not finite is left out."""
    found = {"prompt": score, "random": mean(random), "deviation": deviation(random)}
    return {key: value for key, value in found.items() if math.isfinite(value)}


class Trial:
    """Queries that prompts are tried on: read and prepared once, painted below each."""

    def __init__(
        self,
        benchmark: Benchmark,
        painter: Painter,
        queries: Sequence[Query],
        size: Size,
        precision: Name = "fp32",
        batch_size: int = 8,
        bar: "tqdm[None] | None" = None,
    ) -> None:
        """`painter`: ready to infer, on its device. `size`: of half a canvas. `bar` counts what is painted."""
        self.benchmark, self.painter, self.queries, self.batch_size = benchmark, painter, queries, batch_size
        self.size, self.precision, self.bar = size, precision, bar
        self.kept: dict[int, tuple[Case, Tensor]] = {}

    def records(self, prompt: Prompt, places: Sequence[int]) -> list[Record]:
        """What the benchmark measures of the queries at these places below a prompt; ValueError as there."""
        device = self.painter.pos_embed.device
        return self.judge(Network(self.painter, self.benchmark, prompt, self.size, device, self.precision), places)

    def judge(self, paints: Paints, places: Sequence[int]) -> list[Record]:
        """The same of any painter that prepares cases as the network does."""
        found: list[Record] = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in range(0, len(places), self.batch_size):
                cases, views = zip(
                    *(self.read(i, paints) for i in places[start : start + self.batch_size]), strict=True
                )
                found += pool.map(self._judge, cases, paints.paint(views))
                if self.bar is not None:
                    self.bar.update(len(cases))
        return found

    def qualities(self, prompt: Prompt, places: Sequence[int]) -> list[float]:
        """More is better; NaN of a query without any."""
        return [self.benchmark.quality(record) for record in self.records(prompt, places)]

    def measure(self, prompt: Prompt, places: Sequence[int]) -> Measured:
        """Mean quality and the benchmark's metrics over these queries."""
        return self.sum_up(prompt.name, self.records(prompt, places), places)

    def sum_up(self, name: str, records: Sequence[Record], places: Sequence[int]) -> Measured:
        """Of the records of the queries at these places."""
        metrics = self.benchmark.summarise(records, [self.queries[i] for i in places])
        return Measured(name, mean([self.benchmark.quality(record) for record in records]), metrics)

    def read(self, place: int, paints: Paints) -> tuple[Case, Tensor]:
        if place not in self.kept:
            case = self.benchmark.read(self.queries[place])
            self.kept[place] = case, paints.prepare(case)
        return self.kept[place]

    def _judge(self, case: Case, painted: Sequence[Tensor]) -> Record:
        return self.benchmark.measure(self.benchmark.decode(painted, case), case)


def draw(names: Sequence[str], num: int, *seed: int) -> list[str]:
    """`num` of these names at random, each at most once."""
    return [names[i] for i in np.random.default_rng(seed).choice(len(names), num, replace=False)]
