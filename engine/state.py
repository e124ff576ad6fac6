"""All that changes while training, as tensors by name and as plain values."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW

from models import Painter
from models.weights import MODEL

MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass
class TrainState:
    """All that changes while training."""

    model: Painter
    optimizer: AdamW
    scaler: torch.amp.GradScaler
    step: int = 0
    """optimiser steps done"""
    skipped: int = 0
    """steps among these that left the weights alone, for want of a finite loss or gradient"""
    broken: list[str] = field(default_factory=list)
    """pairs that could not be read, and why"""

    def facts(self) -> dict[str, Any]:
        """What is not a tensor, as plain values."""
        plain = {"step": self.step, "skipped": self.skipped, "broken": list(self.broken)}
        return {**plain, "scaler": self.scaler.state_dict()}

    def restore(self, facts: dict[str, Any]) -> None:
        """Take over what `facts` gave."""
        self.step, self.skipped, self.broken = facts["step"], facts["skipped"], facts["broken"]
        self.scaler.load_state_dict(facts["scaler"])

    def tensors(self) -> dict[str, Tensor]:
        """Weights and moments, by names that do not depend on ranks; a share of each where they are shared out."""
        names: dict[Tensor, str] = {parameter: name for name, parameter in self.model.named_parameters()}
        moments = {
            f"optimizer.{names[parameter]}.{slot}": value
            for parameter, slots in self.optimizer.state.items()
            for slot, value in slots.items()
        }
        return {f"{MODEL}{name}": value for name, value in self.model.state_dict().items()} | moments

    def make_room(self, saved: set[str]) -> None:
        """For the moments among these names of tensors; a parameter that has never had a gradient has none."""
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad and f"optimizer.{name}.step" in saved:
                moments = {moment: torch.zeros_like(parameter) for moment in MOMENTS}
                self.optimizer.state[parameter] = {"step": torch.zeros((), device=parameter.device), **moments}
