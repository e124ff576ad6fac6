"""A row of a measurement: a piece of work done our way and the plain way, in turn in one run."""

import logging
import math
import re
import statistics
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Row(NamedTuple):
    """One piece of work, done both ways."""

    work: str
    ours_s: float
    """median seconds"""
    baseline_s: float | None
    """of the plain way; None where there is no other"""
    ratio: float | None
    """how many times as long the plain way takes"""
    rel_error: float | None
    """how far ours is from the plain result"""
    extra: dict[str, float | str]
    """what else was measured: samples_per_s, tflop_per_s, share_of_matmul_rate, peak_memory_gb ..."""

    def flat(self) -> dict[str, Any]:
        """All of it, for JSON; infinite errors as text."""
        values = self._asdict()
        values |= values.pop("extra")
        return {key: str(value) if value == float("inf") else value for key, value in values.items()}


def row(work: str, ours_s: float, baseline_s: float, rel_error: float | None, **extra: float | str) -> Row:
    """With the ratio of both times."""
    return Row(work, ours_s, baseline_s, baseline_s / ours_s, rel_error, extra)


def interleaved(ours: Callable[[], Any], baseline: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Median seconds of both."""
    mine, other = take_turns([ours, baseline], repeats)
    return mine, other


def take_turns(works: Sequence[Callable[[], Any]], repeats: int) -> list[float]:
    """Median seconds of works that take turns, so that other work on the machine disturbs all alike."""
    rounds = [[seconds(work) for work in works] for _ in range(repeats)]
    return [statistics.median(times) for times in zip(*rounds, strict=True)]


@contextmanager
def left_out_if_it_fails(work: str) -> Iterator[None]:
    """What needs more memory than there is, or a kernel that there is not, costs its own row alone."""
    try:
        yield
    except RuntimeError as error:
        logging.warning("%s is left out: %s", work, textwrap.shorten(str(error), 200))
        torch.cuda.empty_cache()


def seconds(work: Callable[[], Any]) -> float:
    """How long it takes, on a GPU until it has finished."""
    wait()
    start = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - start


def wait() -> None:
    """Until a GPU, if one is in use, has done all it was given."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def relative_error(found: Tensor, expected: Tensor) -> float:
    """L2 norm of the difference over that of what is expected."""
    found, expected = found.detach().double(), expected.detach().double()
    return float((found - expected).norm() / expected.norm())


def peak_gb(work: Callable[[], Any]) -> float:
    """The most memory meanwhile: of tensors on the GPU, or of this process; NaN where the system does not tell."""
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
        work()
        return torch.cuda.max_memory_allocated() / 1e9
    if not Path("/proc/self/clear_refs").exists():
        return math.nan
    Path("/proc/self/clear_refs").write_text("5")  # Linux forgets the peak
    work()
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024 / 1e9


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch's work inside runs on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
