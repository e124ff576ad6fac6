"""From the official downloads to pair lists and painted targets.

    python tools/prepare.py all --root /data/painter                      # whatever has been downloaded
    python tools/prepare.py ade20k_semantic denoise --root /data/painter
    python tools/prepare.py all --root /downloads --out /scratch/painted  # then train with both roots

docs/DATA.md says what to download, and where to. Expected: a line for each source and split,

    ade20k_semantic train: 20210 files made, 0 pairs were there, 20210 listed in ade20k/ade20k_training_...json

Stop it at any time: the same command goes on. A second run makes nothing and writes the same bytes. A broken
download is named, everything else is made, and the list is not written; exit status 1.
"""

import argparse
import difflib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from data.prepare import prepare
from data.roots import Roots, places
from data.tasks import SOURCES, Task
from util.parallel import one_line_errors


def main(arguments: Sequence[str]) -> None:
    """Prepare what the command line names; exit status 1 if anything could not be."""
    args = parser().parse_args(arguments)
    with one_line_errors("stopped; the same command goes on from here"):
        tasks = chosen(args.sources, args.root)
        named = "all" not in args.sources and bool(args.sources)
        check_roots(args.root)
        done = [prepare_split(task, split, args, named) for task in tasks for split in args.splits]
        sys.exit(False in done or True not in done)


def prepare_split(task: Task, split: str, args: argparse.Namespace, named: bool) -> bool | None:
    """Prepare one pair list and say what was done; whether that is all right.

    What has not been downloaded at all is only wrong where the source was `named`; else None.
    """
    name, list_path = f"{task.name} {split}", task.lists[split]
    try:
        out = args.out or args.root[0]
        counts = prepare(task, args.root, out, split, args.num_workers, args.offline, args.skip_broken)
        if counts is None:
            print(f"{name}: not downloaded: nothing of it is under {places(args.root)} (docs/DATA.md)", flush=True)
            return False if named else None
    except ValueError as error:
        print(f"{name}: {error}", flush=True)
        return False
    end = f"{counts.listed} listed in {list_path}" if counts.listed else f"{list_path} not written"
    left_out = f", {counts.left_out} left out" if counts.left_out else ""
    print(f"{name}: {counts.made} files made, {counts.there} pairs were there{left_out}, {end}", flush=True)
    if counts.broken:
        cure = "left out of the list" if args.skip_broken else "mend them, or leave them out with --skip_broken"
        print(f"{name}: {counts.broken} broken, see above; {cure}", flush=True)
    return not counts.broken or args.skip_broken


def positive(text: str) -> int:
    """A number of 1 or more."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} must be 1 or more")
    return number


def check_roots(roots: Roots) -> None:
    """ValueError unless all are folders."""
    for root in roots:
        if not root.is_dir():
            raise ValueError(f"{root} is not a folder; give the folders that hold nyu_depth_v2/, coco/, ...")


def chosen(names: Iterable[str], roots: Roots) -> list[Task]:
    """The tasks of these sources; `all`: those that files are meant for. ValueError names the near ones of others."""
    names = list(names)
    for name in set(names) - {"all"}:
        if name not in SOURCES:
            near = difflib.get_close_matches(name, SOURCES, n=2, cutoff=0.4) or SOURCES
            raise ValueError(f"unknown source {name!r}; did you mean {' or '.join(near)}?")
    if not names or "all" in names:
        return [task for task in SOURCES.values() if task.owns(roots)]
    return [SOURCES[name] for name in names]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog="tools/prepare.py",
        description=__doc__,
        epilog=f"sources: {', '.join(SOURCES)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = result.add_argument
    add("sources", nargs="*", metavar="SOURCE", help="what to prepare; `all`, the default: whatever is downloaded")
    add("--root", nargs="+", type=Path, required=True, help="data roots with the downloads, searched in order")
    add("--out", type=Path, help="root to write to; default: the first of --root")
    add("--splits", nargs="+", choices=("train", "val"), default=("train", "val"))
    add("--num_workers", type=positive, help="processes; default: one a core")
    add(
        "--offline", action="store_true", help="paint all to files, as the original, what else is painted while loading"
    )
    add("--skip_broken", action="store_true", help="write lists without the pairs that are broken")
    return result


if __name__ == "__main__":
    main(sys.argv[1:])
