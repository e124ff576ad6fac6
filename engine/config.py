"""A run, completely described by typed values; a file in configs/ makes one, the command line overrides it."""

import dataclasses
import difflib
import json
import re
import runpy
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import tyro

from data.pair_dataset import MaskConfig
from models import PainterConfig

CONFIG_FOLDER = Path(__file__).parent.parent / "configs"


@dataclass(frozen=True)
class Source:
    """A pair list to train on, how often to draw from it, and the list to validate on."""

    train: str
    """pair list, relative to a data root"""
    weight: float
    """chance of being drawn, relative to the other sources; 0 leaves the source out"""
    val: str | None = None
    """pair list, relative to a data root; None: no validation"""


@dataclass(frozen=True)
class DataConfig:
    """Where pairs come from."""

    sources: dict[str, Source]
    roots: tuple[Path, ...] = (Path("datasets"),)
    """data roots, searched in order"""
    mask: MaskConfig = field(default_factory=MaskConfig)
    num_workers: int = 8
    """loader processes of each rank; 0 loads in the training process"""
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
    save_every: int = 500
    keep: int = 3
    """newest checkpoints kept"""
    wandb: str | None = None
    """Weights & Biases project to log to as well"""


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


def load_config(arguments: Sequence[str], prog: str) -> RunConfig:
    """The config file or name in arguments[0], with the overrides that follow it."""
    if not arguments or arguments[0].startswith("-"):
        raise ValueError(f"which run? usage: {prog} CONFIG [--key value ...]; CONFIG is a file or one of {_names()}")
    path = _config_file(arguments[0])
    config = _read(path)
    return tyro.cli(RunConfig, prog=f"{prog} {arguments[0]}", default=config, args=list(arguments[1:]),
                    description=runpy.run_path(str(path)).get("__doc__"), use_underscores=True,
                    config=(tyro.conf.FlagConversionOff,))


def _names() -> str:
    return ", ".join(sorted(path.stem for path in CONFIG_FOLDER.glob("*.py") if not path.stem.startswith("_")))


def _config_file(name: str) -> Path:
    for path in (Path(name), CONFIG_FOLDER / f"{name}.py"):
        if path.is_file():
            return path
    near = difflib.get_close_matches(Path(name).stem, _names().split(", "), n=1)
    hint = f"did you mean {near[0]}?" if near else f"known names: {_names()}"
    raise ValueError(f"there is no config {name}; {hint}")


def _read(path: Path) -> RunConfig:
    """Run a config file; an unknown key gets a suggestion."""
    try:
        config = runpy.run_path(str(path)).get("config")
    except TypeError as error:
        unknown = re.search(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", str(error))
        raise ValueError(f"{path}: {_suggest(*unknown.groups()) if unknown else error}") from None
    if not isinstance(config, RunConfig):
        raise ValueError(f"{path} does not define `config = RunConfig(...)`")
    return config


def _suggest(owner: str, key: str) -> str:
    kinds = (RunConfig, DataConfig, Source, MaskConfig, OptimConfig, LogConfig, PainterConfig)
    names = {kind.__name__: [f.name for f in dataclasses.fields(kind)] for kind in kinds}.get(owner, [])
    near = difflib.get_close_matches(key, names, n=1)
    return f"{owner} has no key {key!r}; " + (f"did you mean {near[0]!r}?" if near else f"its keys: {', '.join(names)}")


def flatten(config: RunConfig) -> dict[str, Any]:
    """Dotted key -> value, plain enough for JSON; the keys are the command line's."""
    def walk(prefix: str, value: Any) -> dict[str, Any]:
        if isinstance(value, dict):
            return {k: v for name, child in value.items() for k, v in walk(f"{prefix}{name}.", child).items()}
        return {prefix[:-1]: value}

    return walk("", json.loads(json.dumps(dataclasses.asdict(config), default=str)))
