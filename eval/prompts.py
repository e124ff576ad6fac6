"""The prompt of a benchmark: a training pair for each of its tasks, found by name."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from data.pairs import Pair, read_pair, read_pairs
from data.roots import Absent, Roots, find, has, places
from data.tasks import Task
from engine.inpaint import Prompt as PromptPair
from engine.prompts import SUFFIX, read_prompt_file
from eval.benchmark import Benchmark
from util.image import check_same_size

SHOWN = 5  # candidates that an error names
NONE = "no training pair is listed that has all it needs"


class Prompt(NamedTuple):
    """A prompt pair (image, painted target) of each task of a benchmark, in the order of its `tasks`."""

    name: str
    kind: str
    """searched: the paper's; random: drawn; given: any other; or as a prompt file says"""
    pairs: Sequence[PromptPair]


def read_prompt(benchmark: Benchmark, roots: Roots, name: str | None) -> Prompt:
    """The pairs called `name`, such as `study_room_0005b/rgb_00094`; None: the paper's; `random:SEED`: drawn.

    Or those of a prompt file, NAME.safetensors. Files that preparation has painted come first, then the training
    lists. ValueError lists names that there are.
    """
    if name is None or name == benchmark.prompt:
        return Prompt(benchmark.prompt, "searched", _pairs(benchmark, roots, benchmark.prompt))
    if name.endswith(SUFFIX):
        return _of_file(benchmark, Path(name))
    if name.startswith("random:"):
        drawn = _draw(candidates(benchmark, roots), name)
        return Prompt(drawn, "random", _pairs(benchmark, roots, drawn))
    return Prompt(name, "given", _pairs(benchmark, roots, name))


def _of_file(benchmark: Benchmark, path: Path) -> Prompt:
    stored, due = read_prompt_file(path), [task.name for task in benchmark.tasks]
    if missing := [name for name in due if name not in stored.pairs]:
        raise ValueError(
            f"{path} is a prompt for {', '.join(stored.pairs)}; {benchmark.name} needs one for {', '.join(missing)}"
        )
    return Prompt(path.stem, str(stored.facts.get("kind", "given")), [stored.pairs[name] for name in due])


def candidates(benchmark: Benchmark, roots: Roots) -> list[str]:
    """Names of the training pairs that every task of the benchmark has, sorted."""
    return list(training_pairs(benchmark, roots))


def training_pairs(benchmark: Benchmark, roots: Roots) -> dict[str, list[Pair]]:
    """The listed training pair of each task, by the name that they have in common, sorted; reads the lists once."""
    lists = [_listed(benchmark, task, roots) for task in benchmark.tasks]
    return {name: [pairs[name] for pairs in lists] for name in sorted(set.intersection(*map(set, lists)))}


def read_listed(roots: Roots, pair: Pair) -> tuple[Image.Image, Image.Image]:
    """A listed pair as a prompt: image and painted target, RGB."""
    image, target = read_pair(roots, pair)
    return image, target.convert("RGB")


def _pairs(benchmark: Benchmark, roots: Roots, name: str) -> list[tuple[Image.Image, Image.Image]]:
    if not name or name.startswith("/") or ".." in name.split("/"):
        raise ValueError(f"--prompt {name!r} must be the name of a training pair, such as {benchmark.prompt}")
    try:
        return [_pair(benchmark, task, roots, name) for task in benchmark.tasks]
    except Absent as error:
        known = candidates(benchmark, roots)
        near = list(dict.fromkeys([*difflib.get_close_matches(name, known, SHOWN, cutoff=0.3), *known]))[:SHOWN]
        hint = f"{len(known)} training pairs are listed, such as {', '.join(near)}" if known else NONE
        raise ValueError(
            f"no prompt {name!r} of {benchmark.name}: {error.path} is not under {places(roots)}; {hint}; "
            "prepare the training data, or name another pair (benchmarks: --prompt)"
        ) from None


def _pair(benchmark: Benchmark, task: Task, roots: Roots, name: str) -> tuple[Image.Image, Image.Image]:
    files = benchmark.prompt_files(task, name)
    if all(has(roots, path) for path in files):
        image, target = (find(roots, path) for path in files)
        read = task.read_pair(image, target, None, None)
        check_same_size(image, target, read[1].size[::-1])
        return read[0], read[1].convert("RGB")
    if pair := _listed(benchmark, task, roots).get(name):
        return read_listed(roots, pair)
    raise Absent(files[0] if not has(roots, files[0]) else files[1], "")


def _listed(benchmark: Benchmark, task: Task, roots: Roots) -> dict[str, Pair]:
    """The training pairs of a task by name; none where they have not been prepared."""
    path = task.lists["train"]
    return benchmark.named(read_pairs(roots, path), roots) if has(roots, path) else {}


def _draw(names: list[str], name: str) -> str:
    seed = name.removeprefix("random:")
    if not seed.isdecimal():
        raise ValueError(f"--prompt {name}: after random: a seed is due, such as random:0")
    if not names:
        raise ValueError("a random prompt needs the training lists; prepare the training data, or give a name")
    return names[np.random.default_rng(int(seed)).integers(len(names))]
