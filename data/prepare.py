"""From downloads to pair lists: what no download holds is painted to files, once; it can be stopped at any time."""

import io
import json
import os
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.roots import Absent, Roots, listing, places
from data.tasks import Entry, Job, Task
from util.files import write
from util.parallel import run_all, say, stopping

NOWHERE = Path(os.devnull, "nowhere")  # a data root that holds nothing


class Counts(NamedTuple):
    """What a preparation did."""

    made: int
    """files"""
    there: int
    """pairs whose files were all there before"""
    listed: int
    """pairs; 0: no list was written"""
    broken: int
    """jobs and pairs that could not be made; each was told in a sentence"""
    left_out: int
    """pairs with nothing to show, or broken ones"""


class Result(NamedTuple):
    """Of a job: the paths it yielded, how many files that wrote, and what stopped it."""

    paths: list[str]
    written: int
    fault: str | None


class Files:
    """Which files there are in the roots, by listing their folders once, and which have been made since."""

    def __init__(self, roots: Roots) -> None:
        self.made: set[str] = set()
        self._names = cache(partial(listing, roots))

    def has(self, entry: Entry) -> bool:
        """Whether image and target of a pair are there."""
        return not self.missing(entry)

    def missing(self, entry: Sequence[Any]) -> list[str]:
        """Of an image path and a target path, those that are not there."""
        return [
            path
            for path in entry[:2]
            if path not in self.made and os.path.basename(path) not in self._names(os.path.dirname(path))
        ]


def find_jobs(task: Task, roots: Roots, split: str, offline: bool = False) -> list[Job] | None:
    """The task's pairs and how to make them; None if not even the first thing that it looks for is there.

    Raises ValueError where something is there and something else is missing, broken or foreign.
    """
    try:
        return task.sources(roots, split, offline)
    except Absent as error:
        if error.path == _first_need(task, split, offline):
            return None
        raise


def prepare(
    task: Task,
    roots: Roots,
    out: Path,
    split: str,
    num_workers: int | None = None,
    offline: bool = False,
    skip_broken: bool = False,
) -> Counts | None:
    """Make the files of a split that are neither in `roots` nor in `out`, below `out`, and write its pair list there.

    None if nothing of the source is downloaded. The same bytes again on a second call. A broken download is
    printed and the rest is made; the list is then only written with `skip_broken`, without the broken pairs.
    Raises ValueError as `Task.sources`, and where nothing is left to list.
    """
    if (jobs := find_jobs(task, (*roots, out), split, offline)) is None:
        return None
    there = Files((*roots, out))
    entries = [entry for job in jobs for entry in job.entries]
    before = sum(map(there.has, entries))
    lost = [entry for job in jobs if not job.make for entry in job.entries if not there.has(entry)]
    written, faults = _make_all(jobs, there, out, num_workers)
    for entry in lost:
        say(f"{there.missing(entry)[0]} is not under {places(roots)}; download it again")
    broken = faults + len(lost)
    kept = [entry for entry in entries if there.has(entry)]
    if listed := not broken or skip_broken:
        write_list(out / task.lists[split], task, kept)
    return Counts(written, before, len(kept) * listed, broken, len(entries) - len(kept))


def _make_all(jobs: Iterable[Job], there: Files, out: Path, num_workers: int | None) -> tuple[int, int]:
    """Make what is not there, and note it; how many files were written, and how many jobs are broken."""
    written, faults = [], []

    def report(result: Result) -> None:
        there.made.update(result.paths)
        written.append(result.written)
        if result.fault:
            faults.append(result.fault)
            say(result.fault)

    run_all(partial(make_files, out), [*_unmade(jobs, there)], report, num_workers, "job")
    return sum(written), len(faults)


class Unmade(NamedTuple):
    """What is left to do of a job: the paths of its incomplete pairs."""

    make: Callable[[], Iterable[tuple[str, NDArray[Any]]]]
    paths: frozenset[str]


def make_files(out: Path, job: Unmade) -> Result:
    """Write what a job yields for its incomplete pairs; a partner that is there with the same bytes stays as it is."""
    paths: list[str] = []
    written, files = 0, iter(job.make())
    while not stopping():
        try:
            path, pixels = next(files)
        except StopIteration:
            break
        except ValueError as error:
            return Result(paths, written, str(error))
        except Exception as error:  # whatever a decoder may raise: the others are still to be made
            return Result(paths, written, f"{min(job.paths)}: {error!r}; download again what it is made of")
        if path in job.paths:
            content, file = encode(path, pixels), out / path
            if file.is_file() and file.read_bytes() != content:
                return Result(paths, written, f"{file} is there with other pixels; remove it to have it made again")
            written += write(file, content)  # an error here is the disk's: it ends all
            paths.append(path)
    return Result(paths, written, None)


def encode(path: str, pixels: NDArray[Any]) -> bytes:
    """(H, W, 3) bytes, or (H, W) of 8 or 16 bits, as PNG or, by OpenCV with quality 95, as JPEG."""
    if path.endswith(".jpg"):
        return cv2.imencode(".jpg", np.ascontiguousarray(pixels[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 95])[
            1
        ].tobytes()
    Image.fromarray(pixels).save(png := io.BytesIO(), "PNG", compress_level=4)
    return png.getvalue()


def write_list(path: Path, task: Task, entries: Iterable[Entry]) -> None:
    """A pair list; ValueError if it would be empty."""
    lines = []
    for entry in entries:
        label = {} if entry.label is None else {"label": entry.label}
        pair = {"image_path": entry.image_path, "target_path": entry.target_path, "type": task.type, **label}
        lines.append(json.dumps(pair, separators=(", ", ": ")))
    if not lines:
        raise ValueError(
            f"{path} would list no pair: nothing in the downloads shows any; docs/DATA.md says what is due"
        )
    write(path, "".join(("[", ",\n ".join(lines), "]\n")).encode())


def _unmade(jobs: Iterable[Job], there: Files) -> Iterable[Unmade]:
    for job in jobs:
        paths = frozenset(path for entry in job.entries if not there.has(entry) for path in entry[:2])
        if job.make and paths:
            yield Unmade(job.make, paths)


def _first_need(task: Task, split: str, offline: bool) -> str | None:
    """What the task misses first where there is nothing."""
    try:
        task.sources([NOWHERE], split, offline)
    except Absent as error:
        return error.path
    return None
