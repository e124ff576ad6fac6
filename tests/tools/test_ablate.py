"""The command: trains each variant once, goes on where it was, measures on held-out pairs, writes the tables."""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from data.tasks import SOURCES
from engine import train
from engine.config import DataConfig, Source
from tests.eval.conftest import TINY, write_ade, write_nyu, write_restoration
from tools import ablate
from tools.ablate import main
from tools.ablation import plan as ablation_plan
from tools.ablation import run as ablation_run
from util.tables import NOTHING

QUERIES = 2
WEIGHTS = {"nyuv2_depth": 1.0, "ade20k_semantic": 1.0, "enhance": 0.5}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("world"), np.random.default_rng(0)
    for write in (write_nyu, write_ade, write_restoration):
        write(root, rng)
    return root


@pytest.fixture(autouse=True)
def steps(monkeypatch):
    """Three tasks and tiny networks, measured on few queries; counts the steps taken, by the variant's folder."""
    lists = {name: SOURCES[name].lists["train"] for name in WEIGHTS}
    sources = {name: Source(file, WEIGHTS[name], val=file) for name, file in lists.items()}
    changed = {"model": TINY, "data": DataConfig(sources, num_workers=0)}
    log = replace(ablation_plan.BASE.log, save_every=1, val_limit=1, pictures=1)
    monkeypatch.setattr(ablation_plan, "BASE", replace(ablation_plan.BASE, log=log, **changed))
    monkeypatch.setattr(ablation_run, "QUERIES", QUERIES)
    taken, step = Counter(), train.Run.step

    def counted(run, batches):
        taken[run.config.out_dir.parent.parent.name] += 1
        return step(run, batches)

    monkeypatch.setattr(train.Run, "step", counted)
    return taken


@pytest.fixture
def compare(world, tmp_path, call):
    """The command; `given`: its positionals and --seeds, which have several values."""

    def compare(*given, **changes):
        return call(main, *map(str, given), **{"steps": 2, "out_dir": tmp_path / "out"} | changes)

    return compare


@pytest.fixture
def short(monkeypatch):
    """Of Table S2 the runs baseline and no_merge alone."""
    plan = ablation_plan.table_s2
    monkeypatch.setitem(ablate.PLANS, "table_s2", lambda base: plan(base)._replace(runs=plan(base).runs[:2]))


def scores(folder):
    return json.loads((folder / "result.json").read_bytes())


def test_table_s2(compare, world, tmp_path, steps):
    printed = compare("table_s2", world, "--seeds", 0)
    names = {"baseline", "no_merge", "small", "linear_head", "l1", "l2"}
    assert steps == dict.fromkeys(names, 2)
    content = json.loads((tmp_path / "out/table_s2.json").read_bytes())
    assert content["scores"].keys() == names
    for name in names:
        found = scores(tmp_path / "out" / name / "seed0")
        each = {f"{kind}/{task}" for kind in ("psnr", "l1") for task in WEIGHTS}
        assert found.keys() == each | {"nyuv2_depth/rms", "ade20k_semantic/mIoU"}
        mean = sum(found[f"psnr/{task}"] for task in WEIGHTS) / 3
        assert content["scores"][name]["psnr"]["mean"] == pytest.approx(mean)
    assert printed.startswith((tmp_path / "out/table_s2.md").read_text())
    assert "6 of 6 runs; seeds 0; 2 steps of 4 samples" in printed


def test_finished_runs_are_not_repeated_and_seeds_may_come_one_by_one(compare, world, steps, short):
    printed = compare("table_s2", world, "--seeds", 0)
    compare("table_s2", world, "--seeds", 1)  # as another process may
    assert steps == {"baseline": 4, "no_merge": 4}
    assert compare("table_s2", world, "--seeds", 0) == printed
    assert "4 of 4 runs; seeds 0, 1" in compare("table_s2", world, "--seeds", 0, 1)
    assert steps.total() == 8


def test_scores_are_those_of_validation(world, tmp_path):
    """Of the l1 run, whose loss is the L1: by the training's own validation of as many pairs."""
    plan = ablation_plan.table_s2(ablation_plan.base(world, 1, "fp32"))
    trial = next(trial for trial in ablation_run.trials_of(plan, 5, tmp_path) if trial.name == "l1")
    trial.perform()
    log = replace(trial.config.log, val_limit=QUERIES)
    for task, found in train.run(replace(trial.config, log=log)).items():
        assert trial.scores[f"psnr/{task}"] == pytest.approx(found.psnr)
        assert trial.scores[f"l1/{task}"] == pytest.approx(found.loss)
    results = json.loads((trial.folder / "nyuv2_depth/results.json").read_bytes())
    assert results["num_images"] == QUERIES
    assert trial.scores["nyuv2_depth/rms"] == results["metrics"]["rms"]
    assert results["checkpoint"]["path"].startswith(str(trial.folder / "run"))


def test_table_2(compare, world, tmp_path, steps, short):
    compare("table_2", world, "--seeds", 0, steps=5)
    assert steps == {"baseline": 5, "nyuv2_depth": 5 + 2, "ade20k_semantic": 5 + 2, "enhance": 5 + 1}
    table = (tmp_path / "out/table_2.md").read_text()
    assert all(f"\n| {row} | " in table for row in ("joint", "separate_samples", "separate_steps"))
    alone = scores(tmp_path / "out/separate_steps/nyuv2_depth/seed0")
    assert alone.keys() == {"psnr/nyuv2_depth", "l1/nyuv2_depth", "nyuv2_depth/rms"}
    each = [line.split("|")[-5:-1] for line in table.splitlines() if line.startswith("| separate_s")]
    assert not any(NOTHING in cell for row in each for cell in row)  # means, RMSE, mIoU
    compare("table_s2", world, "--seeds", 0, steps=5)
    assert steps["baseline"] == 5  # both tables share it


def test_an_interrupted_run_ends_as_if_it_had_not_been(compare, world, tmp_path, steps, short, monkeypatch):
    compare("table_s2", world, "--seeds", 0, steps=3, out_dir=tmp_path / "whole")
    steps.clear()
    step = train.Run.step

    def interrupted(run, batches):
        if steps.total() == 5:
            raise KeyboardInterrupt
        return step(run, batches)

    with monkeypatch.context() as patch:
        patch.setattr(train.Run, "step", interrupted)
        assert compare("table_s2", world, "--seeds", 0, steps=3) == "130"
    assert "1 of 2 runs" in (tmp_path / "out/table_s2.md").read_text()
    compare("table_s2", world, "--seeds", 0, steps=3)
    assert steps["baseline"] == 3
    assert 3 <= steps["no_merge"] <= 4  # its second checkpoint may not have been written
    one, two = (json.loads((tmp_path / out / "table_s2.json").read_bytes()) for out in ("whole", "out"))
    assert one == two


def test_a_run_that_another_process_holds(compare, world, tmp_path):
    folder = tmp_path / "out/baseline/seed0"
    holder = "import sys, time; from pathlib import Path; from util.lock import held\n"
    holder += "with held(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", holder, str(folder)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        told = compare("table_s2", world, "--seeds", 0)
        other.kill()
    assert told.startswith(f"error: {folder} is in use by process {other.pid} ")


def test_a_changed_plan(compare, world, tmp_path, short):
    compare("table_s2", world, "--seeds", 0, steps=1)
    told = compare("table_s2", world, "--seeds", 0, steps=4)
    folder = tmp_path / "out/baseline/seed0"
    assert told == f"error: {folder} was begun with another plan (optim.steps: 1 -> 4); choose another --out_dir"


@pytest.mark.parametrize(
    ("given", "changes", "message"),
    [
        (("table_9", "{world}"), {}, "unknown table 'table_9'; known are table_s2, table_2"),
        (("table_2", "{world}", "--seeds", "0", "1", "0"), {}, "--seeds has 0 2 times; give each seed once"),
        (("table_2", "{world}", "--seeds", "-1"), {}, "seed -1 must be 0 or more"),
        (("table_2", "{world}", "--seeds"), {}, "--seeds names none"),
        (("table_2", "{world}"), {"steps": 0}, "optim.steps 0 must be 1 or more"),
        (("table_2", "nowhere"), {}, "is not under nowhere; name the root that holds it, or prepare the data"),
        (("table_2", "{world}"), {"out_dir": "/proc/x"}, "--out_dir: /proc/x cannot be written to"),
    ],
)
def test_bad_input_is_one_sentence(compare, world, tmp_path, given, changes, message):
    told = compare(*(str(part).format(world=world) for part in given), **changes)
    assert told.startswith("error: ")
    assert message in told
    assert "\n" not in told
    assert not (tmp_path / "out/baseline").exists()


def test_the_world_is_checked_for_benchmarks_before_training(compare, world, monkeypatch, tmp_path):
    monkeypatch.setattr(ablate, "choose", lambda *_: (_ for _ in ()).throw(ValueError("nothing to evaluate")))
    assert compare("table_2", world) == "error: nothing to evaluate"
    assert not (tmp_path / "out").exists()
