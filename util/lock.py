"""One process at a time in a folder, also over a network file system."""

import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

LOCK = ".lock"


@contextmanager
def held(folder: Path) -> Iterator[str]:
    """Make the folder and keep other processes out until the end, however this one ends; yields what `.lock` says.

    Raises ValueError with what the one who holds it wrote there. Where the file system knows no locks, it is a warning.
    """
    with _open(folder) as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # processes forked from this one do not inherit it
        except (BlockingIOError, PermissionError):
            file.seek(0)
            raise ValueError(
                f"{folder} is in use by {file.read()}; wait for its end, or choose another folder"
            ) from None
        except OSError as error:
            logging.warning(
                "%s cannot be locked (%s): make sure that no other run writes there", folder, error.strerror
            )
        owner = f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}"
        file.truncate(0)
        file.write(owner)
        file.flush()
        yield owner


def _open(folder: Path) -> TextIO:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / LOCK).open("a+")
    except OSError as error:
        raise ValueError(f"{folder} cannot be written to ({error.strerror}); choose another folder") from None


def check_shared(folder: Path, owner: str, patience: float = 10) -> None:
    """ValueError unless this process sees the folder in which `owner` wrote; network file systems take some seconds."""
    deadline = time.monotonic() + patience
    while not (folder / LOCK).exists() or (folder / LOCK).read_text() != owner:
        if time.monotonic() > deadline:
            raise ValueError(
                f"{folder} of rank 0 is not there on {socket.gethostname()}; choose one that all nodes share"
            )
        time.sleep(0.1)
