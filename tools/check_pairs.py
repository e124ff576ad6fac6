"""Read every pair of a run before the run, so that no broken file ends it days later.

    python tools/check_pairs.py painter_vit_large --data.roots /data/painter --data.num_workers 16

Takes the arguments of tools/train.py. Expected: one line for each broken list or pair, naming entry, file and
cure; then `N pairs read, 0 broken; 16 lists read, 0 broken`. Exit status 0 only if nothing is broken.
"""

import os
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial

from tqdm import tqdm

from data.pairs import Pair, read_pair, read_pairs
from data.roots import Roots
from engine.config import DataConfig
from engine.load_config import load_config

WINDOW, CHUNK = 4096, 16  # pairs handed to all processes at a time, and to one of them


def main(arguments: Sequence[str]) -> None:
    """Check the lists and pairs of a run; exit status 1 if any is broken."""
    try:
        sys.exit(check(load_config(arguments, "tools/check_pairs.py").data) > 0)
    except ValueError as error:
        sys.exit(f"error: {error}")
    except BrokenProcessPool:
        sys.exit("error: a reading process died, perhaps for want of memory; give a smaller --data.num_workers")
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


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
    broken_pairs = check_all(config.roots, pairs, config.num_workers or os.cpu_count())
    print(f"{len(pairs)} pairs read, {broken_pairs} broken; {len(lists)} lists read, {broken_lists} broken")
    return broken_pairs + broken_lists


def check_all(roots: Roots, pairs: Sequence[Pair], num_workers: int | None) -> int:
    """Print what is wrong with each pair, in order; return how many are broken."""
    broken = 0
    pool = ProcessPoolExecutor(num_workers, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN))
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for this process: readers start deaf to it
    pool.submit(int).result()
    signal.signal(signal.SIGINT, interrupt)
    try:
        with tqdm(total=len(pairs), unit="pair") as bar:
            for start in range(0, len(pairs), WINDOW):  # map would queue all pairs at once
                for fault in pool.map(partial(find_fault, roots), pairs[start : start + WINDOW], chunksize=CHUNK):
                    if fault:
                        broken += 1
                        with tqdm.external_write_mode():
                            print(fault, flush=True)
                    bar.update()
    finally:
        pool.shutdown(cancel_futures=True)
    return broken


def find_fault(roots: Roots, pair: Pair) -> str | None:
    """What is wrong with a pair, in one sentence; None if nothing is."""
    try:
        read_pair(roots, pair)
    except Exception as error:  # whatever a decoder may raise: the other pairs are still to be read
        return str(error) if isinstance(error, ValueError) else f"{pair}: {error!r}; copy or download its files again"
    return None


if __name__ == "__main__":
    main(sys.argv[1:])
