"""train_painter_vit_large.sh: it says what is unset, and starts as many processes as asked."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
VARIABLES = ("NNODES", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT", "GPUS_PER_NODE")


def launch(script: str, *arguments: str, path: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k not in VARIABLES}
    environment["PATH"] = f"{path}:{environment['PATH']}" if path else environment["PATH"]
    return subprocess.run(
        ["bash", script, *arguments],
        cwd=REPOSITORY,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("variables", "missing"),
    [
        ({}, "NNODES"),
        ({"NNODES": "1"}, "GPUS_PER_NODE"),
        ({"NNODES": "2", "GPUS_PER_NODE": "8"}, "NODE_RANK"),
        ({"NNODES": "2", "GPUS_PER_NODE": "8", "NODE_RANK": "1"}, "MASTER_ADDR"),
        ({"NNODES": "2", "GPUS_PER_NODE": "8", "NODE_RANK": "1", "MASTER_ADDR": "a"}, "MASTER_PORT"),
    ],
)
def test_what_is_unset_is_named_in_one_sentence(variables, missing):
    result = launch("train_painter_vit_large.sh", **variables)
    assert result.returncode == 2
    assert result.stderr.startswith(f"{missing} is not set: ")
    assert len(result.stderr.splitlines()) == 1


@pytest.fixture
def recorder(tmp_path) -> Path:
    """A python3 that prints its arguments, an srun that runs its command, and a scontrol that knows two nodes."""
    for name, text in {
        "python": 'if [ "$1" != -c ]; then echo "$@"; fi',
        "scontrol": "printf 'n0\\nn1\\n'",
        "srun": 'shift; for i in 0 1; do SLURM_NODEID=$i "$@"; done',
    }.items():
        path = tmp_path / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)
    return tmp_path


def test_arguments_reach_torchrun_and_the_run(recorder):
    result = launch(
        "train_painter_vit_large.sh",
        "--optim.lr",
        "1",
        "--out_dir",
        "a b",
        PYTHON=str(recorder / "python"),
        NNODES="2",
        GPUS_PER_NODE="8",
        NODE_RANK="1",
        MASTER_ADDR="n0",
        MASTER_PORT="29500",
    )
    assert "--nnodes 2 --nproc_per_node 8 --node_rank 1 --master_addr n0 --master_port 29500" in result.stdout
    assert result.stdout.endswith("tools/train.py painter_vit_large --optim.lr 1 --out_dir a b\n")


def test_slurm_gives_every_node_its_rank(recorder):
    result = launch(
        "tools/slurm_train.sbatch",
        "--optim.lr",
        "1",
        path=str(recorder),
        PYTHON=str(recorder / "python"),
        SLURM_JOB_NUM_NODES="2",
        SLURM_JOB_NODELIST="n[0-1]",
        SLURM_JOB_ID="7",
        SLURM_GPUS_ON_NODE="4",
    )
    lines = result.stdout.splitlines()
    assert len(lines) == 2, result.stderr
    for rank, line in enumerate(lines):
        assert f"--nnodes 2 --nproc_per_node 4 --node_rank {rank} --master_addr n0 --master_port 20007" in line
        assert line.endswith("--optim.lr 1")


def test_two_cpu_processes_train(data_root, tmp_path):
    result = launch(
        "train_painter_vit_large.sh",
        "--data.roots",
        str(data_root),
        "--out_dir",
        str(tmp_path / "run"),
        "--device",
        "cpu",
        "--data.num_workers",
        "0",
        "--model.img_size",
        "64",
        "32",
        "--model.depth",
        "4",
        "--model.embed_dim",
        "24",
        "--model.num_heads",
        "2",
        "--optim.steps",
        "2",
        "--optim.global_batch",
        "4",
        "--optim.warmup",
        "1",
        *[
            part
            for name in ("ade20k_semantic", "coco_instance", "coco_semantic", "coco_pose", "denoise", "enhance")
            for part in (f"--data.sources.{name}.weight", "0")
        ],
        "--data.sources.derain.train",
        "derain.json",
        "--data.sources.derain.val",
        "derain.json",
        "--data.sources.nyuv2_depth.train",
        "depth.json",
        "--data.sources.nyuv2_depth.val",
        "depth.json",
        PYTHON=sys.executable,
        NNODES="1",
        GPUS_PER_NODE="2",
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "run" / "step_0000002.pth").exists()
