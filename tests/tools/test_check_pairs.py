"""The check before a run: everything broken is reported, nothing is skipped, and Ctrl-C ends it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from data import doctor
from data.doctor import fault_of_pair
from data.tasks import TASKS
from tools import check_pairs

REPOSITORY = Path(__file__).parents[2]
CONFIG = """
from pathlib import Path
from engine.config import DataConfig, RunConfig, Source
sources = {name: Source(train=f"{name}.json", weight=1, val=f"{name}.json") for name in NAMES}
sources["off"] = Source(train="nowhere.json", weight=0)
config = RunConfig(DataConfig(sources, roots=(Path("nowhere"),), num_workers=2), out_dir=Path("nowhere"))
"""
DERAIN, DEPTH, POSE = "derain_image2derain", "nyuv2_image2depth", "coco_image2pose"


def config_file(root: Path, *names: str) -> str:
    (root / "run.py").write_text(CONFIG.replace("NAMES", repr(names)))
    return str(root / "run.py")


def run(root: Path, capsys, *names: str) -> tuple[object, list[str], str]:
    """Exit status, lines printed, and what went to the error stream."""
    with pytest.raises(SystemExit) as end:
        check_pairs.main([config_file(root, *names), "--data.roots", str(root)])
    out, err = capsys.readouterr()
    return end.value.code, out.splitlines(), err


def blacken_foreign(root: Path) -> None:
    """Random colours are no label of some tasks: their targets become black, which is one of all."""
    for name, task in TASKS.items():
        for path in (root / name).glob("target_*"):
            target = task.read_target(path)
            if task.foreign(target):
                Image.new("RGB", target.size).save(path)


def test_a_whole_root_is_whole(tiny_root, capsys, monkeypatch):
    blacken_foreign(tiny_root)
    monkeypatch.setattr(check_pairs, "WINDOW", 7)
    monkeypatch.setattr(check_pairs, "CHUNK", 2)
    code, lines, err = run(tiny_root, capsys, *TASKS)
    num = len(TASKS)  # train and val are one list here: read once
    assert lines == [f"{3 * num} pairs read, 0 broken; {num} lists read, 0 broken"]
    assert code == 0
    assert f"{3 * num}/{3 * num}" in err


def test_colours_of_no_label_are_reported(tiny_root, capsys):
    code, lines, _ = run(tiny_root, capsys, "ade20k_image2semantic")
    assert code == 1
    assert re.search(r"entry 0: .*target_0.png shows \(.*\), the colour of no class; make it again", lines[0])


def test_everything_broken_is_reported_in_one_pass(tiny_root, capsys, monkeypatch):
    monkeypatch.setattr(check_pairs, "WINDOW", 4)
    (tiny_root / f"{POSE}.json").write_text("{}")
    (tiny_root / DERAIN / "image_0.png").unlink()
    (tiny_root / DERAIN / "target_2.png").write_bytes(b"")
    (tiny_root / DEPTH / "target_1.png").write_bytes(b"text")
    code, lines, _ = run(tiny_root, capsys, POSE, DERAIN, DEPTH)
    assert code == 1
    expected = [
        (f"pair list {POSE}.json holds a dict",),
        (f"{DERAIN}.json, entry 0: ", "image_0.png is not under", "prepare the data"),
        (f"{DERAIN}.json, entry 2: ", "target_2.png is empty", "download it again"),
        (f"{DEPTH}.json, entry 1: ", "target_1.png is not an image", "replace it"),
        ("6 pairs read, 3 broken; 3 lists read, 1 broken",),
    ]
    assert len(lines) == len(expected)
    for line, parts in zip(lines, expected, strict=True):
        assert all(part in line for part in parts), line


def test_a_list_that_cannot_be_read_is_enough_to_fail(tiny_root, capsys):
    code, lines, _ = run(tiny_root, capsys, "absent")
    assert code == 1
    assert lines == [
        f"absent.json is not under {tiny_root}; name the root that holds it, or prepare the data",
        "0 pairs read, 0 broken; 1 lists read, 1 broken",
    ]


def test_an_unforeseen_error_of_a_decoder_is_one_more_broken_pair(tiny_root, monkeypatch):
    def fail(*_):
        raise RuntimeError("codec gave up")

    monkeypatch.setattr(doctor, "read_pair", fail)
    pair = check_pairs.read_pairs([tiny_root], f"{DERAIN}.json")[1]
    fault = fault_of_pair([tiny_root], pair)
    assert fault == f"{DERAIN}.json, entry 1: RuntimeError('codec gave up'); copy or download its files again"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which run?"),
        (["no_such_run"], "there is no config no_such_run"),
        (["EMPTY"], "no source has a weight"),
    ],
)
def test_a_run_that_cannot_be_checked_says_why(tmp_path, arguments, message):
    with pytest.raises(SystemExit, match=f"error: .*{message}"):
        check_pairs.main([config_file(tmp_path) if a == "EMPTY" else a for a in arguments])


def test_ctrl_c_ends_it_at_once(tiny_root):
    """A list of 100 000 entries, the first of them broken so that a line tells when reading is under way."""
    entries = json.loads((tiny_root / f"{DERAIN}.json").read_text())
    (tiny_root / DERAIN / "image_0.png").unlink()
    (tiny_root / f"{DERAIN}.json").write_text(json.dumps([entries[0], *entries[1:] * 50_000]))
    command = [sys.executable, "-m", "tools.check_pairs", config_file(tiny_root, DERAIN)]
    with subprocess.Popen(
        [*command, "--data.roots", str(tiny_root)],
        cwd=REPOSITORY,
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert "entry 0: " in process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to it and to its readers
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "stopped"
    deadline = time.monotonic() + 10
    while left(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left(process.pid)  # no reader is left behind


def left(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
