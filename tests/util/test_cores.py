"""Cores are shared out over ranks, loaders and threads; the environment decides first."""

import os
from datetime import timedelta

import pytest
import torch

from util import cores
from util.cores import cores_of_a_rank, leave_cores, loaders_of_a_rank
from util.dist import World


def world(device="cpu", local_size=1):
    return World(0, local_size, local_size, torch.device(device), timedelta(minutes=1))


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch):
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("local_size", "expected"), [(1, 8), (2, 4), (3, 2), (16, 1)])
def test_ranks_share_cores(local_size, expected):
    assert cores_of_a_rank(world(local_size=local_size)) == expected


def test_machines_that_tell_no_affinity_tell_their_cores(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cores_of_a_rank(world()) == 6


@pytest.mark.parametrize(
    ("device", "wanted", "expected"), [("cuda", None, 8), ("cpu", None, 1), ("cuda", 3, 3), ("cpu", 0, 0)]
)
def test_loaders(device, wanted, expected):
    assert loaders_of_a_rank(world(device), wanted) == expected


@pytest.mark.parametrize(("num_loaders", "expected"), [(0, 8), (1, 7), (8, 1), (20, 1)])
def test_threads_take_what_loaders_leave(num_loaders, expected):
    leave_cores(world(), num_loaders)
    assert torch.get_num_threads() == expected


def test_gpus_and_the_environment_leave_threads_alone(monkeypatch):
    torch.set_num_threads(3)
    leave_cores(world("cuda"), 1)
    assert torch.get_num_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    leave_cores(world(), 1)
    assert torch.get_num_threads() == 3
