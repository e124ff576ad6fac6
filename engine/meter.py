"""What a run is seen by: speed, waiting, memory, and the loss of each source, since the last record."""

import logging
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile, schedule, tensorboard_trace_handler

from engine.outcome import send
from util.dist import World, all_sum
from util.logger import Scalars

T = TypeVar("T")


class Meter:
    """Sums over steps and samples; `read` turns them into means and begins anew."""

    def __init__(
        self, sources: Mapping[str, str], world: World, step_samples: int, step_flops: float, peak: float
    ) -> None:
        """`sources`: name by pair list. `peak`: FLOP/s that all ranks could make at best."""
        self.names, self.lists = list(sources.values()), list(sources)
        self.world, self.samples, self.flops, self.peak = world, step_samples, step_flops, peak
        self.rows: list[int] = []
        self.values: list[Tensor] = []
        self._begin()

    def _begin(self) -> None:
        self.steps, self.waited, self.started = 0, 0.0, time.perf_counter()
        self.table = torch.zeros(len(self.names), 2, dtype=torch.float64, device=self.world.device)

    def waiting(self, batches: Iterator[T]) -> T:
        """The next batch, whose wait counts."""
        started = time.perf_counter()
        batch = next(batches)
        self.waited += time.perf_counter() - started
        return batch

    def add(self, sources: Sequence[str], errors: Tensor, weights: Tensor) -> None:
        """Count samples of these pair lists: weighted errors and weights of each, (N,)."""
        self.rows += map(self.lists.index, sources)
        self.values.append(torch.stack((errors, weights), dim=1))

    def end_step(self) -> None:
        """Count an optimiser step, and what was added in it."""
        self.steps += 1
        if self.values:
            both = torch.cat(self.values).double()
            finite = torch.where(both.isfinite().all(1, keepdim=True), both, 0.0)
            self.table.index_add_(0, send(self.rows, torch.int64, self.table.device), finite)
        self.rows, self.values = [], []

    def read(self) -> Scalars:
        """Means since the last call, of which all ranks must make the same."""
        seconds = time.perf_counter() - self.started
        found = {
            "samples_per_second": self.samples * self.steps / seconds,
            "data_wait": self.waited / seconds,
            "mfu": self.flops * self.steps / seconds / self.peak,
            "memory_gb": memory(self.world.device) / 1e9,
        }
        for name, (error, weight) in zip(self.names, all_sum(self.table).tolist(), strict=True):
            if weight > 0:
                found[f"{name}/loss"] = error / weight
        self._begin()
        return found


def memory(device: torch.device) -> int:
    """The most bytes in use so far: of a GPU's tensors, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@contextmanager
def profiler(steps: int, folder: Path, world: World) -> Iterator[Callable[[], None]]:
    """Record `steps` steps, after two of warm-up, as a trace in `folder` for each rank; yields what ends a step."""
    if not steps:
        yield lambda: None
        return
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if world.device.type == "cuda" else [])]
    with profile(
        activities=activities,
        schedule=schedule(wait=0, warmup=2, active=steps, repeat=1),
        on_trace_ready=tensorboard_trace_handler(str(folder), f"rank{world.rank}", use_gzip=True),
    ) as recorded:
        yield recorded.step
    logging.info("the profiler's trace is in %s", folder)
