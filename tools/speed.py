"""Measure this code beside the plain way to do the same, and how far the results differ.

    python tools/speed.py decode

prints a row for each piece of work: seconds of ours and of the plain way, their ratio, and the largest error
(0 or rounding; infinite where masks or classes differ). The plain way takes minutes. `--json`: one JSON object.
Decoding runs on one thread, so that other work on the machine disturbs it little.
"""

import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
import tyro
from torch import Tensor
from tyro.conf import Positional

from data.tasks.instance import COCO_INSTANCE, Instances
from data.tasks.semantic import ADE20K_SEMANTIC
from tools import plain_decode

SIZE = (480, 640)  # (h, w)
NOISE = 5.0  # of a painted prediction, standard deviation of bytes


class Row(NamedTuple):
    """One piece of work, done both ways."""

    work: str
    ours_s: float
    """median"""
    baseline_s: float
    """of one run, as it is slow"""
    ratio: float
    max_error: float


def decode(quick: bool) -> list[Row]:
    """Painted predictions -> labels; all but `quick` adds the worst case, random colours."""
    rng = np.random.default_rng(0)
    random = torch.from_numpy(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8))
    rows = [
        _instances("instance_decode_480x640", _painted_instances(rng), quick),
        _compare(
            "semantic_decode_480x640",
            lambda: ADE20K_SEMANTIC.nearest(random),
            lambda: plain_decode.semantic(ADE20K_SEMANTIC.palette, random),
            lambda ours, plain: 0.0 if torch.equal(ours, plain.byte()) else float("inf"),
            quick,
        ),
    ]
    return rows if quick else [*rows, _instances("instance_decode_480x640_random_colors", random, quick)]


def _instances(work: str, image: Tensor, quick: bool) -> Row:
    return _compare(
        work,
        lambda: COCO_INSTANCE.instances(image),
        lambda: plain_decode.instances(COCO_INSTANCE.palette, image),
        instance_error,
        quick,
    )


def instance_error(ours: Instances, plain: Instances) -> float:
    """The largest difference of scores; infinite unless the masks are the same, whatever their order."""
    our_masks, plain_masks = (sorted(mask.numpy().tobytes() for mask in x.masks) for x in (ours, plain))
    return float((ours.scores - plain.scores).abs().max()) if our_masks == plain_masks else float("inf")


def _compare(
    work: str,
    ours: Callable[[], Any],
    plain: Callable[[], Any],
    error: Callable[[Any, Any], float],
    quick: bool,
) -> Row:
    """Both ways, timed side by side; the first run of ours only warms up."""
    result, _ = _timed(ours)
    expected, baseline = _timed(plain)
    median = statistics.median(_timed(ours)[1] for _ in range(5 if quick else 15))
    return Row(work, median, baseline, baseline / median, error(result, expected))


def _timed(function: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = function()
    return result, time.perf_counter() - start


def _painted_instances(rng: np.random.Generator, num: int = 20) -> Tensor:
    """Ellipses painted as instances, with noise: (H, W, 3) bytes of many ten thousand colours."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    index = np.zeros(SIZE, np.uint16)
    for i in range(num):
        (top, left), (height, width) = rng.uniform(0, SIZE), rng.uniform(20, 90, 2)
        index[((y - top) / height) ** 2 + ((x - left) / width) ** 2 < 1] = i + 1
    painted = COCO_INSTANCE.paint(index, num) + rng.normal(0, NOISE, (*SIZE, 3))
    return torch.from_numpy(painted.clip(0, 255).astype(np.uint8))


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch's work inside runs on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


WORKS = {"decode": decode}


def main(
    work: Annotated[Positional[Literal["decode"]], tyro.conf.arg(metavar="WORK")],
    quick: bool = False,
    json_: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> int:
    """Measure one kind of work on this machine.

    Args:
        work: what to measure
        quick: fewer repeats, no worst case
        json_: print one JSON object instead of a table
    """
    with one_thread():
        rows = WORKS[work](quick)
    if json_:
        machine = {"cpu": platform.processor() or platform.machine(), "threads": 1, "torch": torch.__version__}
        print(json.dumps({"rows": [row._asdict() for row in rows], "machine": machine}))
        return 0
    print(f"{'work':40s} {'ours':>10s} {'plain':>10s} {'ratio':>7s} {'error':>8s}")
    for row in rows:
        print(f"{row.work:40s} {row.ours_s:8.4f} s {row.baseline_s:8.2f} s {row.ratio:7.0f} {row.max_error:8.1e}")
    return 0


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
