"""One process or many: the ranks of a `torchrun` launch, and the few collectives we need."""

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """This process among all; rank 0 of 1 when not launched by torchrun."""

    rank: int
    size: int
    local_size: int
    """ranks on this machine"""
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and talks to the user."""
        return self.rank == 0


def join_world(device: str, timeout_minutes: float = 30) -> World:
    """Join the process group of the launch, if there is one; `device` is auto, cpu or cuda."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda was asked for, but PyTorch sees no CUDA device; use --device cpu or auto")
    size, local_rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("LOCAL_RANK", 0))
    place = torch.device(device, local_rank) if device == "cuda" else torch.device(device)
    if device == "cuda":
        torch.cuda.set_device(place)
    if size > 1:
        dist.init_process_group("nccl" if device == "cuda" else "gloo", timeout=timedelta(minutes=timeout_minutes))
    return World(int(os.environ.get("RANK", 0)), size, int(os.environ.get("LOCAL_WORLD_SIZE", 1)), place)


def leave_world() -> None:
    """Leave the process group, if one was joined."""
    if dist.is_initialized():
        dist.destroy_process_group()


def all_sum(x: Tensor) -> Tensor:
    """The sum of `x` over all ranks, on each of them."""
    if dist.is_initialized():
        dist.all_reduce(x)
    return x


def all_mean(x: Tensor) -> Tensor:
    """The mean of `x` over all ranks, on each of them."""
    return all_sum(x) / (dist.get_world_size() if dist.is_initialized() else 1)


def wait_for_all() -> None:
    """Return when every rank has come here."""
    if dist.is_initialized():
        dist.barrier()


def from_main(value: T) -> T:
    """The value that rank 0 has, on every rank."""
    if not dist.is_initialized():
        return value
    box = [value]
    dist.broadcast_object_list(box)
    return box[0]


def gather(value: T) -> list[T]:
    """The values of all ranks, in their order, on rank 0; nothing on the others."""
    if not dist.is_initialized():
        return [value]
    found: list[T | None] = [None] * dist.get_world_size()
    dist.gather_object(value, found if dist.get_rank() == 0 else None)
    return [value for value in found if value is not None]
