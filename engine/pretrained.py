"""A network from its weights: a run's checkpoint and an exported file tell what they are, others are told by a name."""

import json
import re
import textwrap
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save

from engine.precision import DTYPES
from models import Painter, PainterConfig, model_config
from models.weights import load_strict, read_weights
from util.files import write
from util.sealed import SEAL, read_seal

SHIPPED = Path(__file__).parents[1] / "assets/painter_toy"  # small weights for a toy world, in this very repository
DEFAULT_MODEL = "painter_vit_large"  # of weights that do not tell their network
CONFIG = "painter_config"  # where an exported file tells it
FILES = "config.json", "model.safetensors"  # of a folder to publish, and of a model on a hub
PLACES = "out_dir", "data.roots", "resume"  # on the machine that trained; in no exported file
STARTS = "init", "init_mae"  # weights, of which an exported file tells the name


def find_pretrained(path_or_hub_id: str | Path) -> Path:
    """A path that is there as it is; of `user/model` on a hub the folder that it is, or was before, downloaded to."""
    path = shipped(Path(path_or_hub_id))
    if path.exists() or not _names_a_model(path):
        return path
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(str(path_or_hub_id), allow_patterns=list(FILES)))
    except ImportError:
        raise ValueError(f"{path} is no file here; for models of a hub, pip install huggingface_hub") from None
    except Exception as error:  # its client and the network below each raise their own kinds
        reason = textwrap.shorten(f"{type(error).__name__}: {error}", 160)
        raise ValueError(
            f"{path} is no file here, and no model that can be had from the hub ({reason}); give the path of weights"
        ) from None


def shipped(path: Path) -> Path:
    """A path as it is; of one below assets/, from any folder but the repository's, where that has it."""
    there = SHIPPED.parents[1] / path
    return there if path.parts[:1] == ("assets",) and not path.exists() and there.exists() else path


def _names_a_model(path: Path) -> bool:
    """Whether what is not there may be `user/model` of a hub, and no path with a slip: of no folder, no file's name."""
    named = re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", str(path))
    return named is not None and not path.parent.exists() and not re.fullmatch(r"\.[a-zA-Z]+", path.suffix)


def weights_of(path: Path) -> Path:
    """A file or checkpoint as it is; of a folder of FILES the weights; what is `shipped` from any folder."""
    path = shipped(path)
    path = path.resolve() if path.is_dir() else path  # `last` may move on meanwhile
    return path / FILES[1] if (path / FILES[1]).is_file() else path


def save_pretrained(folder: Path, painter: Painter, config: dict[str, Any], precision: str = "fp32") -> Path:
    """Write a folder as hubs have it, config.json and model.safetensors; `load_painter` reads it."""
    write(folder / FILES[0], json.dumps(published(config), indent=1).encode())
    return save_painter(folder / FILES[1], painter, config, precision)


def load_painter(path: Path, name: str | None = None) -> tuple[Painter, dict[str, Any]]:
    """A network in evaluation mode with the weights of a file, a checkpoint or a folder of FILES, and its run's config.

    Of files that do not know their network `name` tells it, in the registry of models, by default the released
    ViT-L, and the config is empty. Raises ValueError on weights that do not fit exactly.
    """
    path = weights_of(path)
    weights, config = read_weights(path), _told_config(path)
    told = None if name else _told_model(config, path)
    model = Painter(told or model_config(name or DEFAULT_MODEL))
    try:
        load_strict(model, weights, str(path))
    except ValueError as error:
        hint = "" if told else f"\nIt was tried as {name or DEFAULT_MODEL}; --model names another network"
        raise ValueError(f"{error}{hint}") from None
    return model.eval(), config


def save_painter(path: Path, painter: Painter, config: dict[str, Any], precision: str = "fp32") -> Path:
    """Write weights and config as one .safetensors file that `load_painter` reads; `precision` is that of the weights.

    Of the config what is `published`. Returns its path; raises ValueError on another suffix.
    """
    if path.suffix != ".safetensors":
        raise ValueError(f"{path} must end in .safetensors")
    weights = {name: value.to(DTYPES[precision]).contiguous() for name, value in painter.state_dict().items()}
    write(path, save(weights, {"format": "pt", CONFIG: json.dumps(published(config))}))
    return path


def published(config: dict[str, Any]) -> dict[str, Any]:
    """A run's config, flat, without what is a place on its machine."""
    starts = {key: Path(config[key]).name for key in STARTS if config.get(key)}
    return {key: value for key, value in (config | starts).items() if key not in PLACES}


def _told_config(path: Path) -> dict[str, Any]:
    """The config of the run, where a checkpoint or an exported file has it."""
    if (path / SEAL).is_file():
        return read_seal(path)["config"]
    if path.suffix.lower() != ".safetensors":
        return {}
    with safe_open(path, "pt") as file:
        text = (file.metadata() or {}).get(CONFIG, "{}")
    try:
        return dict(json.loads(text)) or _neighbour(path)
    except (ValueError, TypeError):
        return {}


def _neighbour(path: Path) -> dict[str, Any]:
    """What stands in the config.json beside model.safetensors, where that tells nothing itself."""
    config = path.with_name(FILES[0])
    return dict(json.loads(config.read_bytes())) if path.name == FILES[1] and config.is_file() else {}


def _told_model(config: dict[str, Any], path: Path) -> PainterConfig | None:
    """The network that the config of a run tells of; None if it does not."""
    parts = {key.removeprefix("model."): value for key, value in config.items() if key.startswith("model.")}
    fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in parts.items()}
    try:
        return PainterConfig(**fields) if fields else None
    except TypeError as error:
        raise ValueError(f"{path} tells of a network that this version does not know ({error}); use its own") from None
