"""A run small enough for a test: two sources of blocky pictures, a canvas of 4 x 2 tokens."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.pair_dataset import MaskConfig
from engine import train
from engine.config import DataConfig, LogConfig, OptimConfig, RunConfig, Source
from models import model_config


def write_source(root: Path, name: str, pair_type: str, count: int, depth: bool = False) -> str:
    rng = np.random.default_rng(len(name))
    pairs = []
    for i in range(count):
        pair = {"image_path": f"{name}/{i}.png", "target_path": f"{name}/{i}_target.png", "type": pair_type}
        (root / name).mkdir(parents=True, exist_ok=True)
        image = rng.integers(0, 256, (4, 4, 3)).repeat(10, 0).repeat(9, 1).astype(np.uint8)  # 40 x 36, blocks
        target = image[..., 0].astype(np.uint16) * 30 + 1000 if depth else 155 + (image // 3)
        Image.fromarray(image).save(root / pair["image_path"])
        Image.fromarray(target).save(root / pair["target_path"])
        pairs.append(pair)
    (root / f"{name}.json").write_text(json.dumps(pairs))
    return f"{name}.json"


@pytest.fixture(scope="session")
def data_root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_source(root, "derain", "derain_image2derain", 5)
    write_source(root, "depth", "nyuv2_image2depth", 3, depth=True)
    return root


@pytest.fixture
def config(data_root, tmp_path) -> RunConfig:
    return RunConfig(
        model=model_config(
            "painter_vit_tiny",
            img_size=(64, 32),
            embed_dim=24,
            depth=4,
            num_heads=2,
            decoder_embed_dim=4,
            drop_path_rate=0.3,
        ),
        data=DataConfig(
            {"derain": Source("derain.json", 1.0, "derain.json"), "depth": Source("depth.json", 2.0, "depth.json")},
            roots=(data_root,),
            mask=MaskConfig(half_ratio=0.3, block_size=(1, 3)),
            num_workers=0,
        ),
        optim=OptimConfig(steps=6, warmup=2, global_batch=8, micro_batch=2, precision="fp32"),
        log=LogConfig(every=1, val_every=100, save_every=2, keep=2),
        out_dir=tmp_path / "run",
        device="cpu",
    )


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny models run fastest so, and the same everywhere."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def spoil(monkeypatch):
    """Makes the loss of a step's first micro-batch NaN."""

    def spoil_steps(*steps):
        original = train.mean_error

        backward = train.Run._backward

        def spoiled(self, batch, micro):
            scale = torch.nan if self.state.step + 1 in steps and not micro else 1.0
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(train, "mean_error", lambda *parts: original(*parts) * scale)
                return backward(self, batch, micro)

        monkeypatch.setattr(train.Run, "_backward", spoiled)

    return spoil_steps
