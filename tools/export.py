"""Make one .safetensors file of a run's checkpoint, to publish it or to start from it.

    python tools/export.py runs/painter_vit_large/last painter.safetensors
    python tools/export.py runs/painter_vit_large/last painter.safetensors --precision bf16

    python tools/export.py runs/painter_vit_large/last painter     a folder with config.json, as hubs have it

Takes any weights that Painter reads. The result is for --ckpt, --init and any reader of .safetensors. It tells the
network and the recipe, and no path of this machine.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from engine.command import parse
from engine.pretrained import load_painter, save_painter, save_pretrained
from models.weights import SUFFIXES
from util.parallel import one_line_errors


@dataclass(frozen=True)
class Options:
    """What becomes which file."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """a checkpoint folder of a run, or a weights file"""
    out: Annotated[Path, tyro.conf.Positional]
    """the file to write, ending in .safetensors; or a folder, of config.json and model.safetensors"""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """of the weights in it; bf16 and fp16 take half the room"""
    model: str | None = None
    """network of weights that do not tell it, as in models/__init__.py"""


def main() -> None:
    """Convert, and say what was made."""
    with one_line_errors():
        options = parse(Options, "tools/export.py", __doc__)
        painter, config = load_painter(options.checkpoint, options.model)
        write = save_painter if options.out.suffix in SUFFIXES else save_pretrained
        file = write(options.out, painter, config, options.precision)
        millions = sum(p.numel() for p in painter.parameters()) / 1e6
        print(f"{file}: {millions:.1f} M parameters, {file.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
