"""One run of a benchmark: who paints, which queries, and what is written at the end."""

import importlib
import platform
import re
import time
import zlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from data.roots import Roots, places
from data.tasks import Size
from engine.inpaint import Half
from engine.inpaint import Prompt as PromptPair
from engine.precision import Name, Precision
from engine.pretrained import load_painter, weights_of
from engine.prompts import SUFFIX
from eval.benchmark import Benchmark, Query
from eval.evaluate import evaluate
from eval.painters import Network, Oracle, Paints
from eval.paper import PAPER, TITLES
from eval.prompts import Prompt, read_prompt
from eval.records import Records
from eval.results import digest, known_results, show_some, versions, write_results
from models import Painter
from util.dist import World, from_main


def benchmark_of(name: str) -> Benchmark:
    """The benchmark of a file beside this one; ValueError lists those that there are."""
    if name not in TITLES:
        raise ValueError(f"unknown benchmark {name!r}; known are {', '.join(TITLES)}")
    return importlib.import_module(f"eval.{name}").BENCHMARK


def source_prompts(roots: Roots, bank: Path | None = None) -> dict[str, PromptPair]:
    """The prompt pair of each source: the paper's, or that of `bank`/BENCHMARK.safetensors."""
    found: dict[str, PromptPair] = {}
    for benchmark in map(benchmark_of, TITLES):
        given = None if bank is None else str(bank / f"{benchmark.name}{SUFFIX}")
        names = (task.name for task in benchmark.tasks)
        found |= zip(names, read_prompt(benchmark, roots, given).pairs, strict=True)
    return found


class Subject(NamedTuple):
    """What is evaluated."""

    paints: Paints
    prompt: Sequence[PromptPair]
    """the prompt pair of each task; none of an oracle"""
    facts: dict[str, Any]
    """for results.json"""

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the numbers."""
        decisive = ("prompt", "oracle", "model", "size", "precision")
        pixels = [zlib.crc32(_bytes(half)) for pair in self.prompt for half in pair]
        checkpoint = (self.facts["checkpoint"] or {}).get("sha256")
        painter = versions().get("painter")
        return {key: self.facts[key] for key in decisive} | {
            "checkpoint": checkpoint,
            "pixels of the prompt": pixels,
            "version of painter": painter,
        }


def _bytes(half: Half) -> bytes:
    return half.numpy().tobytes() if isinstance(half, Tensor) else half.convert("RGB").tobytes()


def network(
    benchmark: Benchmark,
    roots: Roots,
    ckpt: Path,
    prompt: str | None = None,
    model: str | None = None,
    side: int | None = None,
    precision: Name = "fp32",
    device: torch.device | str = "cpu",
) -> Subject:
    """A checkpoint below a prompt. Raises ValueError on weights that do not fit and on a prompt that is not there."""
    ckpt = from_main(weights_of(ckpt).resolve())  # `last` may move on meanwhile
    painter, config = load_painter(ckpt, model)
    chosen = read_prompt(benchmark, roots, prompt)
    facts = {
        "checkpoint": {"path": str(ckpt), "sha256": digest(ckpt)},
        "training": _training(benchmark, config),
        "seed": config.get("seed"),
    }
    painter = Precision(precision, torch.device(device).type).for_inference(painter.to(device))
    subject = below_prompt(benchmark, painter, chosen, side, precision)
    return subject._replace(facts=subject.facts | facts)


def below_prompt(
    benchmark: Benchmark,
    painter: Painter,
    prompt: Prompt,
    side: int | None = None,
    precision: Name = "fp32",
) -> Subject:
    """A network in memory, on its own device."""
    size, device = half_size(benchmark, painter, side), painter.pos_embed.device
    facts = {
        "prompt": {"name": prompt.name, "kind": prompt.kind},
        "checkpoint": None,
        "oracle": None,
        "training": None,
        "seed": None,
        "model": asdict(painter.config),
        "size": size,
        "precision": precision,
        "variant": _variant(size, half_size(benchmark, painter), precision),
        "device": _device_name(device),
    }
    return Subject(Network(painter, benchmark, prompt, size, device, precision), prompt.pairs, facts)


def oracle(benchmark: Benchmark, side: int | None = None, noise: float = 0.0) -> Subject:
    """The truth, painted at the paper's size."""
    due = round(448 * benchmark.zoom)
    size = (side or due, side or due)
    facts = {
        **dict.fromkeys(("prompt", "checkpoint", "training", "seed", "model")),
        "oracle": {"noise": noise},
        "size": size,
        "precision": "fp32",
        "variant": _variant(size, (due, due), "fp32"),
        "device": "cpu",
    }
    return Subject(Oracle(benchmark, size, noise), (), facts)


def half_size(benchmark: Benchmark, painter: Painter, side: int | None = None) -> Size:
    """Half a canvas of this network for this benchmark, (H, W): `side` a square; else as trained, zoomed."""
    (h, w), patch = painter.config.img_size, painter.config.patch_size
    if side is not None:
        return side, side
    return round(h / 2 * benchmark.zoom / patch) * patch, round(w * benchmark.zoom / patch) * patch


def choose(benchmark: Benchmark, roots: Roots, limit: int | None = None) -> Sequence[Query]:
    """The first `limit` queries, or all; ValueError if there are none."""
    queries = benchmark.queries(roots)
    if not queries:
        raise ValueError(f"{benchmark.name}: there is nothing to evaluate under {places(roots)}; see docs/DATA.md")
    return queries[:limit]


def run(
    benchmark: Benchmark,
    subject: Subject,
    queries: Sequence[Query],
    folder: Path,
    world: World,
    batch_size: int = 8,
    num_workers: int = 0,
    save_images: bool = False,
    num_there: int | None = None,
) -> dict[str, Any]:
    """Evaluate, and write folder/results.json; returns its content on rank 0, nothing on the others.

    Goes on where an earlier run in this folder was stopped; ValueError if that was another one, or on more queries.
    `num_there`: of which `queries` are the first; None: they are all there are.
    """
    records, identity = Records(folder), {"benchmark": benchmark.name, **subject.identity}
    if refusal := from_main((records.claim(identity) or _fuller(folder, len(queries))) if world.is_main else None):
        raise ValueError(refusal)
    images, started = folder / "images" if save_images else None, time.monotonic()
    found, num_new = evaluate(benchmark, subject.paints, queries, records, world, batch_size, num_workers, images)
    seconds = time.monotonic() - started
    if not world.is_main:
        return {}
    content = {
        "benchmark": benchmark.name,
        "metrics": benchmark.summarise(found, queries),
        "headline": benchmark.headline,
        "paper": PAPER[benchmark.name],
        **subject.facts,
        "num_images": len(queries),
        "num_expected": benchmark.num_expected,
        "complete": len(queries) == (num_there or len(queries)) == benchmark.num_expected,
        "cross_check": None,
        "batch_size": batch_size,
        "num_ranks": world.size,
        "seconds": seconds,
        "images_per_second": num_new / seconds if num_new else None,
        "versions": versions(),
        "shown": show_some(benchmark, subject.paints, subject.prompt, queries, found, folder),
    }
    write_results(folder, content)
    return content


def _fuller(folder: Path, num: int) -> str | None:
    """What is wrong if results on more than `num` queries would be lost."""
    before = known_results(folder).get("num_images", 0)
    if before > num:
        return f"{folder} holds results on {before} queries; give as large a --limit, or another --out_dir"
    return None


def _variant(size: Size, due: Size, precision: Name) -> str | None:
    """How the paper's way is left, in words; None if it is not."""
    parts = [f"{size[1]} x {size[0]} pixels"] * (size != due) + [precision] * (precision != "fp32")
    return ", ".join(parts) or None


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or device.type


def _training(benchmark: Benchmark, config: dict[str, Any]) -> str:
    """Whether a run with this config has learnt the benchmark's tasks alone; what has no config has learnt all."""
    sources = (re.fullmatch(r"data\.sources\.(.+)\.weight", key) for key in config)
    learnt = {match[1] for match in sources if match and config[match[0]] > 0}
    return "separate" if learnt and learnt <= {task.name for task in benchmark.tasks} else "joint"
