"""DDP, FSDP2, one process, and changes between them while a run goes on: the same losses."""

import json
from dataclasses import replace

import pytest
import torch

from engine.checkpoint import LAST
from engine.train import run
from models.weights import read_weights
from tests.engine.test_train import REPOSITORY, config_file, losses

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device")
SCRIPT = """
import os, signal, sys
from engine.load_config import load_config
from engine.stop import Stopped
from engine.train import run

def probe(model, step, world):
    assert model.pos_embed.shape[1] > 1 and not hasattr(model.pos_embed, "full_tensor")  # whole, on every rank
    if step == int(sys.argv[2]) and world.rank == world.size - 1:
        os.kill(os.getpid(), signal.SIGUSR1)
    return {}

try:
    run(load_config(sys.argv[1:2], ""), [probe])
except Stopped as stopped:
    print(stopped)
"""


@pytest.fixture
def script(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path / "script.py"


@pytest.fixture
def alone(config):
    """The run of one process, with gradients accumulated and blocks recomputed."""
    config = replace(
        config,
        model=replace(config.model, checkpointing="full", window_blocks=(1,), window_size=2),
        log=replace(config.log, benchmark_every=1),
    )
    run(config)
    return config


def assert_same(config, other):
    assert losses(other.out_dir) == pytest.approx(losses(config.out_dir), rel=1e-5)
    expected, found = (read_weights(this.out_dir / LAST) for this in (config, other))
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-3, atol=2e-4)
    psnr = [
        json.loads(line)["val/derain/psnr"]
        for this in (config, other)
        for line in (this.out_dir / "log.jsonl").read_text().splitlines()
        if "val/derain/psnr" in line
    ]
    assert psnr[0] == pytest.approx(psnr[1], rel=1e-3)


def test_fsdp_trains_like_one_process(alone, tmp_path, launch, script):
    shared = replace(alone, out_dir=tmp_path / "fsdp", parallel="fsdp")
    launch(2, script, config_file(shared), 99)
    assert_same(alone, shared)


def test_a_run_goes_on_with_two_then_four_then_one(alone, tmp_path, launch, script):
    """And as DDP, FSDP, neither."""
    moving = replace(alone, out_dir=tmp_path / "moving")
    assert "stopped after step 2, with a checkpoint" in launch(2, script, config_file(moving), 1)
    assert "of this run, after 2 steps" in launch(4, script, config_file(replace(moving, parallel="fsdp")), 3)
    assert json.loads((moving.out_dir / LAST / "checkpoint.json").read_text())["step"] == 4
    assert len(list((moving.out_dir / LAST).glob("*.safetensors"))) == 4
    run(moving)
    assert_same(alone, moving)


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
def test_one_rank_takes_the_steps_of_no_launch(config, tmp_path, launch, device, kind):
    config = replace(config, device=device, optim=replace(config.optim, steps=3))
    run(config)
    ranked = replace(config, out_dir=tmp_path / kind, parallel=kind)
    launch(1, REPOSITORY / "tools/train.py", config_file(ranked))
    assert losses(ranked.out_dir) == pytest.approx(losses(config.out_dir), rel=1e-5)


def test_fsdp_needs_a_launch_and_no_loss_scale(config):
    with pytest.raises(ValueError, match="start it by torchrun"):
        run(replace(config, parallel="fsdp"))
    with pytest.raises(ValueError, match=r"parallel fsdp has no loss scale; give optim.precision bf16 or fp32"):
        replace(config, parallel="fsdp", optim=replace(config.optim, precision="fp16"))
