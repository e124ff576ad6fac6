"""Mixed precision by name: the dtype of autocast, and a gradient scaler where fp16 needs one."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

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
