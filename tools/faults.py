"""A start of a training run as a group of processes, and the ways to strike it."""

import json
import os
import random
import re
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.checkpoint import LAST
from engine.stop import STATUS

REPOSITORY = Path(__file__).parents[1]
SMALL_DISK = 2**20  # bytes of a file: enough for the record, too few for a rank's share of a checkpoint
MARK = "PAINTER_FAULT_LAUNCH"  # the environment variable by which all processes of a launch are found


class Fault(Exception):
    """What should not happen; the message says what."""


@dataclass
class Launch:
    """The processes of one start of the run."""

    command: Sequence[str]
    folder: Path
    ranks: int
    timeout: float

    def __post_init__(self) -> None:
        """Start them."""
        self.output = self.folder.with_name(f"{self.folder.name}_launch_{time.time_ns()}.txt")
        self.status_file = self.output.with_suffix(".status")
        self.begin = newest(self.folder)
        ours = {
            MARK: str(self.output),
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONFAULTHANDLER": "1",
            "OMP_NUM_THREADS": "1",
        }
        ours |= {"PAINTER_STATUS_FILE": str(self.status_file)} if self.ranks > 1 else {}
        with self.output.open("w") as file:
            self.process = subprocess.Popen(
                self.command, env={**os.environ, **ours}, stdout=file, stderr=file, start_new_session=True
            )
        self.started = time.monotonic()

    def processes(self) -> dict[int, int]:
        """All that live, with loader processes: id -> its parent's."""
        found, mark = {}, f"{MARK}={self.output}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has ended, or is another user's
        return found

    def trainers(self) -> list[int]:
        """The process of each rank."""
        top = self.process.pid
        return [pid for pid, parent in self.processes().items() if parent == top] if self.ranks > 1 else [top]

    def send(self, number: int, pids: Sequence[int]) -> None:
        """Signal those that still live."""
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def kill(self) -> None:
        """kill -9, until nobody lives."""
        while pids := list(self.processes()):
            self.send(signal.SIGKILL, pids)
            time.sleep(0.01)
        self.process.wait()

    def wait(self, condition: Callable[[], object]) -> None:
        """Return when it holds; Fault if the launch ends or hangs before."""
        while not condition():
            if self.process.poll() is not None and not condition():
                raise Fault(f"ended before it was struck, with status {self.process.returncode}")
            self._look_at_clock()
            time.sleep(0.001)

    def end(self) -> int:
        """The exit status when nobody lives any more; Fault if they hang."""
        while self.process.poll() is None or self.processes():
            self._look_at_clock()
            time.sleep(0.02)
        return self.process.returncode

    def _look_at_clock(self) -> None:
        if time.monotonic() > self.started + self.timeout:
            self.send(signal.SIGABRT, list(self.processes()))  # each prints where it hangs
            time.sleep(2)
            self.kill()
            raise Fault("a launch hangs")

    def text(self) -> str:
        """What they have printed."""
        return self.output.read_text(errors="replace")

    def step(self) -> int:
        """The newest step of the record, once this launch has dropped what an earlier one left there."""
        return max(losses(self.folder), default=(0, 0.0))[0] if "train: " in self.text() else self.begin

    def saving(self) -> bool:
        """Whether a checkpoint is being written, or was when they were killed."""
        return any(self.folder.glob(".step_*"))

    def resumed(self) -> int | None:
        """The step from which it went on; None if it ended before that."""
        found = re.search(r"going on from .*, step (\d+)", self.text())
        return int(found[1]) if found else 0 if "train: " in self.text() else None


def losses(folder: Path) -> list[tuple[int, float]]:
    """Steps and losses as the record has them, but for a line that is cut off."""
    path = folder / "log.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    found = [json.loads(line) for line in lines if line.endswith("\n") and '"train/loss"' in line]
    return [(line["step"], line["train/loss"]) for line in found]


def checkpoints(folder: Path) -> list[Path]:
    """Those of a run, oldest first."""
    return sorted(folder.glob("step_*"))


def newest(folder: Path, place: int = 1) -> int:
    """The step of the newest checkpoint, or of the second newest; 0 where there is none."""
    steps = [int(path.name.removeprefix("step_")) for path in checkpoints(folder)]
    return [0, 0, *steps][-place]


# Ways to strike a launch. When one returns, none of its processes lives.


def at_once(launch: Launch, rng: random.Random) -> None:
    """kill -9 of all."""
    launch.kill()


def in_save(launch: Launch, rng: random.Random) -> None:
    """kill -9 of all while a checkpoint is written."""
    while True:
        launch.wait(lambda: not launch.saving())
        pids = list(launch.processes())
        launch.wait(launch.saving)
        time.sleep(rng.choice([0.0, rng.uniform(0, 0.1)]))
        launch.send(signal.SIGSTOP, pids)
        if launch.saving():
            return launch.kill()
        launch.send(signal.SIGCONT, pids)


def one_rank(launch: Launch, rng: random.Random) -> None:
    """kill -9 of one rank: the others end by themselves."""
    launch.send(signal.SIGKILL, [rng.choice(launch.trainers())])
    launch.end()


def launcher(launch: Launch, rng: random.Random) -> None:
    """kill -9 of torchrun alone, if there is one: the ranks end by themselves."""
    launch.send(signal.SIGKILL, [launch.process.pid])
    launch.end()


def start_up(launch: Launch, rng: random.Random) -> None:
    """kill -9 of all, or SIGTERM, in the first seconds, or soon after the first word."""
    if rng.random() < 0.5:
        launch.wait(launch.text)
    time.sleep(rng.uniform(0, 4))
    if rng.random() < 0.5:
        launch.send(signal.SIGTERM, [launch.process.pid])
        launch.end()
    launch.kill()


def sigterm(launch: Launch, rng: random.Random) -> None:
    """SIGTERM to the first process, or to all, as schedulers do."""
    _stop(launch, signal.SIGTERM, rng.choice([[launch.process.pid], list(launch.processes())]))


def sigusr1(launch: Launch, rng: random.Random) -> None:
    """SIGUSR1 to one rank: all stop."""
    _stop(launch, signal.SIGUSR1, [rng.choice(launch.trainers())])


def _stop(launch: Launch, number: int, pids: list[int]) -> None:
    """A signal that ends the step, saves, and gives the status for it."""
    launch.send(number, pids)
    status = launch.end()
    if launch.ranks > 1:
        status = int(launch.status_file.read_text()) if launch.status_file.exists() else status
    if status != STATUS or newest(launch.folder) != launch.step():
        raise Fault(f"status {status}, last step {launch.step()}, saved at {newest(launch.folder)}")


def full_disk(launch: Launch, rng: random.Random) -> None:
    """No room for the share of one rank, or of all: the run goes on. Then kill -9 of all."""
    for pid in rng.choice([pids := launch.trainers(), [rng.choice(pids)]]):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (SMALL_DISK, resource.RLIM_INFINITY))
    launch.wait(lambda: re.search("checkpoint .*failed", launch.text()))
    step = launch.step()
    launch.wait(lambda: launch.step() > step)
    launch.kill()


def damage(launch: Launch, rng: random.Random) -> None:
    """kill -9 of all; then a bit of the newest checkpoint is flipped, or a file of it cut, and `last` may be gone."""
    launch.wait(lambda: len(checkpoints(launch.folder)) > 1)
    launch.kill()
    path = rng.choice(sorted(checkpoints(launch.folder)[-1].iterdir()))
    content, place = bytearray(path.read_bytes()), rng.randrange(path.stat().st_size)
    content[place] ^= 1 << rng.randrange(7)
    path.write_bytes(content[:place] if rng.random() < 0.3 else content)
    if rng.random() < 0.5:
        (launch.folder / LAST).unlink()


KINDS = {
    way.__name__: way for way in (in_save, at_once, one_rank, launcher, start_up, sigterm, sigusr1, full_disk, damage)
}
