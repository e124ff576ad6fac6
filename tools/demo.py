"""A first look: what the weights in assets/painter_toy paint on a toy world; or train smaller ones from nothing.

    make demo            python tools/demo.py                 the shipped weights
    make demo-train      python tools/demo.py train           the run of configs/demo.py, then the same look at it

Expected: half a minute for the toy world, then a picture of all eight tasks, demo/pictures/demo.png, and the PSNR of
held-out queries below the paper's prompts, beside two trivial answers; a minute later the seven benchmarks' metrics
beside their ceilings, and a report, demo/report.html. Training takes seven minutes more on two cores, and leaves the
same in demo/run. What is done is not done again. Any value of the run can be overridden:
python tools/demo.py train --optim.steps 8000 --out_dir demo/longer
"""

import logging
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from configs.demo import config as demo
from data.pair_dataset import Sample
from data.prepare import prepare
from data.prompt import query_half
from data.tasks import SOURCES
from engine.checkpoint import LAST
from engine.command import parse
from engine.config import RunConfig
from engine.inpaint import Prompt
from engine.load_config import load_config
from engine.loaders import read_lists, val_batches
from engine.precision import Precision, fastest_precision
from engine.pretrained import SHIPPED, find_pretrained, load_painter
from engine.stop import Stopped
from engine.train import run
from engine.validate import Validation, below, query_psnr, to_device, validate
from eval.paper import METRICS, PAPER, TITLES
from eval.run import benchmark_of, choose, network, oracle, source_prompts
from eval.run import run as measure
from models import Painter
from tools.make_toy_datasets import make_toy_datasets
from tools.paper_table import write_tables
from tools.report import main as report
from util.dist import join_world
from util.parallel import one_line_errors
from util.visualize import captioned, save_png

QUERIES = 8  # of each source, to look at
WIDTH = 144  # pixels; a canvas is enlarged to as many, about
RESULTS = "results"  # of the benchmarks
CPU = torch.device("cpu")
NEXT = """
what next, after `source .venv/bin/activate`:
  train one yourself, in seven minutes
    python tools/demo.py train
  paint your own pictures as a prompt shows
    python tools/paint.py --ckpt {ckpt} --prompt IMAGE LABEL --input FOLDER --output painted
  the same in the browser
    pip install -e '.[demo]' && python tools/web_demo.py --ckpt {ckpt}
  everything else: README.md"""

Metrics = dict[str, dict[str, float]]  # benchmark -> metric -> value


@dataclass(frozen=True)
class Options:
    """Which weights are looked at. The word `train` comes first, with the options of a run, to train some."""

    ckpt: str = str(SHIPPED)
    """weights: a run's checkpoint, a file, a folder of tools/export.py, or user/model of a hub"""
    data_root: Path = demo.data.roots[0]
    """folder of the toy world, which is made there"""
    out_dir: Path = demo.out_dir.parent
    """folder of the pictures, results and report"""


class Look(NamedTuple):
    """What is painted of a source's queries, and the PSNR of answers that no network is needed for."""

    painted: Validation
    copied: float
    """the query's own image"""
    coloured: float
    """the one colour that fits all targets best"""


def main() -> None:
    """Make or find the data and, if asked to, the run; look at the weights, and say what comes next."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors("stopped; the same command goes on from here"):
        if sys.argv[1:2] == ["train"]:
            config, weights = train(sys.argv[2:])
        else:
            options = parse(Options, "tools/demo.py", __doc__)
            weights = find_pretrained(options.ckpt)
            config = replace(demo, data=replace(demo.data, roots=(options.data_root,)), out_dir=options.out_dir)
            make_data(config)
        show(config, weights)
        print(NEXT.format(ckpt=os.path.relpath(weights)))


def train(arguments: Sequence[str]) -> tuple[RunConfig, Path]:
    """The run of configs/demo.py with these values overridden, to its end; returns its config and weights."""
    config = load_config(["demo", *arguments], "tools/demo.py train")
    if "--optim.precision" not in arguments:
        config = replace(config, optim=replace(config.optim, precision=fastest_precision(CPU)))
    make_data(config)
    try:
        run(config)
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(stopped.status)
    return config, config.out_dir / LAST


def make_data(config: RunConfig, scenes: int = 120) -> None:
    """The toy world, and what training needs of its sources; what is there stays."""
    root = config.data.roots[0]
    make_toy_datasets(root, scenes, seed=config.seed)
    for name in config.data.sources:
        for split in SOURCES[name].lists:
            prepare(SOURCES[name], [root], root, split)


def show(config: RunConfig, weights: Path) -> None:
    """First pictures and their PSNR, then benchmarks and the report, all below `config.out_dir`."""
    painter, folder = load_painter(weights)[0], config.out_dir / "pictures"
    found = look(painter, config, source_prompts(config.data.roots))
    draw({name: look.painted for name, look in found.items()}, folder)
    print(f"{table(found)}\n\nlook at {folder}/demo.png and its neighbours\n")
    print(benchmarks_table(*evaluate(config, weights)))
    report((config.out_dir / RESULTS,), config.out_dir / "report.html")


def look(painter: Painter, config: RunConfig, prompts: Mapping[str, Prompt]) -> dict[str, Look]:
    """Paint the first validation pairs of each source below its prompt."""
    config = replace(config, model=painter.config, log=replace(config.log, val_limit=QUERIES))
    world, lists, precision = join_world("cpu"), read_lists(config.data), Precision(fastest_precision(CPU), "cpu")
    found = {}
    for name in tqdm(lists.val, "paint", unit="source"):
        batches = [below(prompts[name], batch) for batch in val_batches(config, lists, name, world)]
        painted = validate(painter, batches, world, precision, config.optim.objective, config.log.pictures)
        found[name] = Look(painted, *trivial_answers(batches))
    return found


def trivial_answers(batches: Iterable[Sample]) -> tuple[float, float]:
    """PSNR of copying a query's input, and of painting the mean colour of all targets; means over queries."""
    canvases = [to_device(batch, CPU) for batch in batches]
    images, targets, weights = (torch.cat([canvas[i] for canvas in canvases]) for i in (0, 1, 3))
    counts = query_half(weights) > 0
    colour = (query_half(targets) * counts).sum((0, 2, 3)) / counts.sum((0, 2, 3))
    scores = [
        (query_psnr(image, target, weight), query_psnr(colour[:, None, None].expand_as(target), target, weight))
        for image, target, weight in zip(images, targets, weights, strict=True)
    ]
    copied, coloured = torch.tensor(scores).nanmean(dim=0).tolist()
    return copied, coloured


def table(found: Mapping[str, Look]) -> str:
    """PSNR in dB on held-out pairs, a line a source."""
    rows = [f"\n{'PSNR in dB':16} {'painted':>9} {'input copied':>14} {'one colour':>12}"]
    for name, (painted, copied, coloured) in found.items():
        rows.append(f"{name:16} {painted.psnr:9.2f} {copied:14.2f} {coloured:12.2f}")
    return "\n".join(rows)


def draw(results: Mapping[str, Validation], folder: Path) -> None:
    """A picture of each source, and one with the first strips of all."""
    scale = max(1, round(4 * WIDTH / next(iter(results.values())).strips[0].shape[1]))
    for name, result in results.items():
        save_png(folder / f"{name}.png", captioned(result.strips, scale=scale))
    names = list(results)
    halves = [names[: len(names) // 2], names[len(names) // 2 :]]
    columns = [
        captioned([results[name].strips[0] for name in half], scale=scale, titles=half) for half in halves if half
    ]
    height = max(map(len, columns))
    padded = [np.pad(x, ((0, height - len(x)), (0, 16), (0, 0)), constant_values=255) for x in columns]
    save_png(folder / "demo.png", np.concatenate(padded, axis=1))


def evaluate(config: RunConfig, weights: Path) -> tuple[Metrics, Metrics]:
    """The metrics of all benchmarks, with these weights and with the truth painted in the network's place."""
    world, folder = join_world("cpu"), config.out_dir / RESULTS / weights.resolve().stem
    painted, ceilings = Metrics(), Metrics()
    for name in TITLES:
        benchmark = benchmark_of(name)
        queries = choose(benchmark, config.data.roots)
        trained = network(benchmark, config.data.roots, weights)
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


if __name__ == "__main__":
    main()
