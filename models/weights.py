"""Weights from a file into a model: read safely, fit strictly, say exactly what does not fit.

No file runs code here: it is safetensors, or goes through `torch.load(weights_only=True)`. The names that
a MAE initialisation may leave unused, or new, are the three lists below; nothing else is forgiven.
"""

import argparse
import os
import re
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from pickle import UnpicklingError

import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.distributed.checkpoint import HuggingFaceStorageReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from models.vit import resampled
from util.sealed import SEAL, check_seal

warnings.filterwarnings("ignore", message="torch.distributed is disabled, unavailable or uninitialized")

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
MODEL = "model."  # before the names of weights in a run's checkpoint
RELATIVE = ".attn.rel_pos_h", ".attn.rel_pos_w"
UNUSED = ("cls_token",)
UNUSED_MAE_DECODER = (  # of a full MAE file; three of the names are also Painter's, for other parts
    "mask_token",
    "decoder_embed.*",
    "decoder_pos_embed",
    "decoder_blocks.*",
    "decoder_norm.*",
    "decoder_pred.*",
)
MAY_BE_NEW = (
    "mask_token",
    "segment_token_x",
    "segment_token_y",
    "type_token_cls",
    "type_token_ins",
    *(f"*{name}" for name in RELATIVE),
    "decoder_embed.*",
    "decoder_pred.*",
)


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors, .pth, .pt or .bin file, or of a run's checkpoint folder, by name, on the CPU.

    A pickle holds {"model": state_dict}, with or without the rest of a training checkpoint beside it, or a
    bare state_dict. Raises as `read_checkpoint`.
    """
    path = Path(path)
    if (path / SEAL).is_file():
        return _read_folder(path.resolve())  # `last` may move on meanwhile
    return named_tensors(read_checkpoint(path), path)


def stored_tensors(folder: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint folder by name, without their data; ValueError if one is not all there."""
    found = HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata.items()
    stored = {name: tensor for name, tensor in found if isinstance(tensor, TensorStorageMetadata)}
    for name, tensor in stored.items():
        if sum(chunk.sizes.numel() for chunk in tensor.chunks) != tensor.size.numel():
            raise ValueError(f"{folder} has not all parts of {name}; use another checkpoint of the run")
    return {n: torch.empty(x.size, dtype=x.properties.dtype, device="meta") for n, x in stored.items()}


def _read_folder(folder: Path) -> dict[str, Tensor]:
    """The weights of a checkpoint that any number of ranks have written."""
    check_seal(folder)
    stored = {name: tensor for name, tensor in stored_tensors(folder).items() if name.startswith(MODEL)}
    tensors = {name: torch.empty_like(tensor, device="cpu") for name, tensor in stored.items()}
    dcp.load(tensors, storage_reader=HuggingFaceStorageReader(str(folder)), no_dist=True)
    return {name.removeprefix(MODEL): tensor for name, tensor in tensors.items()}


def read_checkpoint(path: str | Path) -> object:
    """All a weights file holds, on the CPU; a pickle that asks for code is refused.

    Raises ValueError: one sentence that names the file and the cure.
    """
    path = Path(path)
    _check_file(path)
    try:
        return load_file(path) if path.suffix.lower() == ".safetensors" else _load_pickle(path)
    except UnpicklingError as error:  # its text advises to switch the safety off: not shown
        raise ValueError(_refusal(path, str(error))) from None
    except Exception as error:  # damaged bytes fail in any way: RuntimeError, KeyError, UnicodeDecodeError
        raise ValueError(_unreadable(path, _reason(error))) from error


def load_strict(model: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Fill every parameter and buffer of `model`, cast to the model's dtype and device.

    Raises ValueError with all missing, unexpected and mis-shaped names of `source`, and with those that hold NaN or
    infinity; the model is then unchanged.
    """
    check_fit(model.state_dict(), weights, source)
    if wild := [name for name, value in weights.items() if not value.isfinite().all()]:
        raise ValueError(f"{source} holds NaN or infinity in {_first_ten(wild)}; its training has failed: take another")
    model.load_state_dict(weights)


def at_canvas_of(model: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of another canvas: offsets between tokens are resized, as attention does when it meets that canvas."""
    state = model.state_dict()
    tables = {name: value for name, value in weights.items() if name.endswith(RELATIVE) and name in state}
    fits = {name: resampled(value, len(state[name])) for name, value in tables.items() if value.ndim == 2}
    return {**weights, **fits}


def init_from_mae(model: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Start from a MAE pre-trained encoder, as the paper does; what is `MAY_BE_NEW` keeps its values.

    `weights` is an encoder, or a full MAE, whose own decoder is left out. Raises as `load_strict`.
    """
    is_full = any(name.startswith(("decoder_pos_embed", "decoder_blocks.")) for name in weights)
    unused = UNUSED + UNUSED_MAE_DECODER if is_full else UNUSED
    encoder = {name: value for name, value in weights.items() if not _is_any(name, unused)}
    state = model.state_dict()
    new = {name: value for name, value in state.items() if _is_any(name, MAY_BE_NEW)}
    check_fit({name: value for name, value in state.items() if name not in new}, encoder, source)
    model.load_state_dict({**new, **encoder})


def read_mae(name_or_path: str) -> dict[str, Tensor]:
    """MAE weights from a file, or by name from timm's hub: "timm:vit_large_patch16_224.mae".

    Raises as `read_weights`, also where timm does not work or has no such weights.
    """
    if not name_or_path.startswith("timm:"):
        return read_weights(name_or_path)
    return _from_timm(name_or_path.removeprefix("timm:"))


def _check_file(path: Path) -> None:
    if not path.exists():
        raise ValueError(f"{path} does not exist: check the path, or download the weights there first")
    if path.is_dir():
        inside = f"{path}/last" if (path / "last").exists() else "the path of the weights file in it"
        raise ValueError(f"{path} is a directory: give {inside}")
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path} has an unknown suffix: weights end in .safetensors, .pth, .pt or .bin")
    if not os.access(path, os.R_OK):
        raise ValueError(f"{path} may not be read by this user: give it read permission")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty (0 bytes): download or save it again")


def _load_pickle(path: Path) -> object:
    """MAE's training checkpoints hold their options in a Namespace: it sets attributes and runs nothing."""
    with torch.serialization.safe_globals([argparse.Namespace]):
        return torch.load(path, map_location="cpu", weights_only=True)


def _refusal(path: Path, message: str) -> str:
    """`message` has "unsupported GLOBAL posix.system whose ..." or "GLOBAL foo.Bar was not ..."."""
    code = re.search(r"GLOBAL (\S+) w", message)
    if code is None:
        return _unreadable(path, "not a pickle as torch.save writes it")
    return (
        f"{path} wants to import or run {code[1]} and is refused for safety: where you trust it, save "
        'only its tensors again, as {"model": state_dict} or as .safetensors'
    )


def _unreadable(path: Path, reason: str) -> str:
    cause = "it is cut short, damaged or of another kind"
    return f"{path} cannot be read as weights ({reason}): {cause}, so download or save it again"


def _reason(error: Exception) -> str:
    return textwrap.shorten(repr(error), 120)


def named_tensors(content: object, path: Path) -> dict[str, Tensor]:
    """The tensors among what a weights file holds; ValueError if there are none, or others beside them."""
    state = content.get("model", content) if isinstance(content, Mapping) else None
    cure = 'save it again as {"model": state_dict} or as a bare state_dict'
    if not isinstance(state, Mapping) or not state:
        raise ValueError(f"{path} holds no named tensors: {cure}")
    strange = [name for name, value in state.items() if not (isinstance(name, str) and _is_plain(value))]
    if strange:
        raise ValueError(f"{path} holds values that are no plain float tensors ({_first_ten(strange)}): {cure}")
    return dict(state)


def _is_plain(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and value.layout == torch.strided


def check_fit(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], source: str) -> None:
    """ValueError with all names of `source` that are missing, unexpected or of another shape than expected."""
    problems = {
        "missing": [name for name in expected if name not in found],
        "unexpected": [name for name in found if name not in expected],
        "mis-shaped": [
            f"{name} found {tuple(found[name].shape)} expected {tuple(value.shape)}"
            for name, value in expected.items()
            if name in found and found[name].shape != value.shape
        ],
    }
    lines = [f"  {kind}: {_first_ten(names)}" for kind, names in problems.items() if names]
    if lines:
        heading = f"{source} does not fit the model; it needs weights of the same architecture and size:"
        raise ValueError("\n".join([heading, *lines]))


def _first_ten(names: Sequence[str]) -> str:
    more = f" ... and {len(names) - 10} more" if len(names) > 10 else ""
    return "; ".join(map(str, names[:10])) + more


def _is_any(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _from_timm(name: str) -> dict[str, Tensor]:
    try:
        import timm
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision built for another torch
        cure = "pip install timm torchvision, or give the path of a MAE file"
        raise ValueError(f"timm:{name} needs a working timm ({_reason(error)}): {cure}") from error
    try:
        return dict(timm.create_model(name, pretrained=True, num_classes=0).state_dict())
    except Exception as error:  # timm, its hub's client and the network below each raise their own kinds
        cure = "check the name and the network, or download the MAE file elsewhere and give its path"
        raise ValueError(f"timm cannot provide {name} ({_reason(error)}): {cure}") from error
