"""Search for the training pair below which a network does a benchmark best, and keep it as a prompt file.

    python tools/search_prompt.py --benchmark nyuv2_depth --ckpt assets/painter_toy --data_root demo/data \\
        --candidates 32 --images 10 --out bank/nyuv2_depth_searched.safetensors
    python -m eval.nyuv2_depth --ckpt assets/painter_toy --data_root demo/data \\
        --prompt bank/nyuv2_depth_searched.safetensors

Candidates are tried on a few queries, the better half on twice as many, and so on up to --images: successive halving.
The winner is then measured on as many other queries, beside prompts drawn at random. Expected: a table of the stages,
one of that comparison, the file, its picture beside it and its line in the folder's manifest.json.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from data.pairs import Pair
from data.roots import places
from engine.command import NetworkOptions, parse
from engine.precision import Precision
from engine.pretrained import load_painter, weights_of
from engine.prompts import check_place, save_prompt
from eval.benchmark import Benchmark
from eval.prompts import Prompt, read_listed, training_pairs
from eval.results import digest
from eval.run import benchmark_of, choose, half_size
from eval.search import Measured, Stage, Trial, beside, cost, deviation, draw, eliminate, mean
from eval.similar import image_features, most_similar
from util.dist import join_world
from util.parallel import one_line_errors

POOL = 10  # times as many pairs as candidates are looked at for similar ones


@dataclass(frozen=True)
class Options:
    """What is searched, where, and how thoroughly."""

    benchmark: str
    """its name, such as nyuv2_depth"""
    ckpt: Path
    """weights: a checkpoint of a run, or the released .pth, or .safetensors"""
    out: Path
    """the prompt file to write, ending in .safetensors; its folder is a prompt bank"""
    data_root: tuple[Path, ...] = (Path("datasets"),)
    """data roots, searched in order"""
    candidates: int = 32
    """training pairs to try"""
    images: int = 16
    """queries to try the best of them on; as many others measure the winner, or those that are left"""
    randoms: int = 8
    """random prompts that the winner is compared with"""
    seed: int = 0
    """of all draws: the same seed finds the same prompt"""
    retrieve: bool = False
    """try those of ten times as many pairs whose images are most similar to the queries, as the network sees them"""
    batch_size: int = 8
    """queries painted at once"""
    network: NetworkOptions = field(default_factory=NetworkOptions)

    def check(self) -> None:
        """ValueError on numbers that make no search."""
        if self.candidates < 2:
            raise ValueError(f"--candidates {self.candidates} must be 2 or more, to choose from")
        if self.randoms < 2:
            raise ValueError(f"--randoms {self.randoms} must be 2 or more, to have a deviation")
        if min(self.images, self.batch_size) < 1 or self.seed < 0:
            raise ValueError("--images and --batch_size must be 1 or more, --seed 0 or more")
        self.network.check()


def main() -> None:
    """Search, compare, write."""
    with one_line_errors():
        options = parse(Options, "tools/search_prompt.py", __doc__)
        options.check()
        check_place(options.out)
        run(options, benchmark_of(options.benchmark))


def run(options: Options, benchmark: Benchmark) -> None:
    """The search of a benchmark's prompt."""
    pairs, trial = training_pairs(benchmark, options.data_root), make_trial(options, benchmark)
    made_of = source(options)
    if len(pairs) < max(options.candidates, options.randoms):
        raise ValueError(
            f"{benchmark.name} has {len(pairs)} training pairs under {places(options.data_root)}; "
            "give fewer --candidates and --randoms, or prepare the training data"
        )

    def prompt(name: str) -> Prompt:
        return Prompt(name, "random", [read_listed(options.data_root, pair) for pair in pairs[name]])

    names = propose(options, trial, pairs)
    unseen = range(options.images, min(2 * options.images, len(trial.queries)))
    num = cost(len(names), options.images) + (options.randoms + 1) * len(unseen)
    with tqdm(total=num, desc="search", unit="image") as trial.bar:
        found = eliminate(names, options.images, lambda name, images: trial.qualities(prompt(name), images))
        name, score = next(iter(found[-1].scores.items()))
        if math.isnan(score):
            raise ValueError(f"none of these {options.images} queries has a quality; give more --images")
        best = trial.measure(prompt(name), unseen)
        others = [trial.measure(prompt(name), unseen) for name in draw(list(pairs), options.randoms, options.seed, 2)]
    print(stage_table(found))
    print(f"\n{comparison(benchmark, best, others)}")
    chosen = {task.name: pair for task, pair in zip(benchmark.tasks, prompt(best.name).pairs, strict=True)}
    save_prompt(
        options.out,
        chosen,
        {
            "kind": "searched",
            "source": made_of | {"name": best.name},
            "size": trial.size,
            "score": {key: beside(*numbers(key, best, others)) for key in ("quality", *benchmark.headline)},
        },
    )
    print(f"{best.name} -> {options.out}")


def make_trial(options: Options, benchmark: Benchmark) -> Trial:
    """The network, and all queries in an order drawn; ValueError if the search leaves none to measure its prompt on."""
    device, queries = join_world(options.network.device).device, choose(benchmark, options.data_root)
    if len(queries) <= options.images:
        raise ValueError(
            f"{benchmark.name} has {len(queries)} queries here, and --images {options.images} leaves none unseen to "
            f"measure the prompt on; give {max(1, len(queries) // 2)} or fewer"
        )
    precision = options.network.precision_on(device)
    painter = load_painter(options.ckpt, options.network.model)[0].to(device)
    order = np.random.default_rng((options.seed, 0)).permutation(len(queries))
    return Trial(
        benchmark,
        Precision(precision, device.type).for_inference(painter),
        [queries[i] for i in order],
        half_size(benchmark, painter, options.network.size),
        precision,
        options.batch_size,
    )


def propose(options: Options, trial: Trial, pairs: Mapping[str, Sequence[Pair]]) -> list[str]:
    """The candidates: drawn, or those of a larger draw that are most similar to the queries of the search."""
    if not options.retrieve:
        return draw(list(pairs), options.candidates, options.seed, 1)
    pool = draw(list(pairs), min(len(pairs), POOL * options.candidates), options.seed, 1)
    queries = (trial.benchmark.read(query).images[0] for query in trial.queries[: options.images])
    images = chain(queries, (read_listed(options.data_root, pairs[name][0])[0] for name in pool))
    bar = tqdm(images, "similarity", options.images + len(pool), unit="image")
    features = torch.stack([image_features(trial.painter, image, trial.size, trial.precision) for image in bar])
    near = most_similar(features[options.images :], features[: options.images])
    return [pool[i] for i in near[: options.candidates]]


def stage_table(stages: Sequence[Stage]) -> str:
    """A line a stage: how many took part, and what they scored."""
    rows = [f"{'stage':>5} {'candidates':>10} {'images':>6} {'mean':>9} {'deviation':>9} {'best':>9}"]
    for number, (num_images, scores) in enumerate(stages, 1):
        values = list(scores.values())
        about = f"{mean(values):9.4f} {deviation(values):9.4f} {values[0]:9.4f}"
        rows.append(f"{number:5} {len(values):10} {num_images:6} {about}")
    return "\n".join(rows)


def comparison(benchmark: Benchmark, best: Measured, others: Sequence[Measured]) -> str:
    """The winner beside random prompts: quality, and the metrics of the paper's table."""
    rows = [f"{'on images the search has not seen':36} {'searched':>10} {'random':>10} {'deviation':>10}"]
    for key in ("quality", *benchmark.headline):
        value, random = numbers(key, best, others)
        rows.append(f"{key:36} {value:10.4f} {mean(random):10.4f} {deviation(random):10.4f}")
    better = sum(best.quality > other.quality for other in others)
    return "\n".join([*rows, f"of better quality than {better} of {len(others)} random prompts"])


def numbers(key: str, best: Measured, others: Sequence[Measured]) -> tuple[float, list[float]]:
    """The quality or a metric of the winner, and those of random prompts."""
    value, *random = ({"quality": one.quality, **one.metrics}[key] for one in (best, *others))
    return value, random


def source(options: Options) -> dict[str, Any]:
    """Of what a prompt is made, for its file."""
    keys = ("benchmark", "candidates", "images", "seed", "retrieve")
    return {key: getattr(options, key) for key in keys} | {"checkpoint": digest(weights_of(options.ckpt))}


if __name__ == "__main__":
    main()
