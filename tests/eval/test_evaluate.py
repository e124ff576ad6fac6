"""Every query once: in any batches, on any number of processes, stopped and gone on with."""

import contextlib
import json
import math
import multiprocessing
import os
import resource
import signal
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from eval.derain import BENCHMARK as DERAIN
from eval.evaluate import evaluate
from eval.lol import BENCHMARK as LOL
from eval.nyuv2_depth import BENCHMARK as NYU
from eval.records import Records
from eval.restored import Degraded
from eval.run import choose, network, oracle, run
from util.dist import join_world

ALONE = join_world("cpu")


class Counting:
    """A painter that counts the cases of each call, and is interrupted instead of the call number `stop`."""

    def __init__(self, paints, stop=math.inf):
        self.paints, self.prepare, self.stop, self.sizes = paints, paints.prepare, stop, []

    def paint(self, batch):
        if len(self.sizes) == self.stop:
            raise KeyboardInterrupt
        self.sizes.append(len(batch))
        return self.paints.paint(batch)


@pytest.fixture
def paints(world, ckpt):
    return network(LOL, [world], ckpt).paints


def records_of(paints, world, folder, **options):
    return evaluate(LOL, paints, LOL.queries([world]), Records(folder), ALONE, **options)[0]


def lines(folder: Path) -> list[tuple[str, int]]:
    """Names in all record files, and how many times each."""
    files = (folder / "records").glob("rank*.jsonl")
    keys = (json.loads(line)[0] for file in files for line in file.read_text().splitlines())
    return sorted(Counter(key.split()[0] for key in keys).items())


EACH_ONCE = [(name, 1) for name in ("1", "22", "23", "55", "79")]


def test_records_are_in_the_order_of_the_queries(paints, world, tmp_path):
    found = records_of(paints, world, tmp_path, batch_size=2)
    assert lines(tmp_path) == EACH_ONCE
    for query, record in zip(LOL.queries([world]), found, strict=True):
        case = LOL.read(query)
        (painted,) = paints.paint([paints.prepare(case)])
        assert record == pytest.approx(LOL.measure(LOL.decode(painted, case), case), rel=1e-5)
    assert len({record["psnr"] for record in found}) == 5


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (3, 2), (5, 0), (8, 1)])
def test_batches_and_loaders_do_not_change_records(paints, world, tmp_path, batch_size, workers):
    due = records_of(paints, world, tmp_path / "due", batch_size=2)
    found = records_of(paints, world, tmp_path / "found", batch_size=batch_size, num_workers=workers)
    for a, b in zip(due, found, strict=True):
        assert a == pytest.approx(b, rel=1e-5)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stopped_run_goes_on_and_ends_as_if_never_stopped(paints, world, tmp_path, workers):
    whole = records_of(paints, world, tmp_path / "whole", batch_size=2)
    stopped = Counting(paints, stop=2)
    with pytest.raises(KeyboardInterrupt):
        records_of(stopped, world, tmp_path / "stopped", batch_size=2, num_workers=workers)
    assert stopped.sizes == [2, 2]
    assert lines(tmp_path / "stopped") == EACH_ONCE[:2]  # of the second batch nothing had been measured in time
    again = Counting(paints)
    assert records_of(again, world, tmp_path / "stopped", batch_size=2, num_workers=workers) == whole
    assert again.sizes == [2, 1]
    assert lines(tmp_path / "stopped") == EACH_ONCE


def test_a_finished_run_paints_nothing(paints, world, tmp_path):
    whole = records_of(paints, world, tmp_path)
    assert records_of(Counting(paints, stop=0), world, tmp_path, batch_size=1) == whole


def test_of_a_batch_only_what_is_missing_is_written(paints, world, tmp_path):
    whole = records_of(paints, world, tmp_path, batch_size=2)
    file = tmp_path / "records/rank0.jsonl"
    kept = file.read_text().splitlines(keepends=True)
    file.write_text("".join(kept[:2] + kept[3:])[:-5])  # lost: the third; the fifth is cut
    again = Counting(paints)
    assert records_of(again, world, tmp_path, batch_size=2) == whole
    assert again.sizes == [2, 1]
    assert sorted(name.split()[0] for name in Records(tmp_path).read()) == [name for name, _ in EACH_ONCE]
    assert len(file.read_text().splitlines()) == 6  # the cut line stays, as a line of its own


def test_more_queries_than_before_are_added(paints, world, tmp_path):
    queries = LOL.queries([world])
    first, num_new = evaluate(LOL, paints, queries[:2], Records(tmp_path), ALONE, batch_size=2)
    assert num_new == 2
    again = Counting(paints)
    found, num_new = evaluate(LOL, again, queries, Records(tmp_path), ALONE, batch_size=2)
    assert (found[:2], num_new) == (first, 3)
    assert again.sizes == [2, 1]
    found, num_new = evaluate(LOL, Counting(paints, stop=0), queries[:3], Records(tmp_path), ALONE)
    assert (found[:2], num_new) == (first, 0)


@pytest.mark.parametrize("folder", ["low", "high"])
def test_a_query_whose_file_has_changed_is_measured_again(paints, root, tmp_path, folder):
    whole = records_of(paints, root, tmp_path, batch_size=1)
    query = LOL.queries([root])[2]
    file = query.image if folder == "low" else query.clean
    Image.open(file).transpose(Image.Transpose.ROTATE_180).save(file)
    again = Counting(paints)
    changed = records_of(again, root, tmp_path, batch_size=1)
    assert again.sizes == [1]
    assert [a == b for a, b in zip(whole, changed, strict=True)] == [True, True, False, True, True]


def test_predictions_are_written_once_each(paints, world, tmp_path):
    records_of(paints, world, tmp_path, images=tmp_path / "images", num_workers=2)
    assert sorted(path.stem for path in (tmp_path / "images").iterdir()) == [name for name, _ in EACH_ONCE]


@pytest.mark.parametrize("workers", [0, 2])
def test_what_cannot_be_read_is_named_in_a_sentence(paints, root, tmp_path, workers):
    file = root / "light_enhance/eval15/low/79.png"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"^\S+low/79\.png is truncated or broken [^\n]*$"):
        records_of(paints, root, tmp_path, batch_size=2, num_workers=workers)
    assert lines(tmp_path) == EACH_ONCE[:2]


def test_no_process_is_left_after_an_error(paints, root, tmp_path):
    (root / "light_enhance/eval15/low/1.png").write_bytes(b"junk")
    with contextlib.suppress(ValueError):  # which leaves no reference behind
        records_of(paints, root, tmp_path, batch_size=1, num_workers=2)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [0, 2])
def test_ctrl_c_while_loaders_start_is_heard(paints, world, tmp_path, monkeypatch, workers):
    """As the first process is made, where Python would swallow it."""

    original, seen = DataLoader.__iter__, []

    def interrupted(self):
        os.kill(os.getpid(), signal.SIGINT)
        seen.append(1)
        return original(self)

    monkeypatch.setattr(DataLoader, "__iter__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        records_of(paints, world, tmp_path, num_workers=workers)
    assert seen  # it came between, and waited
    assert not Records(tmp_path).read()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_batch_from_a_loader_takes_few_open_files(paints, world, tmp_path):
    """Else large batches stop without a word where few files may be open."""
    queries = [Degraded(f"q{i}", *query[1:]) for i in range(160) for query in LOL.queries([world])[:1]]
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 64, before[1]))
    try:
        found, _ = evaluate(LOL, paints, queries, Records(tmp_path), ALONE, batch_size=40, num_workers=2)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert len(found) == 160


@pytest.mark.parametrize("workers", [0, 2])
def test_what_cannot_be_measured_is_named(root, tmp_path, workers):
    for side in ("input", "target"):
        Image.fromarray(np.zeros((10, 40, 3), np.uint8)).save(root / f"derain/test/Test100/{side}/2.png")
    queries = DERAIN.queries([root])
    with pytest.raises(ValueError, match=r"^derain, Test100/2: the image has 10 x 40 pixels, but SSIM needs 11 x 11"):
        evaluate(DERAIN, oracle(DERAIN, 32).paints, queries, Records(tmp_path), ALONE, num_workers=workers)


def metrics(folder: Path) -> dict[str, float]:
    return json.loads((folder / "results.json").read_text())["metrics"]


def test_two_processes_measure_what_one_does(two_ranks, world, ckpt, tmp_path):
    """Five queries in batches of two: the last is short, and one rank has a batch more."""
    found = run(LOL, network(LOL, [world], ckpt), LOL.queries([world]), tmp_path, ALONE, 2)
    assert metrics(two_ranks / "lol") == found["metrics"]
    assert json.loads((two_ranks / "lol/results.json").read_text())["num_ranks"] == 2
    assert lines(two_ranks / "lol") == EACH_ONCE
    sizes = [len((two_ranks / f"lol/records/rank{rank}.jsonl").read_text().splitlines()) for rank in (0, 1)]
    assert sizes == [3, 2]
    assert len(list((two_ranks / "lol/images").iterdir())) == 5


def test_two_processes_share_one_query(two_ranks, world, ckpt, tmp_path):
    found = run(NYU, network(NYU, [world], ckpt), choose(NYU, [world], 1), tmp_path, ALONE)
    assert metrics(two_ranks / "one") == found["metrics"]
    assert not (two_ranks / "one/records/rank1.jsonl").exists()


def test_an_oracle_is_the_same_on_two_processes(two_ranks, world, tmp_path):
    found = run(DERAIN, oracle(DERAIN, noise=9.0), DERAIN.queries([world]), tmp_path, ALONE, 3)
    assert metrics(two_ranks / "oracle") == found["metrics"]


def test_one_process_goes_on_where_two_were(two_ranks, world, ckpt, tmp_path):
    subject = network(LOL, [world], ckpt)
    records = Records(two_ranks / "lol")
    again = Counting(subject.paints, stop=0)
    found, _ = evaluate(LOL, again, LOL.queries([world]), records, ALONE, batch_size=2)
    assert LOL.summarise(found, []) == metrics(two_ranks / "lol")
