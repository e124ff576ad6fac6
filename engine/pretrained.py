"""A network from its weights: a run's checkpoint and an exported file tell what they are, others are told by a name."""

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save

from engine.precision import DTYPES
from models import Painter, PainterConfig, model_config
from models.weights import load_strict, read_weights
from util.files import write
from util.sealed import SEAL, read_seal

DEFAULT_MODEL = "painter_vit_large"  # of weights that do not tell their network
CONFIG = "painter_config"  # where an exported file tells it


def load_painter(path: Path, name: str | None = None) -> tuple[Painter, dict[str, Any]]:
    """A network in evaluation mode with the weights of a file or checkpoint, and the config of its run.

    Of files that do not know their network `name` tells it, in the registry of models, by default the released
    ViT-L, and the config is empty. Raises ValueError on weights that do not fit exactly.
    """
    path = path.resolve() if path.is_dir() else path  # `last` may move on meanwhile
    weights, config = read_weights(path), _told_config(path)
    told = None if name else _told_model(config, path)
    model = Painter(told or model_config(name or DEFAULT_MODEL))
    try:
        load_strict(model, weights, str(path))
    except ValueError as error:
        hint = "" if told else f"\nIt was tried as {name or DEFAULT_MODEL}; --model names another network"
        raise ValueError(f"{error}{hint}") from None
    return model.eval(), config


def save_painter(path: Path, painter: Painter, config: dict[str, Any], precision: str = "fp32") -> None:
    """Write weights and config as one .safetensors file that `load_painter` reads; `precision` is that of the weights.

    Raises ValueError on another suffix.
    """
    if path.suffix != ".safetensors":
        raise ValueError(f"{path} must end in .safetensors")
    weights = {name: value.to(DTYPES[precision]).contiguous() for name, value in painter.state_dict().items()}
    write(path, save(weights, {"format": "pt", CONFIG: json.dumps(config)}))


def _told_config(path: Path) -> dict[str, Any]:
    """The config of the run, where a checkpoint or an exported file has it."""
    if (path / SEAL).is_file():
        return read_seal(path)["config"]
    if path.suffix.lower() != ".safetensors":
        return {}
    with safe_open(path, "pt") as file:
        text = (file.metadata() or {}).get(CONFIG, "{}")
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError):
        return {}


def _told_model(config: dict[str, Any], path: Path) -> PainterConfig | None:
    """The network that the config of a run tells of; None if it does not."""
    parts = {key.removeprefix("model."): value for key, value in config.items() if key.startswith("model.")}
    fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in parts.items()}
    try:
        return PainterConfig(**fields) if fields else None
    except TypeError as error:
        raise ValueError(f"{path} tells of a network that this version does not know ({error}); use its own") from None
