"""One process or many: the ranks of a `torchrun` launch, the few collectives we need, and who is missing in them."""

import os
import re
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


class LostRankError(RuntimeError):
    """Another rank died, or kept this one waiting for too long; the message says where each was last heard of."""


class TogetherError(ValueError):
    """All ranks fail alike: there is no sense in starting them again."""


class ToldByMainError(TogetherError):
    """Rank 0 failed, and says why; this rank only ends."""


@dataclass(frozen=True)
class World:
    """This process among all; rank 0 of 1 when not launched by torchrun."""

    rank: int
    size: int
    local_size: int
    """ranks on this machine"""
    device: torch.device
    timeout: timedelta = timedelta(minutes=30)
    """how long a rank waits for another one"""
    store: dist.Store | None = None
    """where ranks note what they do; None in a launch of none"""

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and talks to the user."""
        return self.rank == 0

    def note(self, what: str) -> None:
        """Let the others know what this rank does now, should it never come back."""
        if self.store:
            self.store.set(f"doing/{self.rank}", f"{time.time()} {what}")

    def notes(self) -> str:
        """What every rank did last, alike ones together."""
        if not self.store:
            return ""
        ranks: dict[str, list[str]] = {}
        for rank in range(self.size):
            if self.store.check([f"doing/{rank}"]):
                when, _, what = self.store.get(f"doing/{rank}").decode().partition(" ")
                ranks.setdefault(what, []).append(f"{rank} (about {time.time() - float(when):.0f} s ago)")
        return "; ".join(f"{what}: rank {', '.join(who)}" for what, who in ranks.items()) or "nobody"


@contextmanager
def joined(device: str, timeout_minutes: float = 30) -> Iterator[World]:
    """This process among those of its launch, and the way out of it; `device` is auto, cpu or cuda.

    Raises ValueError on a device that is not there, and LostRankError where a rank died or kept this one waiting.
    """
    world = join_world(device, timeout_minutes)
    try:
        yield world
        _meet_and_let_go(world.device)
        leave_world()
    except TogetherError:
        leave_world()
        raise
    except RuntimeError as error:  # who fails alone cannot leave: on GPUs that may wait for those who know nothing
        if world.size > 1 and (cause := _lost(error)):
            raise LostRankError(
                f"rank {world.rank} lost another one ({cause}), whose own error, if it told one, stands above; "
                f"last heard of: {_told(world)}"
            ) from None
        raise


def join_world(device: str, timeout_minutes: float = 30) -> World:
    """Join the process group of the launch, if there is one; `device` is auto, cpu or cuda."""
    device = known_device(device)
    local_rank, timeout = int(os.environ.get("LOCAL_RANK", 0)), timedelta(minutes=timeout_minutes)
    place = torch.device(device, local_rank) if device == "cuda" else torch.device(device)
    if device == "cuda":
        torch.cuda.set_device(place)
    if "RANK" not in os.environ:
        return World(0, 1, 1, place, timeout)
    store, rank, size = next(dist.rendezvous("env://", timeout=timeout))
    backend = "nccl" if device == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timeout)
    return World(rank, size, int(os.environ.get("LOCAL_WORLD_SIZE", 1)), place, timeout, store)


def known_device(name: str) -> str:
    """`name`, or for auto the kind of device that there is; ValueError if there is none of this kind."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda was asked for, but PyTorch sees no CUDA device; use --device cpu or auto")
    return name


def leave_world() -> None:
    """Leave the process group, if one was joined."""
    if dist.is_initialized():
        dist.destroy_process_group()


def _meet_and_let_go(device: torch.device, seconds: float = 10) -> None:
    """Return when every rank has come here and the group's threads hold nothing of Python's any more.

    A process that ends while others still leave may bring them down. One that ends while a thread of gloo drops the
    last tensor dies of it: the thread asks for an interpreter that is gone, and the process aborts.
    """
    if not dist.is_initialized():
        return
    token = torch.zeros(1, device=device)
    all_sum(token).item()
    held, deadline = weakref.ref(token), time.monotonic() + seconds
    del token
    while held() is not None and time.monotonic() < deadline:
        time.sleep(0.001)


def was_restarted() -> bool:
    """Whether torchrun has started the ranks again after a failure."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0


def all_sum(x: Tensor) -> Tensor:
    """The sum of `x` over all ranks, on each of them."""
    if dist.is_initialized():
        dist.all_reduce(x)
    return x


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


def on_main(work: Callable[[], T]) -> T:
    """What `work` returns on rank 0, on every rank. What the user can mend there is a TogetherError on all."""
    if dist.is_initialized() and dist.get_rank():
        done, found = from_main((False, None))
        if not done:
            raise ToldByMainError("rank 0 failed; it says why")
        return found  # type: ignore[return-value]
    try:
        found = work()
    except (ValueError, OSError) as error:
        from_main((False, None))
        raise TogetherError(str(error)) from error
    except Exception:
        from_main((False, None))
        raise
    return from_main((True, found))[1]


def gather(value: T) -> list[T]:
    """The values of all ranks, in their order, on rank 0; nothing on the others."""
    if not dist.is_initialized():
        return [value]
    found: list[T | None] = [None] * dist.get_world_size()
    dist.gather_object(value, found if dist.get_rank() == 0 else None)
    return [value for value in found if value is not None]


def _lost(error: RuntimeError) -> str | None:
    """Why a collective failed, if it was one."""
    if known := re.search(r"Timed out waiting|Connection (?:closed|reset) by peer|Broken pipe", str(error)):
        return known[0]
    return type(error).__name__ if isinstance(error, dist.DistError) else None


def _told(world: World) -> str:
    try:
        return world.notes()
    except RuntimeError:
        return "nobody, for the store of the launch is gone"
