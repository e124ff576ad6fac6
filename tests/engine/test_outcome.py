"""A step that is not waited for: read late, its outcome decides the same, and nothing else in a step waits."""

import json
import os
import signal
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from engine import outcome, train
from engine.checkpoint import LAST
from engine.faults import NonFiniteError
from engine.precision import Precision
from engine.stop import Stopped
from engine.train import run
from models.weights import read_weights
from tests.engine.conftest import write_source
from tests.engine.test_train import config_file, losses, with_optim
from util.sealed import SEAL

TIMES = ("samples_per_second", "data_wait", "mfu", "memory_gb")


@pytest.fixture
def seldom(config):
    """The run, of which most steps have nothing due."""
    return replace(with_optim(config, steps=12), log=replace(config.log, every=4, val_every=6, save_every=5, keep=9))


@pytest.fixture
def late(monkeypatch):
    """Outcomes are read as late as on a GPU; lists the steps whose outcome was read when another had begun."""
    learned, learn = [], train.Run.learn

    def noted(self):
        if self.outcome and self.meter.rows:
            learned.append(self.outcome.step)
        learn(self)

    monkeypatch.setattr(train.Run, "learn", noted)
    monkeypatch.setattr(train, "is_prompt", lambda device: False)
    return learned


@pytest.fixture
def signal_at(monkeypatch):
    """Sends this process a signal while it takes a step."""

    def strike(step):
        update = train.Run._update

        def struck(self, micros):
            if self.state.step + 1 == step:
                os.kill(os.getpid(), signal.SIGUSR1)
            update(self, micros)

        monkeypatch.setattr(train.Run, "_update", struck)

    return strike


def record(config):
    lines = map(json.loads, (config.out_dir / "log.jsonl").read_text().splitlines())
    return [{key: value for key, value in line.items() if not key.endswith(TIMES)} for line in lines]


def assert_equal(config, other):
    assert record(other) == record(config) != []
    assert_same_weights(config, other)


def assert_same_weights(config, other):
    expected, found = (read_weights(this.out_dir / LAST) for this in (config, other))
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def in_peace(config, tmp_path):
    """The run that is read at once, in a folder of its own."""
    prompt = replace(config, out_dir=tmp_path / "prompt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "is_prompt", lambda device: True)
        run(prompt)
    return prompt


def test_read_late_it_trains_the_same(seldom, tmp_path, late):
    prompt = in_peace(seldom, tmp_path)
    assert not late
    run(seldom)
    assert late == [1, 2, 3, 7, 9, 11]  # where nothing is due: a record, a validation or a checkpoint
    assert_equal(prompt, seldom)


def test_a_step_left_out_is_known_late_and_left_out_at_once(seldom, tmp_path, late, spoil):
    spoil(1, 3, 4, 9)
    skipping = with_optim(seldom, non_finite="skip")
    prompt = in_peace(skipping, tmp_path)
    run(skipping)
    assert_equal(prompt, skipping)
    assert [line["train/skipped"] for line in record(skipping) if "train/skipped" in line] == [3, 3, 4]
    for step in (1, 3, 4, 9):
        names = [folder / f"non_finite_step{step}_rank0.json" for folder in (prompt.out_dir, skipping.out_dir)]
        assert names[0].read_text() == names[1].read_text()


def test_a_stop_for_nan_is_that_of_its_own_step(seldom, tmp_path, late, spoil):
    spoil(7)
    for this in (lambda: in_peace(seldom, tmp_path), lambda: run(seldom)):
        with pytest.raises(NonFiniteError, match="loss nan, gradient norm nan at step 7;"):
            this()
    assert late[-1] == 7
    prompt = replace(seldom, out_dir=tmp_path / "prompt")
    assert_equal(prompt, seldom)
    names = [this.out_dir / "non_finite_step7_rank0.json" for this in (prompt, seldom)]
    assert names[0].read_text() == names[1].read_text()


def test_a_signal_ends_the_step_in_which_it_came(seldom, tmp_path, late, signal_at):
    prompt = in_peace(seldom, tmp_path)
    signal_at(7)
    with pytest.raises(Stopped, match="stopped after step 7"):
        run(seldom)
    assert late[-1] == 7
    assert (seldom.out_dir / "step_0000007").is_dir()
    run(seldom)
    assert losses(seldom.out_dir) == losses(prompt.out_dir)
    assert_same_weights(prompt, seldom)


@pytest.mark.parametrize("step", [1, 2, 3])
def test_broken_pairs_count_with_their_own_step(seldom, tmp_path, late, signal_at, step):
    """Each micro-batch meets new ones here, also that of the step which a stop throws away."""
    write_source(tmp_path, "derain", "derain_image2derain", 16)
    for i in range(13):
        (tmp_path / f"derain/{i}.png").write_bytes(b"no picture")
    sources = {"derain": seldom.data.sources["derain"]}
    data = replace(seldom.data, sources=sources, roots=(tmp_path,), broken="quarantine")
    seldom = with_optim(replace(seldom, data=data), global_batch=2, micro_batch=1)
    signal_at(step)
    for this in (lambda: in_peace(seldom, tmp_path), lambda: run(seldom)):
        with pytest.raises(Stopped, match=f"stopped after step {step}"):
            this()
    seals = [folder / LAST / SEAL for folder in (tmp_path / "prompt", seldom.out_dir)]
    known = [json.loads(seal.read_text())["broken"] for seal in seals]
    assert known[0] == known[1] != []


def test_a_scaled_loss_that_overflows_costs_a_step_and_no_skip(seldom, tmp_path, late, monkeypatch, spoil):
    """As in fp16, whose arithmetic is not needed for it: the weights of a run whose first step was left out."""
    seldom, mean_error = with_optim(seldom, warmup=0), train.mean_error
    scaled = replace(seldom, out_dir=tmp_path / "scaled")

    def overflow(error, weight):
        first = scaler.get_scale() == 2.0**20
        return mean_error(error, weight) + ((error.sum() * 0).sqrt() if first else 0)

    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Precision, "scaler", lambda self: scaler)
        patch.setattr(train, "mean_error", overflow)
        run(scaled)
    spoil(1)
    run(with_optim(seldom, non_finite="skip"))
    assert_same_weights(seldom, scaled)
    lines = [[line for line in record(this) if "train/loss" in line][-1] for this in (seldom, scaled)]
    assert [(line["train/skipped"], line["train/loss_scale"]) for line in lines] == [(1, 1), (0, 2.0**19)]


class Refusal(TorchDispatchMode):
    """Raises where the host asks for a value that lies on a device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        waits = ("_local_scalar_dense", "is_nonzero", "nonzero", "equal", "masked_select", "_assert_async")
        if func.overloadpacket.__name__ in waits or torch.Tag.data_dependent_output in func.tags:
            raise AssertionError(f"the host waits in {func}")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("accumulation", [1, 4])
def test_nothing_in_a_step_waits_for_the_device(seldom, monkeypatch, late, accumulation):
    """But for the read of an outcome, and what is made of the batch before it goes to the device."""
    step, read, tolist = train.Run.step, outcome.Outcome.read, torch.Tensor.tolist
    reads, watch = [], []

    def watched(self, batches):
        watch[:] = [Refusal()]
        with watch[0]:
            taken = step(self, batches)
        watch.clear()
        return taken

    def allowed(self):
        reads.append(self.step)
        kept, watch[:] = watch[:], []
        with _disable_current_modes():
            facts = read(self)
        watch[:] = kept
        return facts

    def refused(self):
        assert not watch or self.dtype == torch.int64, "the host waits in tolist"  # but for crops: they stay there
        return tolist(self)

    monkeypatch.setattr(train.Run, "step", watched)
    monkeypatch.setattr(outcome.Outcome, "read", allowed)
    monkeypatch.setattr(torch.Tensor, "tolist", refused)
    run(with_optim(seldom, micro_batch=8 // accumulation))
    assert reads == list(range(1, 13))


SCRIPT = """
import os, signal, sys, torch
from engine import train
from engine.load_config import load_config
from engine.precision import Precision
from engine.stop import Stopped

update, backward, mean_error = train.Run._update, train.Run._backward, train.mean_error
def struck(self, micros):
    if self.state.step == 6 and self.world.rank == 1:
        os.kill(os.getpid(), signal.SIGUSR1)
    update(self, micros)
def spoiled(self, batch, micro):
    poison = torch.nan if self.state.step + 1 in (2, 5) and self.world.rank == 1 else 1.0
    train.mean_error = lambda *parts: mean_error(*parts) * poison
    return backward(self, batch, micro)
train.Run._update, train.Run._backward = struck, spoiled
train.is_prompt = lambda device: False
try:
    train.run(load_config(sys.argv[1:2], ""))
except Stopped as stopped:
    print(stopped)
"""


@pytest.mark.parametrize(("parallel", "micro_batch"), [("ddp", 4), ("fsdp", 2)])
def test_ranks_learn_late_and_together(seldom, tmp_path, launch, spoil, parallel, micro_batch):
    """NaN of one rank's loss, left out by all, and a signal to one; each rank exchanges gradients in between."""
    seldom = with_optim(seldom, non_finite="skip", micro_batch=micro_batch)
    (tmp_path / "script.py").write_text(SCRIPT)
    ranks = replace(seldom, out_dir=tmp_path / parallel, parallel=parallel)
    assert "stopped after step 7, with a checkpoint" in launch(2, tmp_path / "script.py", config_file(ranks))
    spoil(2, 5)
    run(replace(ranks, parallel="ddp"))
    run(seldom)
    assert losses(ranks.out_dir) == pytest.approx(losses(seldom.out_dir), rel=1e-5)
    assert [line["train/skipped"] for line in record(ranks) if "train/skipped" in line] == [1, 2, 2]
    torch.testing.assert_close(*(read_weights(this.out_dir / LAST) for this in (ranks, seldom)), rtol=1e-3, atol=2e-4)
