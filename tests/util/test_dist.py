"""Collectives: alone they change nothing, among ranks each gives what it says, and who is missing is named."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from util.dist import _meet_and_let_go, from_main, gather, join_world, joined, on_main, was_restarted

REPOSITORY = Path(__file__).parents[2]
TOGETHER = """
from util.dist import ToldByMainError, from_main, gather, joined, on_main
with joined("cpu") as world:
    value = {"rank": world.rank}
    assert from_main(value) == {"rank": 0}
    assert gather(value) == ([{"rank": 0}, {"rank": 1}] if world.is_main else [])
    assert gather(world.rank) == ([0, 1] if world.is_main else [])
    assert gather({}) == ([{}, {}] if world.is_main else [])
    assert on_main(lambda: world.rank) == 0
    try:
        on_main(lambda: int("x"))
        raise AssertionError("an error of rank 0 was not heard of")
    except ToldByMainError:
        assert not world.is_main
    except ValueError as error:
        assert world.is_main and "invalid literal" in str(error)
"""
APART = """
import os, signal, sys, time
from util.dist import LostRankError, joined, wait_for_all
try:
    with joined("cpu", timeout_minutes=0.05) as world:
        world.note("waiting for step 3")
        wait_for_all()
        if world.rank == 1:
            world.note("reading data of step 3")
            os.kill(os.getpid(), signal.SIGKILL) if sys.argv[1] == "dead" else time.sleep(8)
        wait_for_all()
except LostRankError as error:
    sys.exit(str(error))
"""


def test_alone():
    assert join_world("cpu").size == 1
    assert from_main({"a": 1}) == {"a": 1}
    assert gather({}) == [{}]
    assert on_main(lambda: 3) == 3
    with joined("cpu") as world:
        world.note("something")
        assert world.notes() == ""


def test_nothing_of_pythons_is_left_to_a_thread_of_the_group(monkeypatch):
    held = []

    def slow_to_let_go(x: Tensor) -> Tensor:
        held.append(x)
        threading.Timer(0.2, held.clear).start()
        return x

    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr("util.dist.all_sum", slow_to_let_go)
    _meet_and_let_go(torch.device("cpu"))
    assert not held


def test_a_restart_is_known(monkeypatch):
    assert not was_restarted()
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "2")
    assert was_restarted()


def test_two_ranks(tmp_path, launch):
    (tmp_path / "script.py").write_text(TOGETHER)
    launch(2, tmp_path / "script.py")


@pytest.mark.parametrize(
    ("fate", "messages"),
    [
        ("dead", ["Signal 9 (SIGKILL) received"]),  # torchrun says so, and may end rank 0 before it can
        ("hung", ["rank 0 lost another one (Timed out waiting)", "reading data of step 3: rank 1"]),
    ],
)
def test_a_lost_rank_is_named_with_what_it_did(tmp_path, fate, messages):
    (tmp_path / "script.py").write_text(APART)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    ran = subprocess.run(
        [*command, tmp_path / "script.py", fate],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 1
    assert all(message in ran.stderr for message in messages), ran.stderr
