"""The proof of faithfulness: every stored output of the original network, and a checker that can say no."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tools.check_golden import main

GOLDEN = Path(__file__).parents[1] / "golden"
FACTS = ["vit_large_state_dict.json", "vit_large_param_groups.json"]


@pytest.fixture
def tiny(tmp_path) -> Path:
    """A folder with one small case."""
    folder = tmp_path / "model"
    folder.mkdir()
    cases = [case for case in json.loads((GOLDEN / "model/cases.json").read_text()) if case["name"] == "tiny_l1"]
    (folder / "cases.json").write_text(json.dumps(cases))
    shutil.copy(GOLDEN / "model/tiny_l1.npz", folder)
    return folder


def rewrite(path: Path, **changes) -> None:
    with np.load(path) as file:
        content = {**file, **changes}
    np.savez(path, **content)


@pytest.mark.parametrize("attention", ["auto", "explicit", "sdpa", "folded", "chunked"])
def test_all_cases_pass(attention, capsys, tmp_path):
    folder = GOLDEN
    if attention != "auto":  # the small ones again, with each back end that learns on a CPU
        folder = tmp_path / "model"
        shutil.copytree(GOLDEN / "model", folder, ignore=shutil.ignore_patterns("vit_large_8*"))
        cases = [case for case in json.loads((folder / "cases.json").read_text()) if "vit_large" not in case["name"]]
        (folder / "cases.json").write_text(json.dumps(cases))
    code = main(folder, attention)
    out = capsys.readouterr().out
    count = len(list(folder.rglob("*.npz"))) + len(FACTS)
    assert code == 0, out
    assert out.count("  PASS\n") == count
    assert out.endswith(f"{count} passed, 0 failed\n")


def test_a_family_a_tree_and_the_exit_code(tiny, capsys):
    assert main(tiny) == 0
    assert main(tiny.parent) == 0
    assert "model/tiny_l1" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "change"), [("pred", 1.00002), ("loss", 1.00002)])
def test_a_wrong_value_fails(tiny, capsys, name, change):
    with np.load(tiny / "tiny_l1.npz") as file:
        rewrite(tiny / "tiny_l1.npz", **{name: file[name] * np.float32(change)})
    assert main(tiny) == 1
    assert f"FAIL ({name})" in capsys.readouterr().out


def test_nan_fails(tiny, capsys):
    rewrite(tiny / "tiny_l1.npz", loss=np.float32("nan"))
    assert main(tiny) == 1
    assert "0 passed, 1 failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda folder: rewrite(folder / "tiny_l1.npz", novelty=np.ones(2)), "values of an unknown kind: novelty"),
        (lambda folder: shutil.copy(folder / "tiny_l1.npz", folder / "stranger.npz"), "not listed in cases.json"),
        (lambda folder: (folder / "tiny_l1.npz").unlink(), "No such file"),
        (lambda folder: (folder / "vit_large_stranger.json").write_text("{}"), "no known kind of fact"),
        (lambda folder: (folder / "vit_huge_state_dict.json").write_text("{}"), "unknown model"),
        (
            lambda folder: (folder / "vit_tiny_state_dict.json").write_text('{"pos_embed": [1]}'),
            "FAIL (names and shapes)",
        ),
    ],
)
def test_what_is_unknown_or_missing_fails(tiny, capsys, break_it, message):
    break_it(tiny)
    assert main(tiny) == 1
    out = capsys.readouterr().out
    assert message in out
    assert "FAIL" in out


def test_an_unknown_family_fails(tiny, capsys):
    family = tiny.parent / "eval" / "99_novelty"
    family.mkdir(parents=True)
    shutil.copy(tiny / "tiny_l1.npz", family / "case.npz")
    assert main(tiny.parent) == 1
    assert "no check is known for this file" in capsys.readouterr().out


def test_nothing_to_check_fails(tmp_path, capsys):
    assert main(tmp_path) == 1
    assert "0 passed, 0 failed" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="is not a folder"):
        main(tmp_path / "absent")


@pytest.mark.parametrize(
    ("family", "file", "array"),
    [
        ("01_palettes", "palettes", "ade150_rgb"),
        ("02_semantic_encode", "ade", "color_1"),
        ("02_semantic_encode", "coco", "gt_semseg_0"),
        ("03_semantic_decode", "ade", "square_2"),
        ("03_semantic_decode", "coco", "abs_4"),
        ("08_depth", "encode", "rgb_3"),
        ("10_postprocess", "run_one_image", "depth_mm_1"),
        ("10_postprocess", "full_size", "derain_uint8"),
        ("10_postprocess", "input_prep", "tgt"),
        ("10_postprocess", "sidd_input_resize", "resized_56"),
        ("10_postprocess", "scripts_end2end", "lol_out_1"),
    ],
)
def test_one_wrong_value_of_a_painting_fails(tmp_path, capsys, family, file, array):
    folder = tmp_path / family
    shutil.copytree(GOLDEN / "eval" / family, folder)
    for other in folder.glob("*.npz"):
        if other.stem != file:
            other.unlink()
    with np.load(folder / f"{file}.npz") as stored:
        changed = stored[array].copy()
    changed.flat[changed.size // 2] += 1
    rewrite(folder / f"{file}.npz", **{array: changed})
    assert main(folder) == 1
    assert "FAIL (" in capsys.readouterr().out
