"""Work on many items in processes: a progress bar, and an end without debris on Ctrl-C."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing.synchronize import Event
from typing import TypeVar

import torch
from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")

_stop: Event | None = None  # of this process, if it works for a pool


def run_all(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    report: Callable[[Result], None],
    num_workers: int | None = None,
    unit: str = "it",
    window: int = 4096,
    chunk: int = 1,
) -> None:
    """`report(function(item))` of every item, in order; else as `results`."""
    for result in results(function, items, num_workers, unit, window, chunk):
        report(result)


def results(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    num_workers: int | None = None,
    unit: str = "it",
    window: int = 4096,
    chunk: int = 1,
    title: str | None = None,
) -> Iterator[Result]:
    """`function(item)` of every item, in order, with a progress bar.

    `num_workers`: None or 0: one a core; 1: this process. `window` items are handed to all processes at a time,
    `chunk` to one.
    """
    num_workers = min(num_workers or os.cpu_count() or 1, len(items))
    if num_workers < 2:
        yield from map(function, tqdm(items, title, unit=unit, disable=not items))
        return
    pool, stop = _start(num_workers)
    try:
        with tqdm(total=len(items), desc=title, unit=unit) as bar:
            for start in range(0, len(items), window):  # map would queue all items at once
                for result in pool.map(partial(_call, function), items[start : start + window], chunksize=chunk):
                    yield result  # type: ignore[misc]
                    bar.update()
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def stopping() -> bool:
    """Whether the work of this process is no longer wanted: long functions ask it now and then, and return."""
    return _stop is not None and _stop.is_set()


def say(line: str) -> None:
    """Print a line above the progress bar."""
    with tqdm.external_write_mode():
        print(line, flush=True)


@contextmanager
def one_line_errors(stopped: str = "stopped") -> Iterator[None]:
    """End the program with a sentence instead of a traceback; on Ctrl-C print `stopped`, and exit status 130."""
    try:
        yield
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except BrokenProcessPool:
        sys.exit("error: a working process died, perhaps for want of memory; give a smaller number of workers")
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


def _start(num_workers: int) -> tuple[ProcessPoolExecutor, Event]:
    context = multiprocessing.get_context("forkserver")  # a fork of a process that has threads may hang
    context.set_forkserver_preload(_ours())  # imported once, for all workers
    stop = context.Event()
    pool = ProcessPoolExecutor(num_workers, context, initializer=_begin, initargs=(stop,))
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for this process: workers start deaf to it
    pool.submit(int).result()
    signal.signal(signal.SIGINT, interrupt)
    return pool, stop


def _ours() -> list[str]:
    """Modules of this repository that are imported by now: workers will import them, or the script that does."""
    packages = {"configs", "data", "engine", "eval", "models", "tools", "util"}
    return [name for name in sys.modules if name.partition(".")[0] in packages]


def _begin(stop: Event) -> None:
    global _stop
    _stop = stop
    torch.set_num_threads(1)  # there is a process a core already
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _call(function: Callable[[Item], Result], item: Item) -> Result | None:
    return None if stopping() else function(item)
