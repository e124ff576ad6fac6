"""What runs of tools/ablate.py scored, over seeds: means, differences paired by seed, orders beside the paper's."""

import math
from collections.abc import Iterator, Mapping
from itertools import combinations, pairwise
from typing import Any, NamedTuple

from scipy.stats import t

from eval.search import deviation, mean
from tools.ablation.plan import BASE, BENCHMARKS, METRICS, Plan, Question, Row
from util.tables import NOTHING

Results = Mapping[tuple[str, int], Mapping[str, float]]
"""scores by key, of each run that is finished, by its name and seed"""

NOT_TOLD = "≈"


class Measure(NamedTuple):
    """A column of the tables."""

    key: str
    """psnr/TASK, BENCHMARK/METRIC; psnr, l1: means over all tasks"""
    title: str
    decimals: int
    lower: bool = False
    """whether lower is better"""


MEASURES = (
    *(Measure(f"psnr/{task}", task, 2) for task in BASE.data.sources),
    Measure("psnr", "mean PSNR", 2),
    Measure("l1", "mean L1", 4, lower=True),
    *(
        Measure(f"{name}/{METRICS[name].name}", METRICS[name].title, METRICS[name].decimals, METRICS[name].lower)
        for name in BENCHMARKS
    ),
)


class Summary(NamedTuple):
    """Of numbers by seed; NaN where there are too few."""

    mean: float
    deviation: float
    seeds: dict[int, float]

    @property
    def told_apart(self) -> bool:
        """Of differences: whether the mean is above the deviation. One seed tells nothing apart."""
        return len(self.seeds) > 1 and abs(self.mean) > self.deviation

    def text(self, decimals: int, sign: str = "") -> str:
        """Mean and deviation, as far as they are known."""
        spread = "" if math.isnan(self.deviation) else f" ± {self.deviation:.{decimals}f}"
        return f"{self.mean:{sign}z.{decimals}f}{spread}" if self.seeds else NOTHING

    def content(self) -> dict[str, Any]:
        """For JSON, where what is not known is null."""
        known = {"mean": self.mean, "deviation": self.deviation}
        return {key: None if math.isnan(x) else x for key, x in known.items()} | {"seeds": self.seeds}


def summary(values: dict[int, float]) -> Summary:
    """Mean and sample deviation."""
    return Summary(mean(list(values.values())), deviation(list(values.values())), values)


def by_chance(num_seeds: int) -> float:
    """How likely the mean of so many normal differences is above their deviation, where there is nothing to find."""
    return float(2 * t.sf(math.sqrt(num_seeds), num_seeds - 1))


class Found:
    """A plan with what its runs have scored so far."""

    def __init__(self, plan: Plan, results: Results) -> None:
        self.plan, self.rows = plan, {row.title: row for row in plan.rows}
        self.seeds = sorted({seed for _, seed in results})
        self.tasks = tuple(plan.runs[0].config.data.sources)
        self.scores = {row.title: {seed: self._scores(row, results, seed) for seed in self.seeds} for row in plan.rows}

    def _scores(self, row: Row, results: Results, seed: int) -> dict[str, float]:
        """Those of all its runs, and the means over tasks where all are there."""
        scores = {key: value for run in row.runs for key, value in results.get((run, seed), {}).items()}
        each = {kind: [scores.get(f"{kind}/{task}", math.nan) for task in self.tasks] for kind in ("psnr", "l1")}
        return scores | {kind: mean(values) for kind, values in each.items() if not any(map(math.isnan, values))}

    def of(self, row: str, measure: Measure) -> Summary:
        """A cell: a measure of a row."""
        return summary({seed: x[measure.key] for seed, x in self.scores[row].items() if measure.key in x})

    def difference(self, row: str, other: str, measure: Measure) -> Summary:
        """How much larger it is of `row` than of `other`, over the seeds that both have."""
        ours, theirs = self.of(row, measure).seeds, self.of(other, measure).seeds
        return summary({seed: ours[seed] - theirs[seed] for seed in ours if seed in theirs})

    def is_better(self, row: str, other: str, measure: Measure) -> bool | None:
        """None: not told apart."""
        found = self.difference(row, other, measure)
        return (found.mean < 0) == measure.lower if found.told_apart else None

    def order(self, question: Question, measure: Measure) -> str:
        """Our rows, the best first; those that are there."""
        means = {choice.row: self.of(choice.row, measure).mean for choice in question.choices}
        there = [row for row in means if not math.isnan(means[row])]
        rows = sorted(there, key=lambda row: means[row], reverse=not measure.lower)
        signs = (">" if self.is_better(*pair, measure) else NOT_TOLD for pair in pairwise(rows))
        return " ".join([*rows[:1], *(f"{sign} {row}" for sign, row in zip(signs, rows[1:], strict=True))]) or NOTHING

    def verdict(self, question: Question, measure: Measure) -> str:
        """Whether ours is the paper's order; see LEGEND."""
        pairs = combinations((choice.row for choice in question.ranked), 2)
        found = [self.is_better(better, worse, measure) for better, worse in pairs]
        return "disagrees" if False in found else "undecided" if None in found else "agrees"

    def verdicts(self) -> Iterator[tuple[Question, Measure, str, str]]:
        """Each question by each of its measures: our order, and whether it is the paper's."""
        columns = {measure.key: measure for measure in MEASURES}
        for question in self.plan.questions:
            for measure in map(columns.__getitem__, question.keys):
                yield question, measure, self.order(question, measure), self.verdict(question, measure)
