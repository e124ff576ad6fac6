"""Policies: a step without finite numbers and a pair that cannot be read stop the run, or cost it nothing else."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.checkpoint import LAST
from engine.faults import Guard, NonFiniteError, Quarantine
from engine.stop import Stopped
from engine.train import run
from models.weights import read_weights
from tests.engine.conftest import write_source
from tests.engine.test_stop import stopping_at
from tests.engine.test_train import losses, with_optim
from util.dist import join_world


def lines(config, key):
    record = map(json.loads, (config.out_dir / "log.jsonl").read_text().splitlines())
    return [line[key] for line in record if key in line]


def stopped_and_resumed(config, folder):
    """The run once more in a folder of its own, stopped after step 3 and taken up again."""
    stopped = replace(config, out_dir=folder / "stopped", log=replace(config.log, benchmark_every=1))
    with pytest.raises(Stopped, match="stopped after step 3"):
        run(stopped, [stopping_at(2)])
    run(stopped)
    return stopped


def test_a_loss_that_is_not_finite_stops_and_names_the_pairs(config, spoil):
    spoil(4)
    with pytest.raises(NonFiniteError, match=r"loss nan, gradient norm nan at step 4; .*non_finite_step4") as caught:
        run(config)
    batch = json.loads(Path(str(caught.value).rpartition(" in ")[2]).read_text())
    assert [micro["loss"] == "nan" for micro in batch] == [True, False, False, False]
    assert len(batch[0]["pairs"]) == 2
    assert "entry" in batch[0]["pairs"][0]
    assert len(losses(config.out_dir)) == 3


def test_a_gradient_that_is_not_finite_stops(config):
    with pytest.raises(NonFiniteError, match="at step"):
        run(with_optim(config, lr=1e30, clip_grad=1e30, warmup=0))


def test_a_skipped_step_leaves_the_weights_and_moments_alone(config, tmp_path, spoil, caplog):
    """The run without the step, at the learning rates of the steps that are left."""
    config = with_optim(config, non_finite="skip", steps=3)
    spoil(3)
    run(config)
    assert "skipped, the 1. of at most 10 such steps" in caplog.text
    assert lines(config, "train/skipped") == [0, 0, 1]
    assert lines(config, "train/loss") == losses(config.out_dir) != []
    before, after = (read_weights(config.out_dir / name) for name in ("step_0000002", LAST))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert (config.out_dir / "non_finite_step3_rank0.json").is_file()


def test_the_budget_of_skipped_steps_is_that_of_the_run(config, spoil):
    config = with_optim(config, non_finite="skip", max_skipped=2)
    config = replace(config, log=replace(config.log, benchmark_every=1))
    spoil(1, 3, 5)
    with pytest.raises(Stopped, match="stopped after step 4"):
        run(config, [stopping_at(3)])
    with pytest.raises(NonFiniteError, match=r"2 steps were skipped before, and optim.max_skipped is 2"):
        run(config)


def test_a_run_with_skipped_steps_resumes_exactly(config, tmp_path, spoil):
    config = with_optim(config, non_finite="skip")
    spoil(1, 4)  # the first before there are any moments
    run(config)
    stopped = stopped_and_resumed(config, tmp_path)
    assert losses(stopped.out_dir) == losses(config.out_dir)
    expected, found = (read_weights(this.out_dir / LAST) for this in (config, stopped))
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize(
    ("loss", "norm", "scale", "finite"),
    [(1.0, 2.0, 1.0, True), (torch.nan, 2.0, 1.0, False), (1.0, torch.inf, 1.0, False), (1.0, torch.inf, 512.0, True)],
)
def test_only_a_scaled_gradient_may_overflow(loss, norm, scale, finite):
    assert Guard.is_finite(loss, norm, scale) == finite


@pytest.fixture
def broken(config, tmp_path):
    """The run with quarantine, and two broken pictures of five in one of its sources."""
    write_source(tmp_path, "derain", "derain_image2derain", 5)
    write_source(tmp_path, "depth", "nyuv2_image2depth", 3, depth=True)
    for i in (1, 3):
        (tmp_path / f"derain/{i}.png").write_bytes(b"no picture")
    return replace(config, data=replace(config.data, roots=(tmp_path,), broken="quarantine"))


def test_broken_pairs_are_replaced_logged_and_counted_once(broken, caplog):
    run(with_optim(broken, steps=12))
    assert caplog.text.count("replaced by another pair: derain.json, entry 1: ") == 1
    assert caplog.text.count("replaced by another pair: derain.json, entry 3: ") == 1
    file = (broken.out_dir / "broken_pairs.txt").read_text().splitlines()
    assert sorted(line.partition(": ")[0] for line in file) == ["derain.json, entry 1", "derain.json, entry 3"]
    assert lines(broken, "train/broken")[-1] == 2
    assert len(losses(broken.out_dir)) == 12


def test_too_many_broken_pairs_stop_the_run(broken):
    with pytest.raises(ValueError, match=r"2 different pairs are broken, and data.max_broken is 1; see .*broken_pairs"):
        run(with_optim(replace(broken, data=replace(broken.data, max_broken=1)), steps=12))


def test_a_run_with_broken_pairs_resumes_exactly(broken, tmp_path):
    run(broken)
    stopped = stopped_and_resumed(broken, tmp_path)
    assert losses(stopped.out_dir) == losses(broken.out_dir)
    assert lines(stopped, "train/broken") == lines(broken, "train/broken")


def test_what_is_known_is_not_told_again(config, tmp_path, caplog):
    known = ["a.json, entry 1: it is cut"]
    quarantine = Quarantine(config.data, tmp_path, join_world("cpu"), known)
    quarantine.note(["", "a.json, entry 1: it is cut", "a.json, entry 12: it is cut\nb.json, entry 1: gone"])
    assert len(quarantine.new) == 2
    quarantine.share()
    assert len(known) == 3
    assert "a.json, entry 1:" not in caplog.text
    assert not quarantine.new
