"""Bad input: the user is told what the table says, and the table tells right from wrong."""

import pickle
import sys
import time

import pytest

from tests import bad_input
from tests.bad_input import CASES, Case, Trap, fits, main, told


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_user_is_told(case):
    if case.skip:
        pytest.skip("not on this machine, or not as this user")
    message = told(case)
    assert fits(case, message), f"{message}\nexpected: {case.message}"


def test_names_are_unique_and_there_are_many():
    assert len({case.name for case in CASES}) == len(CASES) >= 100


GOOD = Case("good", lambda folder: sys.exit(f"error: {folder}/a is no b"), "error: ~/a is ...")


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda folder: None, "nothing was wrong"),
        (lambda folder: (folder / "no").read_text(), "a traceback, and FileNotFoundError"),
        (lambda folder: sys.exit("error: ~/a is no b\nmore"), "error: ~/a is no b\nmore"),
        (lambda folder: sys.exit("So: error: ~/a is no b"), "So: error: ~/a is no b"),
        (lambda folder: time.sleep(60), "a traceback, and TimeoutError()"),
        (lambda folder: pickle.loads(pickle.dumps(Trap(folder))), "the command in the file was run"),
    ],
    ids=["silent", "traceback", "another line", "words before", "hangs", "trap"],
)
def test_what_is_wrong_is_seen(act, message, capsys, monkeypatch):
    monkeypatch.setattr(bad_input, "SECONDS", 1)
    bad = GOOD._replace(name="bad", act=act)
    assert told(bad).startswith(message)
    with pytest.raises(SystemExit, match="1"):
        main([GOOD, bad])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["good", "error:", "~/a", "is", "no", "b", "ok"]
    assert lines[1].startswith("bad ")
    assert lines[1].endswith("  wrong")
    assert lines[-2].split(maxsplit=1) == ["expected:", "error: ~/a is ..."]
    assert lines[-1] == "2 cases, 1 wrong"


def test_all_right_is_status_0(capsys):
    with pytest.raises(SystemExit, match="0"):
        main([GOOD, GOOD._replace(skip=True)])
    assert capsys.readouterr().out.splitlines()[1].endswith("  skipped")
