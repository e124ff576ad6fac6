"""Loader processes: deaf to a job's signals, gone with their parent, and their death is a sentence."""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from torch.utils.data import DataLoader, Dataset
from torch.utils.data._utils import signal_handling

from util.workers import SIGNALS, deaths_explained, start

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True, scope="module")
def nobody_else():
    """Other tests' processes, which their garbage still holds, end before these are counted."""
    gc.collect()
    for child in multiprocessing.active_children():
        child.kill()
        child.join()


class Squares(Dataset):
    """Of 0, 1, 2 ...; after `hang` of them a process reads forever."""

    def __init__(self, hang: int = 1000) -> None:
        self.hang = hang

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> int | ValueError:
        time.sleep(1000 if index >= self.hang else 0.005)
        return index**2


class Refusing(Squares):
    def __getitem__(self, index: int) -> int | ValueError:
        return ValueError("no 9") if index == 3 else index**2


def loader(dataset: Dataset, workers: int = 2) -> DataLoader:
    return DataLoader(dataset, batch_size=None, num_workers=workers)


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def ended(pid: int) -> bool:
    """Whether the process is gone, or a zombie that nobody waits for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_jobs_signals_do_not_end_loader_processes():
    """From another process, as a scheduler sends them: at once, and then again and again."""
    batches = start(loader(Squares()))
    pids = [child.pid for child in multiprocessing.active_children()]
    kill = " ".join(f"kill -{number.name[3:]} {pid};" for number in SIGNALS for pid in pids)
    found = []
    for i, batch in enumerate(batches):
        found.append(batch)
        if i % 10 == 0:
            subprocess.run(kill, shell=True, check=True)
    assert len(pids) == 2
    assert found == [i**2 for i in range(40)]
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("workers", [0, 2])
def test_signals_wait_while_processes_start(monkeypatch, number, workers):
    events = []
    original = DataLoader.__iter__

    def interrupted(self):
        batches = original(self)
        os.kill(os.getpid(), number)
        events.append("started")
        return batches

    monkeypatch.setattr(DataLoader, "__iter__", interrupted)
    before = signal.signal(number, lambda *_: events.append("heard"))
    try:
        assert list(start(loader(Squares(), workers))) == [i**2 for i in range(40)]
        assert events == ["started", "heard"]
        assert not signal.pthread_sigmask(signal.SIG_BLOCK, []) & set(SIGNALS)
        os.kill(os.getpid(), number)
        assert events == ["started", "heard", "heard"]
    finally:
        signal.signal(number, before)


def test_a_signal_between_fork_and_first_work_is_not_heard(monkeypatch):
    """Where PyTorch has set its own handler of SIGTERM already."""
    set_handlers = signal_handling._set_worker_signal_handlers

    def with_signals() -> None:
        set_handlers()
        subprocess.run(" ".join(f"kill -{n.name[3:]} {os.getpid()};" for n in SIGNALS), shell=True, check=True)

    monkeypatch.setattr(signal_handling, "_set_worker_signal_handlers", with_signals)
    assert list(start(loader(Squares()))) == [i**2 for i in range(40)]


SCRIPT = """
import multiprocessing, sys, time
from tests.util.test_workers import Squares, loader
from util.workers import start

batches = start(loader(Squares(hang=3)))
next(batches)
print(*(child.pid for child in multiprocessing.active_children()), flush=True)
"""


@pytest.fixture
def script():
    """Runs SCRIPT with another line; returns the process and the ids of its loader processes, one of which hangs."""
    started = []

    def run(line: str, before: str = SCRIPT) -> tuple[subprocess.Popen, list[int]]:
        command = [sys.executable, "-c", before + line]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        pids = [int(pid) for pid in process.stdout.readline().split()]
        started.extend([process.pid, *pids])
        return process, pids

    yield run
    for pid in started:
        if not ended(pid):
            os.kill(pid, signal.SIGKILL)


def test_no_loader_process_outlives_a_parent_that_is_killed(script):
    process, pids = script("time.sleep(1000)")
    assert len(pids) == 2
    assert not any(map(ended, pids))
    process.kill()
    assert wait_until(lambda: all(map(ended, pids)), 15)
    process.communicate()


def test_no_loader_process_outlives_a_parent_that_is_killed_before_it_works(script):
    line = """
from torch.utils.data._utils import signal_handling
signal_handling._set_worker_signal_handlers = lambda: time.sleep(2)
batches = start(loader(Squares()))
print(*(child.pid for child in multiprocessing.active_children()), flush=True)
time.sleep(1000)
"""
    process, pids = script(line, SCRIPT.partition("batches")[0])
    process.kill()
    assert len(pids) == 2
    assert not any(map(ended, pids))
    assert wait_until(lambda: all(map(ended, pids)), 15)
    process.communicate()


def test_a_program_ends_though_a_loader_process_hangs(script):
    process, pids = script("sys.exit('the end')")
    _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (1, "the end\n")
    assert all(map(ended, pids))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_that_is_returned_is_raised_in_its_turn(workers):
    batches = start(loader(Refusing(), workers))
    assert [next(batches) for _ in range(3)] == [0, 1, 4]
    with pytest.raises(ValueError, match=r"^no 9$"):
        next(batches)
    assert next(batches) == 16
    del batches
    assert not multiprocessing.active_children()


def test_the_death_of_a_loader_process_is_a_sentence():
    batches = start(loader(Squares(hang=4)))
    next(batches)
    os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
    with (
        pytest.raises(ValueError, match=r"^a loader's process died, .* a smaller --workers$"),
        deaths_explained("--workers"),
    ):
        list(batches)
    for child in multiprocessing.active_children():
        child.kill()


def test_other_errors_are_left_alone():
    with pytest.raises(RuntimeError, match=r"^shapes differ$"), deaths_explained("--workers"):
        raise RuntimeError("shapes differ")
