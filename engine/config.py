"""A run, completely described by typed values; each file in configs/ makes one."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from data.pair_dataset import MaskConfig
from data.tasks import Interp
from data.transforms import AugmentConfig
from engine.loss import RELEASED, Kind, Loss
from engine.optim import Learn
from models import PainterConfig

_RANGES: dict[str, Callable[[float], bool]] = {
    "1 or more": lambda x: x >= 1,
    "0 or more": lambda x: x >= 0,
    "0 or more and below 2**32": lambda x: 0 <= x < 2**32,
    "0 or more and below 1": lambda x: 0 <= x < 1,
    "above 0 and at most 1": lambda x: 0 < x <= 1,
    "a finite number, 0 or more": lambda x: 0 <= x < math.inf,
    "a finite number above 0": lambda x: 0 < x < math.inf,
}
OR_NONE = ", or None"


def _check(owner: Any, section: str, **ranges: str) -> None:
    """ValueError unless each of these values, or each number of a tuple, is of its range in words."""
    for name, words in ranges.items():
        value, holds = getattr(owner, name), _RANGES[words.removesuffix(OR_NONE)]
        parts = value if isinstance(value, tuple) else (value,)
        fits = all(isinstance(part, int | float) and holds(part) for part in parts)
        if not fits and not (value is None and words.endswith(OR_NONE)):
            raise ValueError(f"{section}{name} {value!r} must be {words}")


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
        _check(self, f"{self.train}: ", weight="a finite number, 0 or more")


@dataclass(frozen=True)
class DataConfig:
    """Where pairs come from."""

    sources: dict[str, Source]
    roots: tuple[Path, ...] = (Path("datasets"),)
    """data roots, searched in order"""
    mask: MaskConfig = field(default_factory=MaskConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    num_workers: int | None = None
    """loader processes of each rank; 0 loads in the training process, None: one a core, at most 8; on a CPU one"""
    broken: Literal["error", "quarantine"] = "error"
    """of a pair that cannot be read: stop, or note it and train on another pair of its source"""
    max_broken: int = 100
    """different broken pairs of a run that quarantine bears with; one more stops it"""
    check_files: bool = True
    """look for every file of every list before training"""

    def __post_init__(self) -> None:
        _check(self, "data.", num_workers=f"0 or more{OR_NONE}", max_broken="0 or more")
        if not self.roots:
            raise ValueError("data.roots names no folder; give those that hold the data")


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
    non_finite: Literal["stop", "skip"] = "stop"
    """of a step whose loss or gradient is NaN or infinite: stop, or leave the weights as they are and go on"""
    max_skipped: int = 10
    """steps of a run that may be skipped so; one more stops it"""
    global_batch: int = 2048
    """samples of an optimiser step, over all ranks; gradients are accumulated to reach it"""
    micro_batch: int = 2
    """samples of one forward pass on one device"""
    learn: Learn = "all"
    """what learns; head: only what follows the blocks"""
    loss: Kind = "smoothl1"
    darkest: float = RELEASED.darkest
    """a sample counts nothing whose visible target sums to less (3 values of 0..1 a pixel); on canvases smaller than
    896 x 448 poses and instances may"""
    precision: Literal["bf16", "fp16", "fp32"] = "bf16"

    def __post_init__(self) -> None:
        count, amount, positive = "1 or more", "a finite number, 0 or more", "a finite number above 0"
        _check(self, "optim.", steps=count, global_batch=count, micro_batch=count)
        _check(self, "optim.", lr=amount, darkest=amount, epochs=positive + OR_NONE, clip_grad=positive, min_lr=amount)
        _check(self, "optim.", layer_decay="above 0 and at most 1", betas="0 or more and below 1")
        _check(self, "optim.", weight_decay=amount, warmup="0 or more", max_skipped="0 or more")
        if self.min_lr > self.lr:
            raise ValueError(f"optim.min_lr {self.min_lr} must be at most optim.lr {self.lr}")

    @property
    def objective(self) -> Loss:
        """What is minimised."""
        return Loss(self.loss, self.darkest)


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
    keep_every: int | None = None
    """keep checkpoints of multiples of so many steps for good"""
    wandb: str | None = None
    """Weights & Biases project to log to as well"""

    def __post_init__(self) -> None:
        names = ("every", "val_every", "val_limit", "benchmark_every", "benchmark_limit", "save_every", "keep")
        _check(
            self, "log.", **dict.fromkeys(names, "1 or more"), pictures="0 or more", keep_every=f"1 or more{OR_NONE}"
        )


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
    """Painter weights to start from: of this very network, of any canvas"""
    resume: str = "auto"
    """auto: go on from the newest checkpoint of out_dir, if any; never; or a checkpoint to begin with"""
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """of several ranks: each holds the whole network (ddp), or a share of weights and optimiser state (fsdp)"""
    compile: bool = False
    """compile the network by torch.compile: minutes at the first start, less afterwards, and faster steps"""
    timeout_minutes: float = 30.0
    """a rank that waits longer for another one, or for data, stops them all"""
    profile: int = 0
    """steps that the PyTorch profiler records, after two of warm-up; the trace goes to out_dir/profile"""

    def __post_init__(self) -> None:
        if self.out_dir == Path():
            raise ValueError("out_dir is empty; name a folder of the run's own")
        if self.init and self.init_mae:
            raise ValueError("give init or init_mae, not both: each sets all encoder weights")
        if self.optim.learn == "head" and self.resume in ("auto", "never") and not (self.init or self.init_mae):
            raise ValueError("optim.learn head leaves all other weights as they are: give --init a Painter's")
        if self.parallel == "fsdp" and self.optim.precision == "fp16":
            raise ValueError("parallel fsdp has no loss scale; give optim.precision bf16 or fp32")
        _check(
            self, "", seed="0 or more and below 2**32", profile="0 or more", timeout_minutes="a finite number above 0"
        )


def flatten(config: RunConfig) -> dict[str, Any]:
    """Dotted key -> value, plain enough for JSON; the keys are the command line's."""

    def walk(prefix: str, value: Any) -> dict[str, Any]:
        if isinstance(value, dict):
            return {k: v for name, child in value.items() for k, v in walk(f"{prefix}{name}.", child).items()}
        return {prefix[:-1]: value}

    return walk("", json.loads(json.dumps(asdict(config), default=str)))
