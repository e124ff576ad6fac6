"""Find a config by file or name, check it, and let the command line override any of its values."""

import dataclasses
import difflib
import inspect
import re
import runpy
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_type_hints

import tyro
from typeguard import TypeCheckError, check_type

from data.pair_dataset import MaskConfig
from data.transforms import AugmentConfig
from engine.config import DataConfig, LogConfig, OptimConfig, RunConfig, Source
from models import PainterConfig

CONFIG_FOLDER = Path(__file__).parent.parent / "configs"


def load_config(arguments: Sequence[str], prog: str) -> RunConfig:
    """The config file or name in arguments[0], with the overrides that follow it."""
    usage = f"usage: {prog} CONFIG [--key value ...]; CONFIG is a file or one of {_names()}"
    if arguments and arguments[0] in ("-h", "--help"):
        print(f"{usage}\n\nThe keys of a run: {prog} CONFIG --help", flush=True)
        raise SystemExit(0)
    if not arguments or arguments[0].startswith("-"):
        raise ValueError(f"which run? {usage}")
    path = _config_file(arguments[0])
    config = _read(path)
    return tyro.cli(
        RunConfig,
        prog=f"{prog} {arguments[0]}",
        default=config,
        args=list(arguments[1:]),
        description=runpy.run_path(str(path)).get("__doc__"),
        use_underscores=True,
        config=(tyro.conf.FlagConversionOff,),
    )


def _names() -> str:
    return ", ".join(
        sorted(path.stem for path in CONFIG_FOLDER.glob("*.py") if path.stem not in ("__init__", "sources"))
    )


def _config_file(name: str) -> Path:
    for path in (Path(name), CONFIG_FOLDER / f"{name}.py"):
        if path.is_file():
            return path
    if Path(name).is_dir():
        raise ValueError(f"{name} is a folder; give a config file in it, or one of {_names()}")
    near = difflib.get_close_matches(Path(name).stem, _names().split(", "), n=1)
    hint = f"did you mean {near[0]}?" if near else f"known names: {_names()}"
    raise ValueError(f"there is no config {name}; {hint}")


def _read(path: Path) -> RunConfig:
    """Run a config file; whatever it raises becomes a sentence, an unknown key with a suggestion."""
    try:
        config = runpy.run_path(str(path)).get("config")
    except SyntaxError as error:
        raise ValueError(f"{path} is not a Python file: {error}") from None
    except Exception as error:
        unknown = re.search(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", str(error))
        raise ValueError(f"{path}{_line(path, error)}: {_suggest(*unknown.groups()) if unknown else error}") from error
    if not isinstance(config, RunConfig):
        raise ValueError(f"{path} does not define `config = RunConfig(...)`")
    _check_types(config, f"{path}: ")
    return config


def _line(path: Path, error: Exception) -> str:
    """Where in a config file it was raised, to follow its path."""
    lines = [
        f", line {frame.lineno}" for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
    ]
    return lines[-1] if lines else ""


def _check_types(value: Any, where: str) -> None:
    """Every value of a config file is of its key's type."""
    if isinstance(value, dict):
        for key, child in value.items():
            _check_types(child, f"{where}{key}.")
    elif dataclasses.is_dataclass(value):
        hints = get_type_hints(type(value))
        for name, child in ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value)):
            try:
                check_type(child, hints[name])
            except TypeCheckError:
                right = inspect.formatannotation(hints[name])
                raise ValueError(f"{where}{name} = {child!r:.120} has the wrong type; give {right}") from None
            _check_types(child, f"{where}{name}.")


def _suggest(owner: str, key: str) -> str:
    kinds = (RunConfig, DataConfig, Source, AugmentConfig, MaskConfig, OptimConfig, LogConfig, PainterConfig)
    names = {kind.__name__: [f.name for f in dataclasses.fields(kind)] for kind in kinds}.get(owner, [])
    near = difflib.get_close_matches(key, names, n=1)
    return f"{owner} has no key {key!r}; " + (f"did you mean {near[0]!r}?" if near else f"its keys: {', '.join(names)}")
