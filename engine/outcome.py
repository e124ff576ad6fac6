"""What became of an optimiser step, brought from the device to the host while both go on working."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from util.dist import all_sum


class Micro(NamedTuple):
    """One forward and backward pass: its loss on the device, the names of its pairs, and what was broken in it."""

    loss: Tensor
    pairs: list[str]
    broken: list[str]


class Facts(NamedTuple):
    """All that the host asks of a step, as numbers."""

    loss: float
    """mean over all ranks"""
    norm: float
    """of the gradient, before clipping"""
    scale: float
    """of the loss, with which the gradient was found"""
    stop: float
    """how many ranks were told to stop"""
    broken: float
    """how many pairs the ranks met that are broken and were not known to be"""


class Outcome:
    """Facts about a step that the device may not have computed yet."""

    def __init__(self, step: int, lr: float, micros: Sequence[Micro], facts: Tensor) -> None:
        """`facts`: those of `Facts`, in their order; copied as soon as they are there. Nothing waits here."""
        self.step, self.lr, self.micros = step, lr, micros
        self.facts = facts.to("cpu", non_blocking=True)  # into pinned memory
        self.copied = torch.cuda.current_stream(facts.device).record_event() if facts.is_cuda else None

    def read(self) -> Facts:
        """Wait for this step, not for what was queued after it."""
        if self.copied:
            self.copied.synchronize()
        return Facts(*self.facts.tolist())


def is_prompt(device: torch.device) -> bool:
    """Whether an outcome is there when its step is queued; the same on all ranks, who shall read it at one place."""
    return device.type == "cpu"


def gather_facts(micros: Sequence[Micro], norm: Tensor, scale: Tensor, flags: Sequence[float], size: int) -> Tensor:
    """The values of `Facts` on the device, alike on all `size` ranks; `flags` are this rank's stop and broken."""
    loss = torch.stack([micro.loss for micro in micros]).mean()
    shared = all_sum(torch.cat((loss.double()[None], send(flags, torch.float64, loss.device))))
    return torch.cat((shared[:1] / size, torch.stack((norm, scale)).double(), shared[1:]))


def send(values: Sequence[float], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Numbers of the host as a tensor on the device, (N,), which is not waited for."""
    return torch.tensor(values, dtype=dtype, pin_memory=device.type == "cuda").to(device, non_blocking=True)
