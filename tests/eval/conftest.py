"""Five data sets of a few small pictures each, as they lie after preparation, and networks that paint in no time."""

import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from data.tasks import SOURCES
from data.tasks.semantic import ADE20K_SEMANTIC
from engine.checkpoint import LAST, Checkpoints
from engine.config import DataConfig, LogConfig, OptimConfig, RunConfig, Source, flatten
from engine.optim import make_optimizer
from engine.precision import Precision
from engine.state import TrainState
from eval import command
from eval.benchmark import Benchmark
from models import Painter, PainterConfig
from util.dist import join_world

TINY = PainterConfig((96, 48), 16, 16, 4, 2, decoder_embed_dim=4, pretrain_img_size=48, drop_path_rate=0.0)
NUM_QUERIES = {"nyuv2_depth": 4, "ade20k_semantic": 3, "sidd": 3, "lol": 5, "derain": 4}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tiny networks run fastest so, and the same everywhere."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def smooth(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A picture that survives resizing, (h, w, 3) bytes of 40..215."""
    values = torch.from_numpy(rng.uniform(40, 215, (1, 3, 3, 3)))
    larger = torch.nn.functional.interpolate(values, size, mode="bilinear", align_corners=True)
    return larger[0].permute(1, 2, 0).byte().numpy()


def write_list(root: Path, source: str, pairs: Sequence[tuple[str, str]]) -> None:
    task = SOURCES[source]
    entries = [{"image_path": image, "target_path": target, "type": task.type} for image, target in pairs]
    (root / task.lists["train"]).parent.mkdir(parents=True, exist_ok=True)
    (root / task.lists["train"]).write_text(json.dumps(entries))


def write_nyu(root: Path, rng: np.random.Generator) -> None:
    """Two training scenes of two frames, of which the paper's prompt is one; two test scenes of two."""
    folder, pairs = "nyu_depth_v2", []
    for split, scenes in (("sync", ("study_room_0005b", "kitchen_0003")), ("official_splits/test", ("bath", "den"))):
        for scene in scenes:
            for number in ("00094", "00095"):
                image, depth = (f"{folder}/{split}/{scene}/{kind}_{number}" for kind in ("rgb", "sync_depth"))
                picture = smooth(rng, (48, 64))
                millimetres = picture[..., 0].astype(np.uint16) * 30 + 1000
                millimetres[:4] = 0
                save(root / f"{image}.jpg", picture)
                save(root / f"{depth}.png", millimetres)
                pairs.append((f"{image}.jpg", f"{depth}.png"))
    write_list(root, "nyuv2_depth", pairs[:4])


def write_ade(root: Path, rng: np.random.Generator) -> None:
    """Three training pairs, painted, of which the paper's prompt is one; three validation images in quarters."""
    pairs = []
    for split, names in (("training", ("ADE_train_00009574", "a", "b")), ("validation", ("v1", "v2", "v3"))):
        for name in names:
            classes = rng.integers(1, 151, (2, 2), dtype=np.uint8).repeat(24, 0).repeat(36, 1)
            classes[:3] = 0
            image = f"ade20k/images/{split}/{name}.jpg"
            save(root / image, smooth(rng, classes.shape))
            save(root / f"ade20k/annotations/{split}/{name}.png", classes)
            if split == "training":
                painted = f"ade20k/annotations_with_color/{split}/{name}.png"
                save(root / painted, ADE20K_SEMANTIC.encode(classes - np.uint8(1)))
                pairs.append((image, painted))
    write_list(root, "ade20k_semantic", pairs)


def write_restoration(root: Path, rng: np.random.Generator) -> None:
    """SIDD, LoL and two of the five test sets of deraining; each with two training pairs."""
    degraded = {
        "denoise": ("denoise/train", "input", "groundtruth", ("9_9", "9_10"), "png"),
        "derain": ("derain/train", "input", "target", ("100", "101"), "jpg"),
        "enhance": ("light_enhance/our485", "low", "high", ("100", "101"), "png"),
    }
    for source, (folder, below, above, names, suffix) in degraded.items():
        write_pairs(root, rng, folder, (below, above), names, suffix)
        pairs = [(f"{folder}/{below}/{name}.{suffix}", f"{folder}/{above}/{name}.{suffix}") for name in names]
        write_list(root, source, pairs)
    write_pairs(root, rng, "denoise/val", ("input", "groundtruth"), ("0001_01", "0001_02", "0002_01"), "png")
    write_pairs(root, rng, "light_enhance/eval15", ("low", "high"), ("1", "22", "23", "55", "79"), "png")
    for name, numbers in (("Rain100L", ("1",)), ("Test100", ("1", "2", "3"))):
        write_pairs(root, rng, f"derain/test/{name}", ("input", "target"), numbers, "png")


def write_pairs(
    root: Path, rng: np.random.Generator, folder: str, sides: tuple[str, str], names: Sequence[str], suffix: str
) -> None:
    for name in names:
        clean = smooth(rng, (40, 56))
        save(root / folder / sides[0] / f"{name}.{suffix}", clean // 2)
        save(root / folder / sides[1] / f"{name}.{suffix}", clean)


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Path:
    """A data root with the data sets of five benchmarks; tests that change it take `root`."""
    root, rng = tmp_path_factory.mktemp("world"), np.random.default_rng(0)
    write_nyu(root, rng)
    write_ade(root, rng)
    write_restoration(root, rng)
    return root


@pytest.fixture
def root(world: Path, tmp_path: Path) -> Path:
    """The data root as a copy of the test's own."""
    return shutil.copytree(world, tmp_path / "data")


def tiny_painter(seed: int = 0) -> Painter:
    """Weights large enough that prompt and query show in what it paints."""
    torch.manual_seed(seed)
    painter = Painter(TINY)
    with torch.no_grad():
        for name, parameter in painter.named_parameters():
            if name.startswith(("decoder", "patch_embed")):
                parameter.mul_(4)
    return painter.eval()


def run_config(world: Path, out_dir: Path) -> RunConfig:
    """A training run of a few steps on LoL and depth."""
    weights = {"enhance": 1.0, "nyuv2_depth": 1.0, "derain": 0.0}
    return RunConfig(
        DataConfig(
            {name: Source(SOURCES[name].lists["train"], weight) for name, weight in weights.items()},
            roots=(world,),
            num_workers=0,
        ),
        out_dir,
        replace(TINY, drop_path_rate=0.3),
        OptimConfig(steps=4, warmup=1, global_batch=2, micro_batch=1, precision="fp32"),
        LogConfig(every=1, val_every=100, save_every=100),
        seed=3,
        device="cpu",
    )


def save_run(folder: Path, painter: Painter, config: dict[str, object]) -> Path:
    """A checkpoint as a training run leaves it."""
    state = TrainState(painter, make_optimizer(painter, 0.1, 0.8, (0.9, 0.999)), Precision("fp32", "cpu").scaler(), 7)
    checkpoints = Checkpoints(folder, 1, join_world("cpu"))
    checkpoints.save(state, config)
    checkpoints.finish()
    return (folder / LAST).resolve()


@pytest.fixture(scope="session")
def ckpt(world: Path, tmp_path_factory) -> Path:
    """The checkpoint of a joint run."""
    folder = tmp_path_factory.mktemp("run")
    return save_run(folder, tiny_painter(), flatten(run_config(world, folder)))


class Ended(NamedTuple):
    """How a command ended."""

    code: object
    """exit status, or the sentence for standard error; None: well"""
    out: str
    err: str


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Call a benchmark's command in this process, in an empty folder."""

    def call(benchmark: Benchmark, *arguments: object, description: str | None = "What it is.") -> Ended:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [f"eval.{benchmark.name}", *map(str, arguments)])
        code: object = None
        try:
            command.main(benchmark, description)
        except SystemExit as end:
            code = end.code
        return Ended(code, *capsys.readouterr())

    return call


REPOSITORY = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
SCRIPT = """
import sys
from contextlib import closing
from pathlib import Path
from engine.load_config import load_config
from engine.stop import StopSignals
from engine.train import Run
from eval.command import Options, evaluate
from eval.during_training import probes
from eval.run import benchmark_of
from util.dist import joined

with joined("cpu") as world:
    data, ckpt, out = map(Path, sys.argv[1:4])
    for folder, name, options in (
        ("lol", "lol", {"ckpt": ckpt, "batch_size": 2, "save_images": True}),
        ("one", "nyuv2_depth", {"ckpt": ckpt, "limit": 1}),
        ("oracle", "derain", {"oracle": True, "oracle_noise": 9.0, "batch_size": 1}),
    ):
        evaluate(benchmark_of(name), Options(data_root=(data,), out_dir=out / folder, num_workers=0, **options), world)
    config = load_config([sys.argv[4]], "test")
    training = Run(config, world, StopSignals(), probes(config))
    with closing(training.logger):
        training.train()
"""


def config_file(config: RunConfig) -> Path:
    """The config as a file that another process can read."""
    imports = "from pathlib import *\nfrom engine.config import *\nfrom data.pair_dataset import MaskConfig\n"
    imports += "from data.transforms import AugmentConfig\nfrom models import PainterConfig\n"
    path = config.out_dir.with_suffix(".py")
    path.write_text(f"{imports}config = {config!r}\n")
    return path


@pytest.fixture(scope="session")
def two_ranks(world: Path, ckpt: Path, tmp_path_factory, launch) -> Path:
    """Results of two processes: folders `lol`, `one` and `oracle` of three commands, `train` of a training run."""
    out = tmp_path_factory.mktemp("two_ranks")
    (out / "script.py").write_text(SCRIPT)
    config = with_probes(run_config(world, out / "train"))
    launch(2, out / "script.py", world, ckpt, out, config_file(config))
    return out


def with_probes(config: RunConfig) -> RunConfig:
    """Two benchmarks after steps 2 and 4, on three queries each."""
    return replace(
        config,
        log=replace(config.log, benchmarks=("lol", "ade20k_semantic"), benchmark_every=2, benchmark_limit=3),
    )
