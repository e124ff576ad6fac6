"""Benchmarks as probes of a training run: their own metrics, on a few queries, every so many steps."""

import logging
import math
from collections.abc import Sequence

from engine.config import RunConfig
from engine.train import Probe
from eval.benchmark import Benchmark, Query
from eval.prompts import Prompt, read_prompt
from eval.records import Records
from eval.run import below_prompt, benchmark_of, choose, run
from models import Painter
from util.dist import World
from util.logger import Scalars


def probes(config: RunConfig) -> list[Probe]:
    """A probe for each of log.benchmarks; prompts and queries are looked for now, so that a run fails before it starts.

    Scalars are called benchmark/NAME/METRIC. Results and pictures go to out_dir/benchmarks.
    """
    return [_probe(config, benchmark_of(name)) for name in config.log.benchmarks]


def _probe(config: RunConfig, benchmark: Benchmark) -> Probe:
    prompt = read_prompt(benchmark, config.data.roots, None)
    queries = choose(benchmark, config.data.roots, config.log.benchmark_limit)

    def probe(painter: Painter, step: int, world: World) -> Scalars:
        return _measure(config, benchmark, prompt, queries, painter, step, world)

    return probe


def _measure(
    config: RunConfig,
    benchmark: Benchmark,
    prompt: Prompt,
    queries: Sequence[Query],
    painter: Painter,
    step: int,
    world: World,
) -> Scalars:
    subject = below_prompt(benchmark, painter, prompt, precision=config.optim.precision)
    folder = config.out_dir / "benchmarks" / benchmark.name / f"step_{step:07d}"
    if world.is_main:
        Records(folder).clear()  # of an earlier run, which may have had other weights at this step, and more queries
        (folder / "results.json").unlink(missing_ok=True)
    workers = 2 if config.data.num_workers is None else config.data.num_workers
    try:
        found = run(benchmark, subject, queries, folder, world, config.optim.micro_batch, workers)
    except ValueError as error:  # on all ranks; it is no reason to stop training
        logging.warning("no metrics of %s at step %d: %s", benchmark.name, step, error)
        return {}
    metrics = found.get("metrics", {})
    return {f"benchmark/{benchmark.name}/{key}": value for key, value in metrics.items() if math.isfinite(value)}
