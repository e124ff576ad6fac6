"""What tools/ablate.py compares: runs of a small network that differ in one thing each, beside the paper's numbers."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from configs.demo import config as demo
from engine.config import RunConfig, flatten
from engine.precision import Name
from engine.start import changes
from eval.paper import ABLATIONS, MAIN, PAPER, SEPARATE, TITLES, Metric
from eval.run import benchmark_of

BASE = replace(
    demo,
    model=replace(demo.model, head="light", decoder_embed_dim=16),
    optim=replace(demo.optim, lr=4e-4, betas=(0.9, 0.999), darkest=3.0),
    log=replace(demo.log, save_every=250, keep=1, val_limit=4, pictures=4),  # a look; what counts is measured later
    device="auto",
)
"""the paper's choices in kind: merge after the first of four blocks, the larger network, the light head, smooth-l1"""
BENCHMARKS = "nyuv2_depth", "ade20k_semantic"  # on small canvases; the others' metrics are PSNR again, or next to 0
BASELINE = "baseline"  # the run that all tables share
METRICS = {metric.benchmark: metric for metric in MAIN}


class Run(NamedTuple):
    """A training; its seed and its folder are set when it starts."""

    name: str
    config: RunConfig


class Row(NamedTuple):
    """A line of the table: the scores of one run, or of several that have a task each."""

    title: str
    runs: tuple[str, ...]
    about: str = ""
    """how it differs from the first row"""


class Choice(NamedTuple):
    """One answer to a question: its name and score in the paper, and the title of our row."""

    name: str
    paper: float
    row: str


class Question(NamedTuple):
    """What the paper asks, by which of its metrics, and the keys of our measures to set beside it."""

    title: str
    metric: Metric
    choices: tuple[Choice, ...]
    keys: tuple[str, ...]

    @property
    def ranked(self) -> list[Choice]:
        """The best in the paper first."""
        return sorted(self.choices, key=lambda choice: choice.paper, reverse=not self.metric.lower)

    @property
    def in_words(self) -> str:
        """The paper's order with its scores."""
        order = " > ".join(f"{choice.name} {choice.paper:.{self.metric.decimals}f}" for choice in self.ranked)
        return f"{self.metric.title}: {order}"


class Plan(NamedTuple):
    """A table before it is filled; differences are taken from its first row."""

    title: str
    runs: tuple[Run, ...]
    rows: tuple[Row, ...]
    questions: tuple[Question, ...]


def base(world: Path, steps: int, precision: Name) -> RunConfig:
    """The baseline's run on this world."""
    data = replace(BASE.data, roots=(world,))
    return lasting(replace(BASE, data=data, optim=replace(BASE.optim, precision=precision)), steps)


def lasting(config: RunConfig, steps: int) -> RunConfig:
    """The run with so many steps, a tenth of them warm-up."""
    return replace(config, optim=replace(config.optim, steps=steps, warmup=steps // 10))


def table_s2(base: RunConfig) -> Plan:
    """The paper's Table S2: each run leaves the baseline in one thing."""
    model, optim = base.model, base.optim
    half = replace(model, embed_dim=model.embed_dim // 2, num_heads=model.num_heads // 2)
    varied = {
        ("early merge", "none"): Run("no_merge", replace(base, model=replace(model, merge_after=None))),
        ("backbone", "ViT-B"): Run("small", replace(base, model=half)),
        ("head", "one linear"): Run("linear_head", replace(base, model=replace(model, head="linear"))),
        ("loss", "l1"): Run("l1", replace(base, optim=replace(optim, loss="l1"))),
        ("loss", "l2"): Run("l2", replace(base, optim=replace(optim, loss="l2"))),
    }
    first = Run(BASELINE, base)
    runs = first, *varied.values()
    rows = (Row(run.name, (run.name,), ", ".join(changes(flatten(base), flatten(run.config)))) for run in runs)
    questions = (
        Question(
            title,
            METRICS["ade20k_semantic"],
            tuple(Choice(name, score, varied.get((title, name), first).name) for name, score in scores.items()),
            ("ade20k_semantic/mIoU", "psnr", "l1"),
        )
        for title, scores in ABLATIONS.items()
    )
    return Plan("Table S2 in miniature: ablations", runs, tuple(rows), tuple(questions))


def table_2(base: RunConfig) -> Plan:
    """The paper's Table 2: all tasks together, and each alone with as many samples of its own, or as many steps."""
    total = sum(source.weight for source in base.data.sources.values())
    shares = {task: source.weight / total for task, source in base.data.sources.items()}
    alone = {task: replace(base, data=replace(base.data, sources={task: base.data.sources[task]})) for task in shares}
    steps = base.optim.steps
    kinds = {
        "separate_samples": {
            task: lasting(alone[task], max(1, round(steps * share))) for task, share in shares.items()
        },
        "separate_steps": alone,
    }
    about = "each task alone, as many samples of it", "each task alone, as many steps"
    runs = [Run(f"{kind}/{task}", config) for kind, configs in kinds.items() for task, config in configs.items()]
    rows = [
        Row(kind, tuple(run.name for run in runs if run.name.startswith(kind)), what)
        for kind, what in zip(kinds, about, strict=True)
    ]
    questions = tuple(_together(name, kind) for kind in kinds for name in TITLES)
    return Plan(
        "Table 2 in miniature: joint and separate training",
        (Run(BASELINE, base), *runs),
        (Row("joint", (BASELINE,), "all tasks together"), *rows),
        questions,
    )


def _together(name: str, kind: str) -> Question:
    """Whether a benchmark gains from joint training."""
    metric = METRICS[name]
    paper = [scores[name][metric.name] for scores in (PAPER, SEPARATE)]
    keys = [f"{name}/{metric.name}"] * (name in BENCHMARKS) + [f"psnr/{task.name}" for task in benchmark_of(name).tasks]
    choices = Choice("joint", paper[0], "joint"), Choice("separate", paper[1], kind)
    return Question(TITLES[name], metric, choices, tuple(keys))


PLANS = {"table_s2": table_s2, "table_2": table_2}
