"""The bank's command: list, add, join, check."""

import numpy as np
import pytest
from PIL import Image

from engine.prompts import read_prompt_file, save_prompt
from tools.prompt_bank import add, check, join, show


@pytest.fixture
def pair(tmp_path):
    for name, color in (("image", "red"), ("target", "blue")):
        Image.new("RGB", (8, 6), color).save(tmp_path / f"{name}.png")
    return tmp_path / "image.png", tmp_path / "target.png"


def test_add_and_list(tmp_path, pair, capsys):
    add(tmp_path / "bank/mine.safetensors", *pair, task="depth")
    stored = read_prompt_file(tmp_path / "bank/mine.safetensors")
    assert stored.facts == {"kind": "given", "source": {"image": str(pair[0]), "target": str(pair[1])}}
    assert [np.asarray(side)[0, 0].tolist() for side in stored.pairs["nyuv2_depth"]] == [[255, 0, 0], [0, 0, 255]]
    facts = {"kind": "learned", "score": {"psnr": {"prompt": 20.0, "random": 18.5, "deviation": 0.25}}}
    save_prompt(tmp_path / "bank/best.safetensors", {"derain": stored.pairs["nyuv2_depth"]}, facts)
    capsys.readouterr()
    show(tmp_path / "bank")
    assert capsys.readouterr().out.splitlines() == [
        "best  learned   derain  psnr 20 (random 18.5 ± 0.25)",
        "mine  given     nyuv2_depth",
    ]


def test_pairs_of_two_sizes_are_refused(tmp_path, pair):
    Image.new("RGB", (6, 8)).save(pair[1])
    with pytest.raises(ValueError, match="are of different sizes; give the painted label of this very image"):
        add(tmp_path / "x.safetensors", *pair, task="depth")


def test_join(tmp_path, pair):
    for task in ("coco_instance", "coco_semantic"):
        save_prompt(
            tmp_path / f"{task}.safetensors", {task: pictures(pair)}, {"kind": "learned", "source": {"t": task}}
        )
    parts = tmp_path / "coco_instance.safetensors", tmp_path / "coco_semantic.safetensors"
    join(tmp_path / "both.safetensors", parts)
    stored = read_prompt_file(tmp_path / "both.safetensors")
    assert stored.pairs.keys() == {"coco_instance", "coco_semantic"}
    assert stored.facts["kind"] == "learned"
    assert stored.facts["source"]["coco_semantic"] == {"t": "coco_semantic"}
    with pytest.raises(ValueError, match="these files are for coco_instance, coco_instance; give one for each task"):
        join(tmp_path / "both.safetensors", (parts[0], parts[0]))


def pictures(paths):
    return tuple(Image.open(path).convert("RGB") for path in paths)


def test_check(tmp_path, pair, capsys):
    add(tmp_path / "x.safetensors", *pair, task="depth")
    for status, told in ((False, "ok"), (True, "x is listed, but ")):
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            check(tmp_path)
        assert end.value.code is status
        assert capsys.readouterr().out.startswith(told)
        (tmp_path / "x.safetensors").unlink(missing_ok=True)


def test_no_bank(tmp_path):
    with pytest.raises(ValueError, match="holds no prompts"):
        show(tmp_path)
    with pytest.raises(ValueError, match="nowhere is not a folder"):
        check(tmp_path / "nowhere")
