"""Read every pair of a run before the run, so that no broken file ends it days later.

    python tools/check_pairs.py painter_vit_large --data.roots /data/painter --data.num_workers 16

Takes the arguments of tools/train.py. Expected: one line for each broken list or pair, naming entry, file and
cure; then `N pairs read, 0 broken; 16 lists read, 0 broken`. Exit status 0 only if nothing is broken.
"""

import sys
from collections.abc import Sequence
from functools import partial

from data.doctor import fault_of_pair
from data.pairs import Pair, read_pairs
from data.roots import Roots
from engine.config import DataConfig
from engine.load_config import load_config
from util.parallel import one_line_errors, run_all, say

WINDOW, CHUNK = 4096, 16  # pairs handed to all processes at a time, and to one of them


def main(arguments: Sequence[str]) -> None:
    """Check the lists and pairs of a run; exit status 1 if any is broken."""
    with one_line_errors():
        sys.exit(check(load_config(arguments, "tools/check_pairs.py").data) > 0)


def check(config: DataConfig) -> int:
    """Print what is broken in the lists of all sources with a weight, and in their pairs; return how many that is."""
    used = [source for source in config.sources.values() if source.weight > 0]
    lists = {path for source in used for path in (source.train, source.val) if path}
    if not lists:
        raise ValueError("no source has a weight above 0; set --data.sources.NAME.weight")
    pairs: list[Pair] = []
    broken_lists = 0
    for path in sorted(lists):
        try:
            pairs += read_pairs(config.roots, path)
        except ValueError as error:
            print(error, flush=True)
            broken_lists += 1
    broken_pairs = check_all(config.roots, pairs, config.num_workers)
    print(f"{len(pairs)} pairs read, {broken_pairs} broken; {len(lists)} lists read, {broken_lists} broken")
    return broken_pairs + broken_lists


def check_all(roots: Roots, pairs: Sequence[Pair], num_workers: int | None) -> int:
    """Print what is wrong with each pair, in order; return how many are broken."""
    faults: list[str] = []

    def report(fault: str | None) -> None:
        if fault:
            faults.append(fault)
            say(fault)

    run_all(partial(fault_of_pair, roots), pairs, report, num_workers, "pair", WINDOW, CHUNK)
    return len(faults)


if __name__ == "__main__":
    main(sys.argv[1:])
