"""An end that is no failure: signals wait for the end of the step, and have a status of their own."""

import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn

from util.workers import SIGNALS

STATUS = 75  # EX_TEMPFAIL: run the same command again
INTERRUPTED = 128 + signal.SIGINT
DEAF = (signal.SIGINT, signal.SIGHUP)  # what a shell may let a process ignore for good; the launch script, only USR1


class Stopped(Exception):
    """A signal ended the run, after a checkpoint."""

    def __init__(self, step: int, status: int) -> None:
        """`status` is that of the process."""
        super().__init__(f"stopped after step {step}, with a checkpoint; the same command goes on from there")
        self.status = status


class StopSignals:
    """Notes SIGTERM, SIGUSR1, SIGHUP and Ctrl-C for the end of the step; a second Ctrl-C stops at once.

    Ctrl-C and SIGHUP that are ignored, as under nohup, stay so.
    """

    def __init__(self) -> None:
        self.heard: int | None = None
        self.before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            ignored = (number for number in DEAF if signal.getsignal(number) == signal.SIG_IGN)
            heeded = set(SIGNALS) - set(ignored)
            self.before = {number: signal.signal(number, self._hear) for number in heeded}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    @property
    def status(self) -> int:
        """The status of a process that stops now."""
        return INTERRUPTED if self.heard == signal.SIGINT else STATUS

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.heard == number == signal.SIGINT:
            raise KeyboardInterrupt
        first, self.heard = self.heard is None, number
        if first and int(os.environ.get("RANK", 0)) == 0:
            hint = "; Ctrl-C again stops at once" if number == signal.SIGINT else ""
            _say(f"\n{signal.Signals(number).name}: stopping after this step{hint}\n")


def _say(text: str) -> None:
    """To the terminal; where that was closed, nothing more is told."""
    try:
        os.write(2, text.encode())
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(nowhere, stream)


def forget_status() -> None:
    """Of an earlier start of this process; torchrun may start it again after a stop, when a node joins."""
    if file := os.environ.get("PAINTER_STATUS_FILE"):
        Path(file).write_text("")


def leave(status: int, message: str = "") -> NoReturn:
    """End the process with this status, or with a sentence and status 1, after which it shall not be started again.

    torchrun would start a process again that ends with another status than 0. Where PAINTER_STATUS_FILE names a file,
    the status goes there instead; the launch script passes it on.
    """
    if not (file := os.environ.get("PAINTER_STATUS_FILE")):
        sys.exit(message or status)
    if message:
        print(message, file=sys.stderr, flush=True)
    Path(file).write_text(str(status))
    sys.exit(0)
