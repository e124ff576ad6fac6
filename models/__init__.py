"""Models by name: `create_model("painter_vit_large")`; a name stands for a PainterConfig."""

import difflib
from dataclasses import replace
from typing import Any

from models.config import PainterConfig
from models.painter import Painter

__all__ = ["MODELS", "Painter", "PainterConfig", "create_model", "model_config"]

_LARGE = PainterConfig()

MODELS: dict[str, PainterConfig] = {
    "painter_vit_large": _LARGE,
    "painter_vit_large_patch16_input896x448_win_dec64_8glb_sl1": _LARGE,  # the released name
    "painter_vit_base": replace(_LARGE, embed_dim=768, depth=12, num_heads=12),
    "painter_vit_small": replace(_LARGE, embed_dim=384, depth=12, num_heads=6),
    "painter_vit_tiny": replace(_LARGE, embed_dim=192, depth=12, num_heads=3),
    "seggpt_vit_large_patch16_input896x448": replace(_LARGE, type_tokens=True),
}


def model_config(name: str, **changes: Any) -> PainterConfig:
    """The registered config `name` with some fields changed; ValueError names the near ones if unknown."""
    if name not in MODELS:
        near = difflib.get_close_matches(name, MODELS, n=3, cutoff=0.3)
        raise ValueError(f"unknown model {name!r}; did you mean {' or '.join(near or MODELS)}?")
    return replace(MODELS[name], **changes)


def create_model(name: str, **changes: Any) -> Painter:
    """A freshly initialised registered model; `changes` are fields of PainterConfig."""
    return Painter(model_config(name, **changes))
