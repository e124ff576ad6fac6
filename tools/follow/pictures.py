"""What an output owes to its prompt, to look at: follow.png, palette.png and restorations.png."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.random import Generator

from data.tasks import Task
from data.tasks.base import Picture
from data.tasks.semantic import Semantic
from engine.inpaint import Prompt, picture_of
from tools.follow.palette import KINDS, Drawn, trials
from tools.follow.queries import Paint, Query
from tools.follow.restoration import Mixed
from tools.follow.sheet import sheet

Row = tuple[str, Sequence[Picture | None]]


def follow_picture(paint: Paint, queries: Mapping[str, Query], prompts: Mapping[Task, Prompt]) -> Picture:
    """Each query beside its paintings below every prompt, which stand on top."""
    sides = [[picture_of(prompt[side]) for prompt in prompts.values()] for side in (0, 1)]
    images = [query.image for query in queries.values()]
    outputs = zip(*(paint(prompt, images) for prompt in prompts.values()), strict=True)
    rows: list[Row] = [("prompt: image", [None, *sides[0]]), ("and its target", [None, *sides[1]])]
    rows += [(name, [query.image, *row]) for (name, query), row in zip(queries.items(), outputs, strict=True)]
    return sheet(["query", *(task.name for task in prompts)], rows)


def palette_picture(paint: Paint, drawn: Mapping[Semantic, Sequence[Drawn]], rng: Generator) -> Picture:
    """A query below each prompt: for each kind of colours the prompt's target and the output beside it."""
    rows: list[Row] = []
    for task, (prompt, (query, *_)) in ((task, given) for task, found in drawn.items() for given in found):
        (group,) = trials(paint, task, prompt, [query], rng)
        cells = [cell for trial in group for cell in (trial.target, trial.output)]
        rows.append((task.name, [prompt.image, *cells[:1], query.image, *cells[1:]]))
    columns = [name for kind in KINDS for name in (f"in {kind} colours", "output")]
    return sheet(["prompt: image", *columns[:1], "query", *columns[1:]], rows)


def restorations_picture(
    paint: Paint,
    unseen: Mapping[str, tuple[Prompt, Picture, Picture]],
    photo: Mixed,
    prompts: Mapping[Task, Prompt],
) -> Picture:
    """Damages that training has not shown: prompt, query, output, truth; then noise and rain below either prompt."""
    rows = [(name, _row(paint, *given)) for name, given in unseen.items()]
    for task, truth in photo.truths.items():
        rows.append((f"noise and rain: {task.name}", _row(paint, prompts[task], photo.query, truth)))
    return sheet(["prompt: image", "its target", "query", "output", "truth"], rows)


def _row(paint: Paint, prompt: Prompt, query: Picture, truth: Picture) -> list[Picture]:
    return [*map(picture_of, prompt), query, np.asarray(paint(prompt, [query])[0]), truth]
