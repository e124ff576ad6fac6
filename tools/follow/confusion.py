"""Which task's truth an output fits best, by the task that its prompt shows.

The measure: PSNR to a task's truth, weighted as in its loss, less the mean PSNR that the truths of the other tasks
reach against it. What is taken away is known before anything is painted, so a painter that ignores its prompt has
the same column for all prompts, and is right once in n; and a truth that most pictures resemble, or a nearly black
one, earns nothing by that.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data.tasks import Task
from data.tasks.base import Picture
from engine.inpaint import Prompt
from tools.follow.queries import Paint, Query, weights

CAP = 60.0  # dB, of a picture that is right to the last bit

Matrix = NDArray[np.float64]


class Confusion(NamedTuple):
    """A row a prompted task, a column a truth, in the order of `tasks`."""

    tasks: list[Task]
    shares: Matrix
    """(n, n) of 0..1: of the outputs below such a prompt those that fit this truth best"""
    psnr: Matrix
    """(n, n) dB, the mean"""

    @property
    def followed(self) -> float:
        """The share of outputs that fit the prompted task best; 1 / n for a painter that ignores prompts."""
        return float(self.shares.diagonal().mean())


def confusion(paint: Paint, queries: Sequence[Query], prompts: Mapping[Task, Sequence[Prompt]], name: str) -> Confusion:
    """Paint all queries below all prompts of their truths' tasks, which the queries have in common."""
    tasks, images = list(queries[0].truths), [query.image for query in queries]
    chances = [chance(query) for query in queries]
    work = [(row, prompt) for row, task in enumerate(tasks) for prompt in prompts[task]]
    shares, values = np.zeros((2, len(tasks), len(tasks)))
    for row, prompt in tqdm(work, name, unit="prompt"):
        for query, usual, output in zip(queries, chances, paint(prompt, images), strict=True):
            found = nearness(output, query)
            shares[row, np.argmax(found - usual)] += 1
            values[row] += found
    num = shares.sum(axis=1, keepdims=True)
    return Confusion(tasks, shares / num, values / num)


def nearness(output: Picture, query: Query) -> Matrix:
    """PSNR (n,) in dB to each truth, at most CAP; values weigh as in the loss of its task: joints more than black."""
    found = [_psnr(output, truth, weights(task, truth)) for task, truth in query.truths.items()]
    return np.array(found).clip(max=CAP)


def _psnr(output: Picture, truth: Picture, weight: Matrix) -> float:
    error = np.average((output / 255 - truth / 255) ** 2, weights=weight)
    return float(-10 * np.log10(error)) if error else CAP


def chance(query: Query) -> Matrix:
    """(n,): the mean nearness to each truth of the truths of the others."""
    table = np.stack([nearness(truth, query) for truth in query.truths.values()])
    np.fill_diagonal(table, np.nan)
    return np.asarray(np.nanmean(table, axis=0))
