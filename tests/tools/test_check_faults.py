"""The check that a killed run loses nothing: real kills, and a false trainer that shows that it can say no."""

import json
import os
import random
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tools import check_faults
from tools.check_faults import Row, chain, judge, main, same_end
from tools.faults import Fault, Launch, losses

TRAINER = """
import json, shutil, sys, time
from pathlib import Path
from util.sealed import seal
folder, fault = Path(sys.argv[1]), sys.argv[2]
if fault == "forgets":
    shutil.rmtree(folder, ignore_errors=True)
folder.mkdir(exist_ok=True)
begin = max([0] + [int(path.name[5:]) for path in folder.glob("step_*")])
log = folder / "log.jsonl"
kept = [line for line in (log.read_text() if begin else "").splitlines(True) if json.loads(line)["step"] <= begin]
log.write_text("".join(kept))
if begin:
    print(f"going on from x, step {begin}", flush=True)
    time.sleep(30 * (fault == "hangs"))
print("train: ", flush=True)
for step in range(begin + 1, 41):
    time.sleep(0.015)
    drift = fault == "drifts" and begin > 0
    with log.open("a") as file:
        file.write(json.dumps({"step": step, "train/loss": 1 / step + 1e-16 * drift}) + "\\n")
    if step % 4 == 0:
        part = folder / f".step_{step:07d}.part"
        part.mkdir(exist_ok=True)
        (part / "weights").write_text("w" * 100)
        time.sleep(0.04)
        if fault != "tears":
            seal(part, [path.name for path in part.iterdir()], {})
        part.rename(folder / part.name[1:-5])
if fault == "fails":
    sys.exit(3)
"""


@pytest.fixture
def trainer(tmp_path, monkeypatch) -> Callable[[str], Launch]:
    """Starts a trainer without a network in the folder `run`, with the fault that is named; `reference` has none."""
    monkeypatch.setattr(check_faults, "STEPS", 40)
    monkeypatch.setattr(check_faults, "read_weights", lambda path: {"w": torch.ones(2)})
    script = tmp_path / "trainer.py"
    script.write_text(TRAINER)

    (tmp_path / "reference").mkdir()
    lines = [json.dumps({"step": step, "train/loss": 1 / step}) for step in range(1, 41)]
    (tmp_path / "reference/log.jsonl").write_text("\n".join(lines) + "\n")
    folder = tmp_path / "run"
    return lambda fault: Launch([sys.executable, str(script), str(folder), fault], folder, 1, timeout=2)


def test_a_run_that_loses_nothing_passes(trainer, tmp_path):
    rows = chain(lambda: trainer("none"), ["at_once", "in_save"], tmp_path / "reference", random.Random(1))
    assert [row.kind for row in rows] == ["at_once", "in_save"]
    assert not any(row.faults for row in rows)
    assert rows[1].saving
    assert rows[0].resumed == rows[0].expected
    assert rows[1].text(2).endswith(f"yes    {rows[1].resumed:>7}  bit-equal")


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        ("forgets", "expected to go on from"),
        ("drifts", "other losses"),
        ("hangs", "a launch hangs"),
        ("tears", "is no checkpoint"),
        ("fails", "the end has status 3"),
    ],
)
def test_what_goes_wrong_is_told(trainer, tmp_path, fault, verdict):
    rows = chain(lambda: trainer(fault), ["in_save"], tmp_path / "reference", random.Random(7))
    assert verdict in rows[-1].text(1)
    assert "bit-equal" not in rows[-1].text(1)


def test_a_record_that_lacks_a_step_is_another_one(trainer, tmp_path):
    launch = trainer("none")
    assert launch.end() == 0
    lines = (tmp_path / "run/log.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "run/log.jsonl").write_text("".join(lines[:5] + lines[6:]))
    judge([row := Row("at_once")], launch, tmp_path / "reference")
    assert "other losses" in row.text(1)
    assert not same_end(tmp_path / "run", tmp_path / "reference")


def test_an_abort_is_told(trainer, tmp_path):
    launch = trainer("none")
    assert launch.end() == 0
    with launch.output.open("a") as file:
        file.write("terminate called without an active exception")
    judge([row := Row("sigterm")], launch, tmp_path / "reference")
    assert "terminate called" in row.text(1)


def test_other_weights_are_another_end(trainer, tmp_path, monkeypatch):
    assert trainer("none").end() == 0
    assert same_end(tmp_path / "run", tmp_path / "reference")
    monkeypatch.setattr(check_faults, "read_weights", lambda path: {"w": torch.ones(2) + 2e-7 * ("run" in path.parts)})
    assert not same_end(tmp_path / "run", tmp_path / "reference")


def test_all_processes_of_a_launch_are_found_and_killed(tmp_path):
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    launch = Launch([sys.executable, "-c", child], tmp_path / "run", 1, timeout=30)
    launch.wait(lambda: len(launch.processes()) == 2)
    assert launch.process.pid in launch.processes().values()
    launch.kill()
    assert not launch.processes()
    assert launch.process.returncode == -9


def test_a_launch_that_ends_before_its_kill_is_a_fault(tmp_path):
    launch = Launch([sys.executable, "-c", "raise SystemExit(7)"], tmp_path / "run", 1, timeout=30)
    with pytest.raises(Fault, match="with status 7"):
        launch.wait(lambda: False)


def test_a_line_that_is_cut_off_does_not_count(tmp_path):
    (tmp_path / "log.jsonl").write_text(
        '{"step": 1, "train/loss": 0.1}\n{"step": 1, "val/loss": 1}\n{"step": 2, "train/loss"'
    )
    assert losses(tmp_path) == [(1, 0.1)]


def test_killed_for_real(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(check_faults, "STEPS", 30)
    assert main(kills=3, folder=tmp_path / "faults", kinds=("in_save", "one_rank", "sigterm")) == 0
    assert re.search(r"^3 kills, [123] inside a save, all resumes bit-equal$", capsys.readouterr().out, re.M)
    assert not (tmp_path / "faults").exists()


@pytest.mark.skipif(not os.environ.get("PAINTER_FULL"), reason="takes a quarter of an hour; PAINTER_FULL=1 runs it")
@pytest.mark.parametrize(("ranks", "parallel"), [(1, "ddp"), (2, "ddp"), (2, "fsdp")])
def test_killed_twenty_times(tmp_path, ranks, parallel):
    assert main(ranks=ranks, parallel=parallel, folder=tmp_path / "faults") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kinds": ("at_once", "by_fire")}, "has by_fire; give some of in_save"),
        ({"folder": Path()}, "is there already"),
        ({"kills": 0}, "must be 1 or more"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(arguments, message):
    with pytest.raises(SystemExit, match=message):
        main(**arguments)
