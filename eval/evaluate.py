"""Paint, decode and measure every query once, whatever the number of processes and however often it is stopped."""

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from eval.benchmark import Benchmark, Case, Query, Record
from eval.painters import Paints
from eval.records import Records
from util.dist import World, from_main, gather
from util.workers import deaths_explained, start


class Prepared(NamedTuple):
    """A batch on its way from a loader's process to the painter."""

    cases: list[Case]
    views: NDArray[np.floating]
    """(N, V, 3, H, W); no tensor, for each that comes from a process keeps a file open"""


def evaluate(
    benchmark: Benchmark,
    paints: Paints,
    queries: Sequence[Query],
    records: Records,
    world: World,
    batch_size: int = 8,
    num_workers: int = 0,
    images: Path | None = None,
) -> tuple[list[Record], int]:
    """The record of each query, in their order, and how many are new, on rank 0; nothing on the others.

    `images`: a folder for the predictions. Ranks take batches in turn, and these do not depend on how many ranks
    there are, so the numbers do not either. Batches whose queries all have a record are not painted again, unless
    their files have changed since. What goes wrong on one rank is a ValueError on all.
    """
    done, keys, names = from_main(_state(queries, records, images) if world.is_main else ({}, {}, set()))
    batches = [queries[i : i + batch_size] for i in range(0, len(queries), batch_size)]
    todo = [batch for batch in batches if any(query.name in names for query in batch)]
    mine = todo[world.rank :: world.size]
    new: dict[str, Record] = {}
    problem = None
    try:
        judged = _judge_all(benchmark, paints, mine, num_workers, images)
        total = sum(map(len, mine))
        for name, record in tqdm(judged, benchmark.name, total, unit="image", disable=not world.is_main, smoothing=0.1):
            if (key := keys[name]) not in done:
                records.append(key, record, world.rank)
                new[key] = record
    except (ValueError, OSError) as error:
        problem = str(error)
    found, problems = zip(*(gather((new, problem)) or [({}, None)]), strict=True)
    if problem := from_main(next(filter(None, problems), None)):
        raise ValueError(problem)
    for part in found:
        done |= part
    return ([done[keys[query.name]] for query in queries] if world.is_main else []), sum(map(len, found))


def _state(
    queries: Sequence[Query], records: Records, images: Path | None
) -> tuple[dict[str, Record], dict[str, str], set[str]]:
    """Records there are; what those of the queries are called, by query; names of queries that are to be painted."""
    done = records.read()
    keys = {query.name: f"{query.name} {fingerprint(query):08x}" for query in queries}
    saved = {name for name in keys if not images or (images / f"{name}.png").is_file()}
    return done, keys, {name for name, key in keys.items() if key not in done or name not in saved}


def fingerprint(value: Any) -> int:
    """Of a query: what it holds, and for a file its size and time of change."""
    if isinstance(value, Path):
        status = value.stat()
        value = (status.st_size, status.st_mtime_ns)
    if isinstance(value, np.ndarray):
        return zlib.crc32(value.tobytes())
    if isinstance(value, tuple):
        value = tuple(map(fingerprint, value))
    return zlib.crc32(repr(value).encode())


class Loading(Dataset[Prepared | ValueError]):
    """Batches of queries, read and prepared; of one that cannot be read, the error."""

    def __init__(self, benchmark: Benchmark, paints: Paints, batches: Sequence[Sequence[Query]]) -> None:
        self.read, self.prepare, self.batches = benchmark.read, paints.prepare, batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Prepared | ValueError:
        try:
            cases = [self.read(query) for query in self.batches[index]]
            return Prepared(cases, torch.stack([self.prepare(case) for case in cases]).numpy())
        except ValueError as error:  # a loader's process would bury the sentence in a traceback
            return error


def _judge_all(
    benchmark: Benchmark, paints: Paints, batches: Sequence[Sequence[Query]], num_workers: int, images: Path | None
) -> Iterator[tuple[str, Record]]:
    """Names and records of all queries of these batches, read by loader processes."""

    def judge(case: Case, painted: Sequence[Tensor]) -> tuple[str, Record]:
        try:
            pred = benchmark.decode(painted, case)
            if images:
                benchmark.save(pred, images / case.name)
            return case.name, benchmark.measure(pred, case)
        except ValueError as error:
            raise ValueError(f"{benchmark.name}, {case.name}: {error}") from None

    loading, workers = Loading(benchmark, paints, batches), min(num_workers, len(batches))
    loader: DataLoader[Prepared | ValueError] = DataLoader(
        loading, batch_size=None, num_workers=workers, collate_fn=_as_it_is
    )
    with _explained():
        yield from _judged(start(loader), paints, judge, num_threads=max(1, num_workers))


@contextmanager
def _explained() -> Iterator[None]:
    """What a want of memory raises, as a sentence."""
    try:
        with deaths_explained("--num_workers"):
            yield
    except torch.OutOfMemoryError:
        raise ValueError("the device's memory does not hold a batch; give a smaller --batch_size") from None
    except RuntimeError as error:
        if "allocate memory" not in str(error):
            raise
        raise ValueError("the memory does not hold a batch; give a smaller --batch_size or --size") from None


def _as_it_is(batch: Any) -> Any:
    return batch  # the loader's own way would turn arrays into tensors


def _judged(
    batches: Iterable[Prepared],
    paints: Paints,
    judge: Callable[[Case, Sequence[Tensor]], tuple[str, Record]],
    num_threads: int,
) -> Iterator[tuple[str, Record]]:
    """Names and records; a batch is decoded and measured by threads while the next one is painted."""
    with ThreadPoolExecutor(num_threads) as pool:
        waiting: list[Future[tuple[str, Record]]] = []
        for batch in batches:
            painted = paints.paint(torch.from_numpy(batch.views).unbind())
            judging = [pool.submit(judge, case, views) for case, views in zip(batch.cases, painted, strict=True)]
            yield from (job.result() for job in waiting)
            waiting = judging
        yield from (job.result() for job in waiting)
