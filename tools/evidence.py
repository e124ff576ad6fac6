"""Has a network learnt its tasks? It beside answers that need no network, and below the prompts of all eight tasks.

    python tools/evidence.py assets/painter_toy --data_root demo/data --out_dir evidence

Expected: a row for each of the eight sources, in its data set's own metric: the network below a prompt of the task;
copying the query; the prompt's target for every query; the mean of training targets; and the best that the same
network does below a prompt of another task. OUT_DIR gets evidence.md, evidence.json with the scores below each prompt,
and evidence.png: what is painted below the right prompt and below that best wrong one.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm
from tyro.conf import Positional

from configs.sources import EIGHT_SOURCES
from data.pairs import read_pairs
from data.roots import Roots
from data.tasks import SOURCES, Size, Task
from engine.command import NetworkOptions, parse
from engine.inpaint import Prompt as PromptPair
from engine.inpaint import half, picture_of
from engine.precision import Precision
from engine.pretrained import load_painter
from eval.benchmark import Benchmark
from eval.painters import Constant, Copy, Network, Paints
from eval.paper import METRICS, TITLES, Metric
from eval.prompts import Prompt, read_listed
from eval.run import benchmark_of, choose, half_size, source_prompts
from eval.search import Trial
from models import Painter
from util.dist import join_world
from util.files import write
from util.image import to_uint8
from util.parallel import one_line_errors
from util.tables import Cell, Table, markdown
from util.visualize import panels, save_png

TRIVIAL = "query copied", "prompt's target", "mean target"
MEAN_OF = 64  # training targets
HEIGHT, GAP = 128, 6  # of the picture's rows, pixels

_PAPERS = {(metric.benchmark, metric.name): metric for metric in METRICS}
JUDGES = {  # the metric that hangs on the painting of a source alone: PQ takes those of two
    "nyuv2_depth": _PAPERS["nyuv2_depth", "rms"],
    "ade20k_semantic": _PAPERS["ade20k_semantic", "mIoU"],
    "coco_instance": Metric("coco_panoptic", "AP_agnostic", "AP of masks", 1, "%"),
    "coco_semantic": Metric("coco_panoptic", "mIoU", "mIoU", 1, "%"),
    "coco_pose": _PAPERS["coco_pose", "AP"],
    "denoise": _PAPERS["sidd", "psnr"],
    "derain": _PAPERS["derain", "psnr"],
    "enhance": _PAPERS["lol", "psnr"],
}

Found = dict[str, dict[str, float]]
"""answer (a source's prompt, or one of TRIVIAL) -> metric -> value"""


@dataclass(frozen=True)
class Options:
    """Which network, on which queries."""

    ckpt: Positional[Path]
    """weights: a folder of tools/export.py, a checkpoint of a run, or a file"""
    data_root: tuple[Path, ...] = (Path("demo/data"),)
    """prepared data roots, searched in order"""
    out_dir: Path = Path("evidence")
    limit: int = 20
    """queries of each benchmark, at most"""
    bank: Path | None = None
    """folder of prompt files NAME.safetensors, a benchmark each; by default the prompts that the paper names"""
    network: NetworkOptions = field(default_factory=NetworkOptions)


class Verdict(NamedTuple):
    """A row of the table."""

    source: str
    metric: Metric
    own: float
    trivial: Sequence[float]
    """of TRIVIAL, in that order"""
    wrong: dict[str, float]
    """by the source whose prompt it was"""

    @property
    def best_wrong(self) -> str:
        """The source of the wrong prompt that serves best."""
        return max(self.wrong, key=lambda name: self.worth(self.wrong[name]))

    @property
    def unbeaten(self) -> list[str]:
        """Answers that the network below its prompt is not better than."""
        rivals = dict(zip(TRIVIAL, self.trivial, strict=True)) | {
            f"the prompt of {k}": v for k, v in self.wrong.items()
        }
        return [name for name, value in rivals.items() if not self.worth(self.own) > self.worth(value)]

    def worth(self, value: float) -> float:
        """More is better; what is not defined is worst."""
        return -math.inf if math.isnan(value) else -value if self.metric.lower else value


def main() -> None:
    """Measure, write, print."""
    with one_line_errors():
        options = parse(Options, "tools/evidence.py", __doc__)
        options.network.check()
        if options.limit < 1:
            raise ValueError(f"--limit {options.limit} must be 1 or more")
        print(markdown(table(run(options))))


def run(options: Options) -> list[Verdict]:
    """Measure, and write the three files."""
    prompts = source_prompts(options.data_root, options.bank)
    painter = read_painter(options)
    trials = {name: make_trial(benchmark_of(name), painter, options) for name in TITLES}
    num = sum(len(trial.queries) for trial in trials.values()) * (len(prompts) + len(TRIVIAL))
    with tqdm(total=num, desc="evidence", unit="image") as bar:
        for trial in trials.values():
            trial.bar = bar
        found = {name: measure(trial, prompts, options.data_root) for name, trial in trials.items()}
    verdicts = [verdict(source, found[metric.benchmark]) for source, metric in JUDGES.items()]
    rows = [show(trials[row.metric.benchmark], row, prompts) for row in verdicts]
    save_png(options.out_dir / "evidence.png", below_each_other(rows))
    write(options.out_dir / "evidence.md", markdown(table(verdicts)).encode())
    write(options.out_dir / "evidence.json", json.dumps(found, indent=1).encode())
    return verdicts


def read_painter(options: Options) -> Painter:
    """The network on its device, ready to infer."""
    device = join_world(options.network.device).device
    painter = load_painter(options.ckpt, options.network.model)[0].to(device)
    return Precision(options.network.precision_on(device), device.type).for_inference(painter)


def make_trial(benchmark: Benchmark, painter: Painter, options: Options) -> Trial:
    """The network and the first queries of a benchmark."""
    return Trial(
        benchmark,
        painter,
        choose(benchmark, options.data_root, options.limit),
        half_size(benchmark, painter, options.network.size),
        options.network.precision_on(painter.pos_embed.device),
    )


def measure(trial: Trial, prompts: Mapping[str, PromptPair], roots: Roots) -> Found:
    """The benchmark's metrics below each prompt, for all its views, and of the trivial answers."""
    paints = {name: below(trial, pair) for name, pair in prompts.items()}
    paints |= dict(zip(TRIVIAL, trivial(trial, prompts, roots), strict=True))
    places = range(len(trial.queries))
    return {name: trial.sum_up(name, trial.judge(one, places), places).metrics for name, one in paints.items()}


def below(trial: Trial, pair: PromptPair) -> Paints:
    """The network, painting every view below this one pair."""
    prompt = Prompt("", "given", [pair] * len(trial.benchmark.tasks))
    device = trial.painter.pos_embed.device
    return Network(trial.painter, trial.benchmark, prompt, trial.size, device, trial.precision)


def trivial(trial: Trial, prompts: Mapping[str, PromptPair], roots: Roots) -> list[Paints]:
    """The painters of TRIVIAL, as large as the network paints."""
    benchmark, size = trial.benchmark, trial.size
    prompt_targets = [half(prompts[task.name][1], size) for task in benchmark.tasks]
    means = [mean_target(task, roots, size) for task in benchmark.tasks]
    return [Copy(benchmark, size), Constant(benchmark, prompt_targets, size), Constant(benchmark, means, size)]


def mean_target(task: Task, roots: Roots, size: Size) -> Tensor:
    """(3, H, W), normalised: pixel by pixel, of the first training targets."""
    pairs = read_pairs(roots, task.lists["train"])[:MEAN_OF]
    return torch.stack([half(read_listed(roots, pair)[1], size) for pair in pairs]).mean(dim=0)


def verdict(source: str, found: Found) -> Verdict:
    """What the metric of a source says."""
    metric = JUDGES[source]
    values = {name: metrics[metric.name] for name, metrics in found.items()}
    wrong = {name: values[name] for name in EIGHT_SOURCES if name != source}
    return Verdict(source, metric, values[source], [values[name] for name in TRIVIAL], wrong)


def table(verdicts: Sequence[Verdict]) -> Table:
    """A row a source; a note names what is not beaten."""
    header = "", "metric", "network", *TRIVIAL, "best wrong prompt"
    notes = [f"{row.source}: not better than {', '.join(row.unbeaten)}" for row in verdicts if row.unbeaten]
    return Table("Evidence", header, tuple(map(_row, verdicts)), tuple(notes) or ("Every answer is beaten.",))


def _row(row: Verdict) -> tuple[Cell, ...]:
    metric = row.metric
    own, *rest = (f"{value:.{metric.decimals}f}" for value in (row.own, *row.trivial, row.wrong[row.best_wrong]))
    name = f"{metric.title}{f' [{metric.unit}]' if metric.unit else ''}{' ↓' if metric.lower else ''}"
    cells = [Cell(row.source), Cell(name), Cell(own, strong=True), *map(Cell, rest)]
    return *cells[:-1], Cell(f"{rest[-1]} ({row.best_wrong})")


def show(trial: Trial, row: Verdict, prompts: Mapping[str, PromptPair]) -> NDArray[np.uint8]:
    """The first query of a source: prompt, query, what is painted below it and below the best wrong one, truth."""
    benchmark, pair = trial.benchmark, prompts[row.source]
    view = benchmark.views.index(SOURCES[row.source])
    own, wrong = below(trial, pair), below(trial, prompts[row.best_wrong])
    case, views = trial.read(0, own)
    painted, other = (to_uint8(paints.paint([views])[0][view]) for paints in (own, wrong))
    truth = Image.fromarray(benchmark.targets(case)[view])
    image, target, due = (picture_of(half(x, trial.size)) for x in (*pair, truth))
    columns = {row.source: image, "prompt": target, "query": picture_of(views[view]), "painted": painted, "truth": due}
    return panels(columns | {f"below {row.best_wrong}": other}, HEIGHT)


def below_each_other(rows: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Rows (h, w, 3) of one width, a little apart."""
    gap = np.full((GAP, *rows[0].shape[1:]), 255, np.uint8)
    return np.concatenate([part for row in rows for part in (row, gap)][:-1])


if __name__ == "__main__":
    main()
