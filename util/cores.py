"""Cores of this machine, shared out over ranks, their loader processes and PyTorch's threads."""

import os

import torch

from util.dist import World

MOST = 8  # loader processes of a rank


def cores_of_a_rank(world: World) -> int:
    """Those that this process may run on, shared by the ranks of this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // world.local_size)


def loaders_of_a_rank(world: World, wanted: int | None) -> int:
    """Loader processes: as wanted; else one a core where a GPU computes, and one where the network needs the cores."""
    if wanted is not None:
        return wanted
    return min(MOST, cores_of_a_rank(world)) if world.device.type == "cuda" else 1


def leave_cores(world: World, num_loaders: int) -> None:
    """On a CPU PyTorch's threads take the cores that loaders leave: threads that share one wait for each other.

    OMP_NUM_THREADS in the environment, which says how many there are, is obeyed.
    """
    if world.device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, cores_of_a_rank(world) - num_loaders))
