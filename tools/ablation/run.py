"""One training of tools/ablate.py: a variant with a seed, in a folder of its own, and what it scores."""

import json
import math
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from engine.checkpoint import LAST
from engine.config import RunConfig, flatten
from engine.loaders import read_lists, val_batches
from engine.loss import Loss
from engine.precision import Precision
from engine.pretrained import load_painter
from engine.start import changes
from engine.train import run as train
from engine.validate import validate
from eval.run import benchmark_of, choose, network
from eval.run import run as evaluate
from tools.ablation.plan import BENCHMARKS, METRICS, Plan
from util.dist import World, join_world
from util.files import write
from util.lock import held

QUERIES = 100  # of each task, at most, that measure a run
CONFIG = "config.json"


class Trial(NamedTuple):
    """A run of a plan, with a seed."""

    name: str
    seed: int
    folder: Path
    config: RunConfig

    @property
    def scores(self) -> dict[str, float] | None:
        """By the keys of Measure; None until it is finished."""
        file = self.folder / "result.json"
        return json.loads(file.read_bytes()) if file.is_file() else None

    def check(self) -> None:
        """ValueError if the folder holds a run of another plan."""
        file, config = self.folder / CONFIG, flatten(self.config)
        if changed := changes(json.loads(file.read_bytes()) if file.is_file() else config, config):
            raise ValueError(f"{self.folder} was begun with another plan ({changed[0]}); choose another --out_dir")

    def perform(self) -> None:
        """Train or go on, measure, write the result; ValueError if another process does."""
        with held(self.folder):
            write(self.folder / CONFIG, json.dumps(flatten(self.config), indent=1).encode())
            with (self.folder / "log.txt").open("a") as log, redirect_stdout(log):
                train(self.config)
            world = join_world(self.config.device)
            scores = held_out(self.config, world) | decoded(self, world)
            finite = {key: value for key, value in scores.items() if math.isfinite(value)}
            write(self.folder / "result.json", json.dumps(finite, indent=1).encode())


def trials_of(plan: Plan, seed: int, out_dir: Path) -> list[Trial]:
    """All runs of a plan with one seed."""
    folders = [out_dir / run.name / f"seed{seed}" for run in plan.runs]
    return [
        Trial(run.name, seed, folder, replace(run.config, seed=seed, out_dir=folder / "run"))
        for run, folder in zip(plan.runs, folders, strict=True)
    ]


def held_out(config: RunConfig, world: World) -> dict[str, float]:
    """PSNR in dB, and L1 whatever was minimised, of painted queries of each source."""
    painter = load_painter(config.out_dir / LAST)[0].to(world.device)
    precision, loss = Precision(config.optim.precision, world.device.type), Loss("l1", config.optim.darkest)
    config = replace(config, log=replace(config.log, val_limit=QUERIES))
    lists, scores = read_lists(config.data), dict[str, float]()
    for name in tqdm(lists.val, "measure", leave=False, unit="task"):
        found = validate(painter, val_batches(config, lists, name, world), world, precision, loss, num_strips=0)
        scores |= {f"psnr/{name}": found.psnr, f"l1/{name}": found.loss}
    return scores


def decoded(trial: Trial, world: World) -> dict[str, float]:
    """The metric of each of BENCHMARKS whose tasks the run has learnt."""
    data, precision, scores = trial.config.data, trial.config.optim.precision, dict[str, float]()
    for benchmark in map(benchmark_of, BENCHMARKS):
        if {task.name for task in benchmark.tasks} <= data.sources.keys():
            checkpoint, metric = trial.config.out_dir / LAST, METRICS[benchmark.name].name
            subject = network(benchmark, data.roots, checkpoint, precision=precision, device=world.device)
            queries = choose(benchmark, data.roots, QUERIES)
            content = evaluate(benchmark, subject, queries, trial.folder / benchmark.name, world)
            scores[f"{benchmark.name}/{metric}"] = content["metrics"][metric]
    return scores
