"""Train a small Painter on the eight tasks of a toy world on the CPU, evaluate it, and show what it paints.

    make demo

Expected: about eight minutes on two cores; then a table of the painted queries' PSNR beside two trivial answers,
the seven benchmarks' metrics beside their ceilings, pictures in demo/pictures and a report, demo/report.html. A
finished demo is shown again at once. Any value of configs/demo.py can be overridden:
python tools/demo.py --optim.steps 8000 --out_dir demo/longer
"""

import logging
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from data.prepare import prepare
from data.tasks import SOURCES
from engine.checkpoint import LAST
from engine.config import RunConfig
from engine.load_config import load_config
from engine.loaders import Lists, read_lists, train_batches, val_batches
from engine.precision import fastest_precision
from engine.train import run
from engine.validate import Validation, query_psnr, to_device
from eval.paper import METRICS, PAPER, TITLES
from eval.run import benchmark_of, choose, network, oracle
from eval.run import run as measure
from tools.make_toy_datasets import make_toy_datasets
from tools.paper_table import write_tables
from tools.report import main as report
from util.dist import join_world
from util.visualize import captioned, save_png

SCALE = 3  # of the pictures
RESULTS = "results"  # of the benchmarks, in the run's folder

Metrics = dict[str, dict[str, float]]  # benchmark -> metric -> value


def main(arguments: Sequence[str]) -> None:
    """Make or find the data, train or find the run, print the table, write the pictures."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        config = load_config(["demo", *arguments], "tools/demo.py")
        if "--optim.precision" not in arguments:
            config = replace(config, optim=replace(config.optim, precision=fastest_precision(torch.device("cpu"))))
        make_data(config.data.roots[0], config.data.sources, config.seed)
        results = run(config)
    except ValueError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; make demo goes on from the last checkpoint")
    print(table(results, trivial_answers(config)))
    folder = config.out_dir.parent / "pictures"
    show(results, folder)
    print(benchmarks_table(*evaluate(config)))
    report((config.out_dir / RESULTS,), config.out_dir.parent / "report.html")
    print(f"\nlook at {folder}/demo.png and its neighbours; to start over: rm -r {config.out_dir}")


def make_data(root: Path, sources: Iterable[str], seed: int) -> None:
    """The toy world, and what training needs of these sources; what is there stays."""
    make_toy_datasets(root, seed=seed)
    for name in sources:
        for split in SOURCES[name].lists:
            prepare(SOURCES[name], [root], root, split)


def trivial_answers(config: RunConfig) -> dict[str, tuple[float, float]]:
    """For each source the PSNR of copying the query's input, and of painting the mean colour of training targets."""
    world = join_world("cpu")
    lists = read_lists(config.data)
    answers = {}
    for name in lists.val:
        colour = mean_colour(config, Lists({name: lists.train[name]}, {}))
        scores = [
            (query_psnr(image, target, weight), query_psnr(colour.expand_as(target), target, weight))
            for batch in val_batches(config, lists, name, world)
            for image, target, _, weight in zip(*to_device(batch, world.device), strict=True)
        ]
        copied, coloured = torch.tensor(scores).mean(dim=0).tolist()
        answers[name] = (copied, coloured)
    return answers


def mean_colour(config: RunConfig, lists: Lists) -> torch.Tensor:
    """(3, 1, 1), normalised: the mean of what counts in the targets of 16 training batches."""
    world = join_world("cpu")
    batches = [to_device(batch, world.device) for batch in train_batches(config, lists, world, range(16))]
    target, weight = torch.cat([b.target for b in batches]), torch.cat([b.weight for b in batches])
    return ((target * weight).sum((0, 2, 3)) / weight.sum((0, 2, 3)))[:, None, None]


def table(results: dict[str, Validation], trivial: dict[str, tuple[float, float]]) -> str:
    """PSNR in dB on held-out pairs, a line a source."""
    rows = [f"\n{'PSNR in dB':12} {'painted':>9} {'input copied':>14} {'one colour':>12}"]
    for name, (copied, coloured) in trivial.items():
        rows.append(f"{name:12} {results[name].psnr:9.2f} {copied:14.2f} {coloured:12.2f}")
    return "\n".join(rows)


def evaluate(config: RunConfig) -> tuple[Metrics, Metrics]:
    """The metrics of all benchmarks, with the trained network and with the truth painted in its place."""
    checkpoint, world = config.out_dir / LAST, join_world("cpu")
    painted, ceilings = Metrics(), Metrics()
    for name in TITLES:
        benchmark = benchmark_of(name)
        queries = choose(benchmark, config.data.roots)
        trained = network(benchmark, config.data.roots, checkpoint)
        folder = config.out_dir / RESULTS / checkpoint.resolve().name
        painted[name] = measure(benchmark, trained, queries, folder / name, world)["metrics"]
        perfect = oracle(benchmark, trained.facts["size"][0])
        ceilings[name] = measure(benchmark, perfect, queries, folder / f"{name}_oracle", world)["metrics"]
    write_tables([folder], folder.parent)
    return painted, ceilings


def benchmarks_table(painted: Metrics, ceilings: Metrics) -> str:
    """The metrics of the paper's table, a line each, beside the best that the small canvas can show."""
    rows = [f"\n{'benchmark':28} {'painted':>9} {'ceiling':>9} {'paper, on its own data':>24}"]
    for metric in METRICS:
        title = f"{TITLES[metric.benchmark]}, {metric.title}"
        numbers = (scores[metric.benchmark][metric.name] for scores in (painted, ceilings, PAPER))
        rows.append(f"{title:28} " + "{:9.3f} {:9.3f} {:24.3f}".format(*numbers))
    return "\n".join(rows)


def show(results: dict[str, Validation], folder: Path) -> None:
    """A picture of each source, and one with the first strips of all."""
    for name, result in results.items():
        save_png(folder / f"{name}.png", captioned(result.strips, scale=SCALE))
    names = list(results)
    halves = [names[: len(names) // 2], names[len(names) // 2 :]]
    columns = [
        captioned([results[name].strips[0] for name in half], scale=SCALE, titles=half) for half in halves if half
    ]
    height = max(map(len, columns))
    padded = [np.pad(x, ((0, height - len(x)), (0, 16), (0, 0)), constant_values=255) for x in columns]
    save_png(folder / "demo.png", np.concatenate(padded, axis=1))


if __name__ == "__main__":
    main(sys.argv[1:])
