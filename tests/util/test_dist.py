"""Collectives: alone they change nothing, and among two ranks each gives what it says."""

from pathlib import Path

from util.dist import from_main, gather, join_world

REPOSITORY = Path(__file__).parents[2]
SCRIPT = """
from util.dist import from_main, gather, join_world, leave_world
world = join_world("cpu")
value = {"rank": world.rank}
assert from_main(value) == {"rank": 0}
assert gather(value) == ([{"rank": 0}, {"rank": 1}] if world.is_main else [])
assert gather(world.rank) == ([0, 1] if world.is_main else [])
assert gather({}) == ([{}, {}] if world.is_main else [])
leave_world()
"""


def test_alone():
    assert join_world("cpu").size == 1
    assert from_main({"a": 1}) == {"a": 1}
    assert gather({}) == [{}]


def test_two_ranks(tmp_path, two_processes):
    (tmp_path / "script.py").write_text(SCRIPT)
    two_processes(tmp_path / "script.py")
