"""What the commands that run a network have in common: options for the network, and how a command line is read."""

from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
import tyro

from engine.precision import Name, chosen_precision

MAX_SIDE = 4096

Options = TypeVar("Options")


@dataclass(frozen=True)
class NetworkOptions:
    """Which network it is, and how it computes."""

    model: str | None = None
    """registered name of the network, for weights that do not tell; by default painter_vit_large"""
    size: int | None = None
    """side of the squares that prompt and query become, in pixels; by default as trained; benchmarks have their own"""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """arithmetic of the network; the paper's numbers are those of fp32. auto: the fastest of this device"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """where it computes; auto: on a GPU if there is one"""

    def check(self) -> None:
        """ValueError on a size that no square has."""
        if self.size is not None and not 1 <= self.size <= MAX_SIDE:
            raise ValueError(f"--size {self.size} must be 1 to {MAX_SIDE} pixels")

    def precision_on(self, device: torch.device) -> Name:
        """The arithmetic, of auto the fastest of this device."""
        return chosen_precision(self.precision, device)


def parse(options: type[Options], prog: str, description: str | None) -> Options:
    """The command line as a dataclass whose fields are the options, and those of NetworkOptions in it; or ends."""
    kept_plain = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)
    return tyro.cli(options, prog=prog, description=description, use_underscores=True, config=kept_plain)
