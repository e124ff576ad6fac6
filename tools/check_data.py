"""The doctor of a data root: what is there, what is broken, and the command that mends it.

    python tools/check_data.py /data/painter                        # a sample of every source
    python tools/check_data.py /datasets /scratch/painted --all     # every pair
    python tools/check_data.py /data/painter --sources denoise --json

Expected: a line for each source and split, under it a line for each fault and for each command that mends,

    ade20k_semantic train: present; 20210 pairs listed, 20210 in the downloads, 50 read, 0 faults

and `ok` at the end. Exit status 1 if there is any fault. A source that is wholly absent is none, unless it is
named by --sources.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from data.doctor import Reading, Report, examine
from data.roots import Roots, has, places
from data.tasks import Task
from tools.prepare import check_roots, chosen, positive
from util.parallel import one_line_errors

SHOWN = 20  # faults of a split that are printed; --json has all


def main(arguments: Sequence[str]) -> None:
    """Check what the command line names; exit status 1 on any fault."""
    args = parser().parse_args(arguments)
    with one_line_errors():
        check_roots(args.roots)
        args.named = bool(args.sources) and "all" not in args.sources
        tasks = [task for task in chosen(args.sources, args.roots) if args.named or is_due(task, args.roots)]
        sources = {task.name: examine_source(task, args) for task in tasks}
        reports = [report for splits in sources.values() for report in splits.values()]
        empty = all(report.state == "absent" for report in reports)
        ok = not empty and not any(report.faults for report in reports)
        if args.json:
            found = {
                name: {split: asdict(report) for split, report in splits.items()} for name, splits in sources.items()
            }
            print(json.dumps({"sources": found, "ok": ok}))
        elif empty:
            print(f"no data is under {places(args.roots)}; docs/DATA.md says what to download, and where to")
        else:
            print("ok" if ok else "not ok: see the faults above")
        sys.exit(not ok)


def is_due(task: Task, roots: Roots) -> bool:
    """Whether a source is looked at though nobody named it: one that is made of another's files, if it was prepared."""
    return not task.derived or any(has(roots, path) for path in task.lists.values())


def examine_source(task: Task, args: argparse.Namespace) -> dict[str, Report]:
    """A report of each split, printed unless --json."""
    reading = Reading(None if args.all else args.sample, args.seed, args.num_workers)
    reports = {split: examine(task, split, args.roots, reading) for split in args.splits}
    whole = all(report.state == "absent" for report in reports.values())
    for split, report in reports.items():
        if report.state == "absent" and (args.named or not whole):
            report.ails("nothing of it is there; docs/DATA.md says what to download; or leave it out with --splits")
        if not args.json:
            show(f"{task.name} {split}", report)
    return reports


def show(name: str, report: Report) -> None:
    """Print a report."""
    if report.state == "absent":
        print(f"{name}: absent")
    else:
        downloaded = "downloads not whole" if report.downloaded is None else f"{report.downloaded} in the downloads"
        end = f"{report.read} read, {len(report.faults)} faults"
        print(f"{name}: {report.state}; {report.listed} pairs listed, {downloaded}, {end}")
    for fault in report.faults[:SHOWN]:
        print(f"  {fault}")
    if len(report.faults) > SHOWN:
        print(f"  and {len(report.faults) - SHOWN} more; --json names all")
    for cure in report.cures:
        print(f"  mend: {cure}")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog="tools/check_data.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = result.add_argument
    add("roots", nargs="+", type=Path, metavar="ROOT", help="data roots, searched in order")
    add("--sources", nargs="+", default=(), help="default: all")
    add("--splits", nargs="+", choices=("train", "val"), default=("train", "val"))
    add("--sample", type=positive, default=50, help="pairs to read of each list (default: 50)")
    add("--all", action="store_true", help="read every pair")
    add("--seed", type=int, default=0, help="of the sample")
    add("--num_workers", type=positive, help="processes; default: one a core")
    add("--json", action="store_true", help="print one JSON object instead")
    return result


if __name__ == "__main__":
    main(sys.argv[1:])
