"""The command that prepares: what it says, its exit status, and that it may be stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.tasks import SOURCES
from tools import prepare

REPOSITORY = Path(__file__).parents[2]


def save(path: Path, pixels: np.ndarray | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8) if pixels is None else pixels).save(path)


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    """ADE20K's training half, and all of LoL."""
    save(tmp_path / "ade20k/images/training/a.jpg")
    save(tmp_path / "ade20k/annotations/training/a.png", np.ones((8, 8), np.uint8))
    for folder in ("our485", "eval15"):
        for side in ("low", "high"):
            save(tmp_path / f"light_enhance/{folder}/{side}/1.png")
    return tmp_path


def run(capsys, *arguments: object) -> tuple[object, list[str]]:
    """Exit status, and lines printed."""
    with pytest.raises(SystemExit) as end:
        prepare.main([str(argument) for argument in arguments])
    return end.value.code, capsys.readouterr().out.splitlines()


def test_all_that_is_downloaded_is_prepared(downloads, capsys):
    code, lines = run(capsys, "--root", downloads, "--num_workers", 1)
    due = len(SOURCES) - 1  # of own data there is no palette, so there are no classes
    assert code == 0
    assert len(lines) == 2 * due
    made = "ade20k_semantic train: 1 files made, 0 pairs were there, 1 listed in"
    assert f"{made} ade20k/ade20k_training_image_semantic.json" in lines
    assert "enhance val: 0 files made, 1 pairs were there, 1 listed in light_enhance/enhance_lol_val.json" in lines
    absent = f"denoise train: not downloaded: nothing of it is under {downloads} (docs/DATA.md)"
    assert absent in lines
    assert sum("not downloaded" in line for line in lines) == 2 * due - 3
    assert run(capsys, "all", "--root", downloads)[0] == 0


@pytest.mark.parametrize("kind", ["own_pictures", "own_classes"])
def test_of_two_kinds_of_own_data_that_one_is_prepared_that_it_is(tmp_path, capsys, kind):
    for name in "ab":
        save(tmp_path / f"images/{name}.png")
        save(tmp_path / f"labels/{name}.png", np.ones((8, 8), np.uint8))
    if kind == "own_classes":
        (tmp_path / "palette.json").write_text("2")
    status, lines = run(capsys, "all", "--root", tmp_path)
    assert status == 0
    assert [line.split(":")[0] for line in lines if "listed" in line] == [f"{kind} train", f"{kind} val"]


def test_what_is_named_has_to_be_there(downloads, capsys):
    assert run(capsys, "enhance", "--root", downloads)[0] == 0
    code, lines = run(capsys, "ade20k_semantic", "--root", downloads)
    assert code == 1
    assert lines[1].startswith("ade20k_semantic val: not downloaded")
    assert run(capsys, "ade20k_semantic", "--root", downloads, "--splits", "train")[0] == 0


@pytest.mark.parametrize("named", [["all"], ["enhance"]])
def test_a_broken_source_fails_and_stops_no_other(downloads, capsys, named):
    (downloads / "light_enhance/our485/high/1.png").unlink()
    save(downloads / "ade20k/annotations/training/a.png", np.full((8, 8), 200, np.uint8))
    code, lines = run(capsys, *named, "--root", downloads, "--splits", "train")
    assert code == 1
    assert any(line.startswith("enhance train: light_enhance/our485/low/1.png has no partner") for line in lines)
    if named == ["all"]:
        assert any("a.png: label 200 is outside" in line for line in lines)
        assert any(line.startswith("ade20k_semantic train: 1 broken, see above; mend them") for line in lines)
        assert any(line.endswith("ade20k_training_image_semantic.json not written") for line in lines)


def test_out_takes_all_that_is_written(downloads, capsys, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "new"
    before = sorted(downloads.rglob("*"))
    assert run(capsys, "all", "--root", downloads, "--out", out)[0] == 0
    assert sorted(downloads.rglob("*")) == before
    assert len([file for file in out.rglob("*") if file.is_file()]) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ade20k", "--root", "."], "unknown source 'ade20k'; did you mean ade20k_semantic"),
    ],
)
def test_a_wrong_command_gets_a_sentence(arguments, message):
    with pytest.raises(SystemExit, match=f"error: .*{message}"):
        prepare.main(arguments)


def test_help_teaches(capsys):
    code, lines = run(capsys, "--help")
    assert code == 0
    text = "\n".join(lines)
    assert all(name in text for name in SOURCES)
    assert "python tools/prepare.py all --root" in text


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_it_may_be_stopped_at_any_time(tmp_path, monkeypatch, capsys, how):
    """Two photographs of 80 patches each: stopped in between, no file is half; the next call makes the rest."""
    for i in (1, 2):
        for kind in ("NOISY", "GT"):
            file = tmp_path / f"denoise/SIDD_Medium_Srgb/Data/s{i}/{i}_{kind}_SRGB_010.PNG"
            save(file, np.full((1322, 1322, 3), 7, np.uint8))
    arguments = ["denoise", "--splits", "train", "--root", str(tmp_path)]
    patches = tmp_path / "denoise/train/input"
    with subprocess.Popen(
        [sys.executable, "tools/prepare.py", *arguments, "--num_workers", "2"],
        cwd=REPOSITORY,
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        deadline = time.monotonic() + 120
        while not any(patches.glob("*_*.png")) and time.monotonic() < deadline:
            time.sleep(0.005)
        os.killpg(process.pid, how)
        out, err = process.communicate(timeout=120)
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "denoise/train").rglob("*_*.png")}
    assert 0 < len(made) < 320
    assert not (tmp_path / "denoise/denoise_ssid_train.json").exists()
    if how == signal.SIGINT:
        assert (process.returncode, out) == (130, "")
        assert err.splitlines()[-1] == "stopped; the same command goes on from here"
        assert "Traceback" not in err
        assert not list(tmp_path.rglob("*.part"))
    code, lines = run(capsys, *arguments)
    assert (code, len(lines)) == (0, 1)
    assert lines[0].endswith("160 listed in denoise/denoise_ssid_train.json")
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert len(json.loads((tmp_path / "denoise/denoise_ssid_train.json").read_text())) == 160
    assert len(list((tmp_path / "denoise/train").rglob("*.png"))) == 320
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("number", ["0", "-1"])
def test_the_number_of_workers_is_checked(tmp_path, capsys, number):
    with pytest.raises(SystemExit):
        prepare.main(["all", "--root", str(tmp_path), "--num_workers", number])
    assert f"{number} must be 1 or more" in capsys.readouterr().err


@pytest.mark.parametrize("root", [".", "a", "data"])
def test_a_root_by_any_name_may_be_empty(tmp_path, monkeypatch, capsys, root):
    monkeypatch.chdir(tmp_path)
    (tmp_path / root).mkdir(exist_ok=True)
    code, lines = run(capsys, "all", "--root", root)
    assert code == 1  # nothing was prepared
    assert all("not downloaded: nothing of it is under" in line for line in lines)
