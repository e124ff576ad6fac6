"""Classes in colours that training has not seen them in: does the output take up those of the prompt?"""

from collections.abc import Iterator, Sequence
from itertools import islice, product
from typing import NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from data.pairs import read_pairs
from data.palette import Palette
from data.roots import Roots
from data.tasks.base import Picture
from data.tasks.semantic import IGNORE, Semantic
from eval.metrics.semantic import confusion, semantic_scores
from eval.prompts import read_listed
from tools.follow.queries import Paint

STEPS = 0.5, 2.5, 4.5  # places of unseen colours, in steps of the trained palette: half way between two
KINDS = "trained", "permuted", "unseen"

Classes = NDArray[np.uint8]


class Pair(NamedTuple):
    """A picture (H, W, 3) and its classes (H, W), IGNORE where nothing is labelled."""

    image: Picture
    classes: Classes

    @property
    def visible(self) -> list[int]:
        """Its classes, sorted."""
        return [int(k) for k in np.unique(self.classes) if k != IGNORE]


Drawn = tuple[Pair, list[Pair]]
"""a prompt and its queries"""


class Kept(NamedTuple):
    """mIoU in percent of an output, over the classes that prompt and query have in common."""

    by_prompt: float
    """decoded by the prompt's colours"""
    by_trained: float
    """decoded by the trained palette"""


class Trial(NamedTuple):
    """A query painted below a prompt in certain colours."""

    kind: str
    target: Picture
    """of the prompt"""
    output: Picture
    kept: Kept


def colours(palette: Palette, visible: Sequence[int], kind: str, rng: Generator) -> NDArray[np.uint8]:
    """(num, 3): as trained; those of the visible classes handed on to the next; or such that no class has."""
    table = palette.colors.copy()
    if kind == "permuted":
        table[visible] = np.roll(table[visible], 1, axis=0)
    if kind == "unseen":
        unseen = 255 - np.array(list(product(STEPS, repeat=3))) * palette.steps
        table[visible] = rng.permutation(unseen)[: len(visible)]
    return table


def trials(
    paint: Paint, task: Semantic, prompt: Pair, queries: Sequence[Pair], rng: Generator
) -> Iterator[list[Trial]]:
    """For each query, which has two classes or more in common with the prompt, a trial of each kind of colours."""
    images = [query.image for query in queries]
    trained = task.palette.colors
    tables = {kind: colours(task.palette, prompt.visible, kind, rng) for kind in KINDS}
    targets = {kind: painted(prompt.classes, table) for kind, table in tables.items()}
    outputs = {
        kind: paint((Image.fromarray(prompt.image), Image.fromarray(target)), images)
        for kind, target in targets.items()
    }
    for number, query in enumerate(queries):
        yield [
            Trial(
                kind,
                targets[kind],
                output := outputs[kind][number],
                Kept(*(miou(output, query.classes, common(prompt, query), x) for x in (tables[kind], trained))),
            )
            for kind in KINDS
        ]


def draw(roots: Roots, task: Semantic, num_prompts: int, num_queries: int, rng: Generator) -> list[Drawn]:
    """Training pairs as prompts, each with validation pairs that have two classes or more in common with it."""
    drawn = []
    for prompt in islice(_shuffled(roots, task, "train", rng), num_prompts):
        fit = (query for query in _shuffled(roots, task, "val", rng) if len(common(prompt, query)) > 1)
        drawn.append((prompt, list(islice(fit, num_queries))))
    if not all(queries for _, queries in drawn):
        raise ValueError(f"a prompt of {task.name} has classes that no query shows; give another --seed")
    return drawn


def _shuffled(roots: Roots, task: Semantic, split: str, rng: Generator) -> Iterator[Pair]:
    listed = read_pairs(roots, task.lists[split])
    for i in rng.permutation(len(listed)):
        image, target = read_listed(roots, listed[i])
        yield Pair(np.asarray(image), classes_of(task, np.asarray(target)))


def classes_of(task: Semantic, target: Picture) -> Classes:
    """A painted target (H, W, 3) as classes; black is IGNORE."""
    classes = task.nearest(torch.from_numpy(target.copy())).numpy()
    return np.where(target.any(axis=2), classes, np.uint8(IGNORE))


def measure(paint: Paint, task: Semantic, drawn: Sequence[Drawn], rng: Generator) -> dict[str, Kept]:
    """For each kind of colours the means over all prompts and their queries."""
    bar = tqdm(drawn, f"palette: {task.name}", unit="prompt")
    found = [trial for prompt, queries in bar for group in trials(paint, task, prompt, queries, rng) for trial in group]
    groups = {kind: [trial.kept for trial in found if trial.kind == kind] for kind in KINDS}
    return {kind: Kept(*np.mean(group, axis=0).tolist()) for kind, group in groups.items()}


def painted(classes: Classes, table: NDArray[np.uint8]) -> Picture:
    """Classes (H, W) in the colours of a table (num, 3); black where nothing is labelled."""
    return np.concatenate([table, np.zeros((256 - len(table), 3), np.uint8)])[classes]


def miou(output: Picture, classes: Classes, among: Sequence[int], table: NDArray[np.uint8]) -> float:
    """Of an output decoded to the nearest colour of the classes `among`, on the pixels that truly are of them."""
    distance = np.abs(output[..., None, :].astype(int) - table[list(among)]).sum(axis=-1)
    places = np.full(256, IGNORE, np.uint8)
    places[list(among)] = np.arange(len(among))
    matrix = confusion(distance.argmin(axis=-1).astype(np.uint8), places[classes], len(among))
    return semantic_scores(matrix)["mIoU"]


def common(prompt: Pair, query: Pair) -> list[int]:
    """The classes that both show."""
    return sorted({*prompt.visible} & {*query.visible})
