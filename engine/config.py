"""A run, completely described by typed values; each file in configs/ makes one."""

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from data.pair_dataset import MaskConfig
from data.tasks import Interp
from data.transforms import AugmentConfig
from models import PainterConfig


@dataclass(frozen=True)
class Source:
    """A pair list to train on, how often to draw from it, and the list to validate on."""

    train: str
    """pair list, relative to a data root"""
    weight: float
    """chance of being drawn, relative to the other sources; 0 leaves the source out"""
    val: str | None = None
    """pair list, relative to a data root; None: no validation"""
    target_interp: Interp | None = None
    """resize painted targets by this, not as their task says; "bicubic" undoes an accident for restoration"""

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"weight {self.weight} of {self.train} must be a finite number, 0 or more")


@dataclass(frozen=True)
class DataConfig:
    """Where pairs come from."""

    sources: dict[str, Source]
    roots: tuple[Path, ...] = (Path("datasets"),)
    """data roots, searched in order"""
    mask: MaskConfig = field(default_factory=MaskConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    num_workers: int | None = None
    """loader processes of each rank; 0 loads in the training process, None: one a core, at most 8"""
    check_files: bool = True
    """look for every file of every list before training"""


@dataclass(frozen=True)
class OptimConfig:
    """AdamW and its schedule; the defaults are those of the released model."""

    steps: int = 54_000
    """length of the run in optimiser steps"""
    epochs: float | None = None
    """length in passes over all pair lists instead; replaces `steps`"""
    warmup: int = 3_600
    """steps of linear warm-up from 0"""
    lr: float = 1e-3
    """peak learning rate of the last layers"""
    min_lr: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.1
    """the released code's default; the paper says .05"""
    layer_decay: float = 0.8
    clip_grad: float = 3.0
    """largest gradient norm"""
    global_batch: int = 2048
    """samples of an optimiser step, over all ranks; gradients are accumulated to reach it"""
    micro_batch: int = 2
    """samples of one forward pass on one device"""
    loss: Literal["smoothl1", "l1", "l2", "l1l2"] = "smoothl1"
    precision: Literal["bf16", "fp16", "fp32"] = "bf16"


@dataclass(frozen=True)
class LogConfig:
    """What is recorded, and how often, in steps."""

    every: int = 10
    val_every: int = 1_000
    val_limit: int = 64
    """pairs of each source a validation takes, at most"""
    pictures: int = 4
    """picture strips of each source a validation draws"""
    benchmarks: tuple[str, ...] = ()
    """files of eval/ whose metrics are logged while training, such as nyuv2_depth"""
    benchmark_every: int = 5_000
    benchmark_limit: int = 64
    """queries that each of them takes, at most"""
    save_every: int = 500
    keep: int = 3
    """newest checkpoints kept"""
    wandb: str | None = None
    """Weights & Biases project to log to as well"""

    def __post_init__(self) -> None:
        for name in ("every", "val_every", "val_limit", "benchmark_every", "benchmark_limit", "save_every", "keep"):
            if getattr(self, name) < 1:
                raise ValueError(f"log.{name} {getattr(self, name)} must be 1 or more")


@dataclass(frozen=True)
class RunConfig:
    """A training run."""

    data: DataConfig
    out_dir: Path
    """folder of checkpoints, logs and pictures"""
    model: PainterConfig = field(default_factory=PainterConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    log: LogConfig = field(default_factory=LogConfig)
    init_mae: str | None = None
    """MAE weights to start the encoder from: a file, or timm:vit_large_patch16_224.mae"""
    init: str | None = None
    """Painter weights to start from: a file that must fit exactly"""
    resume: str = "auto"
    """auto: go on from the last checkpoint of out_dir, if any; never; or a checkpoint file"""
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        if self.init and self.init_mae:
            raise ValueError("give init or init_mae, not both: each sets all encoder weights")
        if self.seed < 0:
            raise ValueError(f"seed {self.seed} must be 0 or more")


def flatten(config: RunConfig) -> dict[str, Any]:
    """Dotted key -> value, plain enough for JSON; the keys are the command line's."""

    def walk(prefix: str, value: Any) -> dict[str, Any]:
        if isinstance(value, dict):
            return {k: v for name, child in value.items() for k, v in walk(f"{prefix}{name}.", child).items()}
        return {prefix[:-1]: value}

    return walk("", json.loads(json.dumps(asdict(config), default=str)))
