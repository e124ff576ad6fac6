"""What a data root holds of a source, what is wrong with it, and the commands that mend it."""

import json
import random
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from data.pairs import Pair, read_pair, read_pairs
from data.prepare import Files, find_jobs
from data.roots import Roots, find, has
from data.tasks import Entry, Job, Task, task_of
from util.parallel import run_all

DRY_RUNS = 50  # jobs that are tried for missing pairs: they may have nothing to show


Key = tuple[str, str, str | None]  # image, target and label as JSON


class Reading(NamedTuple):
    """How much is read."""

    sample: int | None = 50
    """pairs of each list, None: all"""
    seed: int = 0
    num_workers: int | None = None


@dataclass
class Report:
    """What there is of a pair list, and what is wrong with it."""

    state: str = "present"
    """or `partial`, or `absent`"""
    listed: int = 0
    downloaded: int | None = None
    """pairs that the downloads give; None if they are not there"""
    read: int = 0
    faults: list[str] = field(default_factory=list)
    cures: list[str] = field(default_factory=list)
    """commands, in the order to run them"""

    def lacks(self, fault: str, *cures: str) -> None:
        """Note something that is missing."""
        self.state = "partial"
        self.ails(fault, *cures)

    def ails(self, fault: str, *cures: str) -> None:
        """Note something that is wrong."""
        self.faults.append(fault)
        self.cures += [cure for cure in cures if cure not in self.cures]


def examine(task: Task, split: str, roots: Roots, reading: Reading) -> Report:
    """Look at a pair list, at the files it names and at the downloads it is made of."""
    return _Examination(task, split, roots, reading).run()


class _Examination:
    """The making of a report."""

    def __init__(self, task: Task, split: str, roots: Roots, reading: Reading) -> None:
        self.task, self.split, self.roots, self.reading = task, split, roots, reading
        self.report, self.files = Report(), Files(roots)
        self.by_key: dict[Key, Job] = {}  # the downloads' pairs
        self.offline = False  # whether the list is that of the files that --offline paints
        self.spoilt: list[str] = []  # painted files that have to go before they are made again

    def run(self) -> Report:
        """The list first, then the downloads it may be of, then both beside each other."""
        pairs = self._list()
        jobs, self.offline = self._downloads(pairs or [])
        if jobs is not None:
            self.by_key = {key_of(entry): job for job in jobs for entry in job.entries}
            self.report.downloaded = len(self.by_key)
        if pairs is not None:
            self._listed(pairs)
        elif jobs is not None:
            self._unprepared(jobs)
        elif not self.report.faults:
            self.report.state = "absent"
        if self.spoilt:
            self.report.cures.insert(0, shlex.join(["rm", *self.spoilt]))
        return self.report

    def _list(self) -> list[Pair] | None:
        """The pair list; None if it is not there or no list."""
        path = self.task.lists[self.split]
        if not has(self.roots, path):
            return None
        try:
            return read_pairs(self.roots, path)
        except ValueError as error:
            self.report.ails(str(error), self._command())
            return None

    def _downloads(self, pairs: Sequence[Pair]) -> tuple[list[Job] | None, bool]:
        """What the downloads give, and whether painted to files instead of while loading: as the list is."""
        listed = {pair[:2] for pair in pairs}

        def fit(jobs: Sequence[Job]) -> bool:
            return any(entry[:2] in listed for job in jobs for entry in job.entries)

        try:
            jobs = find_jobs(self.task, self.roots, self.split)
            if jobs and listed and not fit(jobs):
                offline = find_jobs(self.task, self.roots, self.split, offline=True) or []
                return (offline, True) if fit(offline) else (jobs, False)
            return jobs, False
        except ValueError as error:
            self.report.lacks(str(error))
            return None, False

    def _command(self) -> str:
        """The command that makes what is missing, and the list."""
        roots = [str(root) for root in self.roots]
        out = [root for root in roots if Path(root, self.task.lists[self.split]).is_file()][:1]
        words = ["python", "tools/prepare.py", self.task.name, "--splits", self.split, "--root", *roots]
        return shlex.join(
            words + (["--out", *out] if out not in ([], roots[:1]) else []) + ["--offline"] * self.offline
        )

    def _unprepared(self, jobs: Sequence[Job]) -> None:
        self.report.lacks(f"downloaded, but {self.task.lists[self.split]} is not there or broken", self._command())
        tried = self._sample([job for job in jobs if job.make])
        self._run(fault_of_job, tried, lambda fault: self.report.ails(fault) if fault else None)

    def _listed(self, pairs: list[Pair]) -> None:
        self.report.listed = len(pairs)
        if foreign := next((pair for pair in pairs if pair.type != self.task.type), None):
            self.report.ails(f"{foreign}: type {foreign.type} where {self.task.type} is due", self._command())
        whole = []
        for pair in pairs:
            if missing := self.files.missing(pair):
                cures = self._remake(pair)
                how = "prepare" if cures else "download"
                self.report.lacks(f"{pair}: {' and '.join(missing)} is missing; {how} it again", *cures)
            else:
                whole.append(pair)
        self._compare(pairs)
        sample = self._sample(whole)
        self.report.read = len(sample)
        faults: list[str | None] = []
        self._run(partial(fault_of_pair, tuple(self.roots)), sample, faults.append)
        for pair, fault in zip(sample, faults, strict=True):
            if fault:
                self.report.ails(fault, *self._replace(pair, fault))

    def _compare(self, pairs: Sequence[Pair]) -> None:
        """Pairs of the downloads that the list lacks; some may have nothing to show, and are rightly left out."""
        unlisted = self.by_key.keys() - {(pair.image_path, pair.target_path, pair.label) for pair in pairs}
        jobs = list({id(self.by_key[key]): self.by_key[key] for key in unlisted}.values())
        made, cures = [job for job in jobs if job.make], [self._command()]
        not_judged = {id(job) for job in made[DRY_RUNS:]}
        unlisted -= {key for key in unlisted if id(self.by_key[key]) in not_judged}
        for job in made[:DRY_RUNS]:
            paths, fault = yields(job)
            empty = {key for key in unlisted if self.by_key[key] is job and not paths & set(key[:2])}
            unlisted -= set() if fault else empty
            if fault:
                self.report.ails(fault)
                cures = []  # while a download is broken, no command helps
        if unlisted:
            first = min(unlisted)[0]
            self.report.lacks(
                f"{self.task.lists[self.split]} lacks {len(unlisted)} of the downloads' pairs, first that of {first}",
                *cures,
            )

    def _remake(self, pair: Pair) -> list[str]:
        """The command that makes a missing file, if it is made and no download."""
        job = self.by_key.get((pair.image_path, pair.target_path, pair.label))
        return [self._command()] if job and job.make else []

    def _replace(self, pair: Pair, fault: str) -> list[str]:
        """The command that makes broken files again, if they are made and no downloads."""
        if not self._remake(pair):
            return []
        paths, broken_download = yields(self.by_key[pair.image_path, pair.target_path, pair.label])
        spoilt = [str(find(self.roots, path)) for path in pair[:2] if path in paths and path in fault]
        if broken_download:
            self.report.ails(broken_download)
        self.spoilt += spoilt
        return [self._command()] if spoilt else []

    def _sample(self, items: Sequence[Any]) -> list[Any]:
        rng = random.Random(self.reading.seed)
        count = len(items) if self.reading.sample is None else min(self.reading.sample, len(items))
        return [items[i] for i in sorted(rng.sample(range(len(items)), count))]

    def _run(
        self, function: Callable[[Any], str | None], items: Sequence[Any], report: Callable[[str | None], Any]
    ) -> None:
        run_all(function, items, report, self.reading.num_workers, f"{self.task.name} pair")


def key_of(entry: Entry) -> Key:
    """What tells a pair from another."""
    label = None if entry.label is None else json.dumps(entry.label, separators=(",", ":"))
    return entry.image_path, entry.target_path, label


def fault_of_pair(roots: Roots, pair: Pair) -> str | None:
    """What is wrong with a pair, in a sentence."""
    try:
        _, target = read_pair(roots, pair)
    except Exception as error:  # whatever a decoder may raise: the other pairs are still to be read
        return str(error) if isinstance(error, ValueError) else f"{pair}: {error!r}; copy or download its files again"
    foreign = task_of(pair.type).foreign(target)
    return f"{pair}: {pair.target_path} {foreign}; make it again" if foreign else None


def fault_of_job(job: Job) -> str | None:
    """What keeps a job from yielding its first file."""
    return yields(job, 1)[1]


def yields(job: Job, most: int | None = None) -> tuple[set[str], str | None]:
    """The paths that a job yields, at `most` so many, and what stopped it."""
    paths: set[str] = set()
    try:
        for path, _ in job.make() if job.make else ():
            paths.add(path)
            if len(paths) == most:
                break
    except Exception as error:
        return paths, str(error) if isinstance(error, ValueError) else f"{job.entries[0].target_path}: {error!r}"
    return paths, None
