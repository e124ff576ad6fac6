"""Mixed precision by name: the dtype of autocast, and a gradient scaler where fp16 needs one."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import nn

from models.onednn import PackedLinear

Name = Literal["bf16", "fp16", "fp32"]
M = TypeVar("M", bound=nn.Module)

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


@dataclass(frozen=True)
class Precision:
    """Arithmetic of the forward pass on one kind of device."""

    name: str
    device: str

    def __post_init__(self) -> None:
        if self.name == "fp16" and self.device == "cpu":
            raise ValueError("fp16 needs a GPU; give the precision bf16 or fp32")

    def autocast(self) -> AbstractContextManager[None]:
        """Run what follows in this precision."""
        return torch.autocast(self.device, dtype=DTYPES[self.name], enabled=self.name != "fp32")

    def scaler(self) -> torch.amp.GradScaler:
        """Scales the loss in fp16, passes it through otherwise."""
        return torch.amp.GradScaler(self.device, enabled=self.name == "fp16")

    def for_inference(self, model: M) -> M:
        """Make a network that only infers, within `autocast`, faster, in place, with the same numbers up to rounding.

        It gets the weights that autocast would make anew each time, on a CPU in the layout that is multiplied fastest.
        """
        for module in model.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                module.to(DTYPES[self.name])
            if isinstance(module, nn.Linear):
                module.__class__ = PackedLinear  # applies where it can
        return model


def chosen_precision(name: Name | Literal["auto"], device: torch.device) -> Name:
    """The name; of auto the fastest of this device."""
    return fastest_precision(device) if name == "auto" else name


def fastest_precision(device: torch.device) -> Name:
    """bf16 where the device has instructions for it, else fp16 on a GPU and fp32 on a CPU."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "fp32"
