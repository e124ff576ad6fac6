"""For the whole suite: a tiny data root with pairs of every type; real samples where there are any."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from data.tasks import TASKS, Task

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and so do theirs,
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and what nohup starts ignores this one
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny networks run fastest so, and the same everywhere
settings.register_profile("suite", deadline=None, derandomize=True, max_examples=50)  # the same on any machine
settings.load_profile("suite")

REPOSITORY = Path(__file__).parents[1]
NUM_PAIRS = 3
SIZE = (40, 48)  # (h, w)


@pytest.fixture
def tiny_root(tmp_path: Path) -> Path:
    """A data root with NUM_PAIRS pairs of each type, listed in TYPE.json; every file is an own picture."""
    rng = np.random.default_rng(0)
    for pair_type, task in TASKS.items():
        entries = []
        for i in range(NUM_PAIRS):
            image, target = f"{pair_type}/image_{i}.png", f"{pair_type}/target_{i}.png"
            (tmp_path / pair_type).mkdir(exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)).save(tmp_path / image)
            save_target(task, tmp_path / target, rng)
            entries.append({"image_path": image, "target_path": target, "type": pair_type})
        (tmp_path / f"{pair_type}.json").write_text(json.dumps(entries))
    return tmp_path


def save_target(task: Task, path: Path, rng: np.random.Generator) -> None:
    """Random bytes as a picture where the task reads one, else 16 random bits a pixel."""
    Image.fromarray(rng.integers(1, 256, (*SIZE, 3), dtype=np.uint8)).save(path)
    try:
        task.read_target(path)
    except ValueError:
        Image.fromarray(rng.integers(1, 10_000, SIZE, dtype=np.uint16)).save(path)


@pytest.fixture(scope="session")
def launch() -> Callable[..., str]:
    """Runs a script with arguments as so many ranks on the CPU; returns what they print, or fails and shows it."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}

    def start(num_ranks: int, *arguments: object) -> str:
        torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(num_ranks))
        ran = subprocess.run([*torchrun, *map(str, arguments)], env=environment, capture_output=True, text=True)
        if ran.returncode:
            pytest.fail(f"{num_ranks} processes failed:\n{ran.stdout}{ran.stderr}")
        return ran.stdout + ran.stderr

    return start


@pytest.fixture(scope="session")
def samples() -> tuple[Path, ...]:
    """The data roots of a folder with a few real files of every source, named by PAINTER_SAMPLES."""
    if not (folder := os.environ.get("PAINTER_SAMPLES")):
        pytest.skip("PAINTER_SAMPLES names no folder with `datasets/` and `prepared/` samples")
    return Path(folder, "datasets"), Path(folder, "prepared")
