"""Loader processes that leave all signals to the process that started them, and never outlive it.

A terminal sends Ctrl-C, and a scheduler SIGTERM or SIGUSR1, to all processes of a job; only the first can stop well.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from torch.utils.data import DataLoader

Batch = TypeVar("Batch")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)


def start(loader: DataLoader[Batch | ValueError]) -> Iterator[Batch]:
    """The loader's batches; its processes start now. A batch that is a ValueError is raised when its turn comes.

    An error raised in a loader process would bury its sentence in a traceback: return it there.
    """
    loader.worker_init_fn = _attend
    with _signals_wait():
        batches = iter(loader)
    return map(_raised, batches)


@contextmanager
def deaths_explained(option: str) -> Iterator[None]:
    """ValueError where a loader process died, which may be raised at any line; `option` sets how many there are."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise ValueError(
            f"a loader's process died, perhaps for want of memory or of room in /dev/shm; give a smaller {option}"
        ) from None


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Signals are heard at the end; processes that are started inside never hear them."""
    heard: list[int] = []
    alone = threading.current_thread() is threading.main_thread()  # which may set handlers
    handlers = {int(number): signal.signal(number, lambda n, _: heard.append(n)) for number in SIGNALS if alone}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for number in heard:
        signal.raise_signal(number)


def _attend(_: int) -> None:
    """Make this loader process deaf; a thread ends it with its parent, whatever it hangs in."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Return never: end the process when its parent is gone, or sends SIGTERM itself, as PyTorch does to stop it."""
    parent = multiprocessing.parent_process()
    assert parent
    is_served = multiprocessing.get_start_method() == "forkserver"  # by a process between, which ends with the parent
    above = os.getppid() if is_served else parent.pid  # which may be gone already
    while os.getppid() == above:
        heard = signal.sigtimedwait([signal.SIGTERM], 1.0)
        if heard and heard.si_pid == parent.pid:
            break
    os._exit(0)


def _raised(batch: Batch | ValueError) -> Batch:
    if isinstance(batch, ValueError):
        raise ValueError(str(batch))  # to raise what this frame holds makes a cycle that keeps the processes
    return batch
