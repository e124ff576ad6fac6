"""Prompt files and banks: what is written is read again; what is damaged is said in a sentence."""

import hashlib
import json
import os
import re

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from engine.prompts import FACTS, check_place, faults, read_manifest, read_prompt_file, save_prompt

GIVEN = {"kind": "given", "source": "a room", "score": {"psnr": 17.5}}


def picture(seed, size=(6, 4)):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))


@pytest.fixture
def bank(tmp_path):
    """A bank of one prompt for two tasks: pictures, and learned halves."""
    torch.manual_seed(0)
    learned = torch.randn(3, 8, 5) * 3, torch.randn(3, 8, 5)
    pairs = {"denoise": (picture(0), picture(1)), "a.b": learned}
    save_prompt(tmp_path / "bank" / "one.safetensors", pairs, GIVEN)
    return tmp_path / "bank", pairs


def test_round_trip(bank):
    folder, pairs = bank
    stored = read_prompt_file(folder / "one.safetensors")
    assert stored.facts == GIVEN
    assert stored.pairs.keys() == pairs.keys()
    for found, given in zip(stored.pairs["denoise"], pairs["denoise"], strict=True):
        np.testing.assert_array_equal(found, given)
    for found, given in zip(stored.pairs["a.b"], pairs["a.b"], strict=True):
        assert torch.equal(found, given)


def test_the_picture_shows_all_sides(bank):
    folder, pairs = bank
    shown = np.asarray(Image.open(folder / "one.png"))
    first = np.asarray(pairs["denoise"][0])  # 4 high, enlarged 56 times
    np.testing.assert_array_equal(shown[16 + 28 :: 56, 28 : 6 * 56 : 56], first)
    assert shown.shape == (16 + 224, 2 * 336 + 2 * 140 + 3 * 4, 3)


def test_the_manifest_lists_what_is_there(bank):
    folder, _ = bank
    save_prompt(folder / "again.safetensors", {"derain": (picture(2), picture(3))}, {"kind": "searched"})
    listed = read_manifest(folder)
    assert list(listed) == ["again", "one"]
    assert listed["one"] == GIVEN | {
        "tasks": ["a.b", "denoise"],
        "sha256": hashlib.sha256((folder / "one.safetensors").read_bytes()).hexdigest(),
    }
    save_prompt(folder / "one.safetensors", {"derain": (picture(2), picture(3))}, {"kind": "given"})
    assert read_manifest(folder)["one"]["tasks"] == ["derain"]
    assert faults(folder) == []


def test_faults_of_a_bank(bank):
    folder, _ = bank
    for name in ("cut", "gone", "other"):
        save_prompt(folder / f"{name}.safetensors", {"derain": (picture(2), picture(3))}, {"kind": "given"})
    (folder / "gone.safetensors").unlink()
    content = (folder / "cut.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(content[:-1])
    (folder / "other.safetensors").write_bytes(content[:-1] + b"!")
    (folder / "one.safetensors").rename(folder / "two.safetensors")
    told = faults(folder)
    assert len(told) == 5
    for part in (
        "/gone.safetensors is not there",
        "/one.safetensors is not there",
        "cut.safetensors is no whole",
        "two.safetensors is not in",
    ):
        assert sum(part in line for line in told) == 1
    assert told[-2].endswith("other.safetensors is not the file that was listed: its SHA-256 is another")


IMAGE, TARGET = "t.image", "t.target"
HALF, BYTES = torch.zeros(3, 8, 5), torch.zeros(8, 5, 3, dtype=torch.uint8)
DAMAGED = [
    ({}, "{}", "other tensors, or none"),
    ({"weight": HALF}, "{}", "weight has no image"),
    ({IMAGE: HALF, TARGET: HALF}, None, "it holds other tensors, or none"),
    ({IMAGE: HALF}, "{}", "t has no target"),
    ({TARGET: HALF}, "{}", "t has no image"),
    ({IMAGE: HALF, TARGET: HALF, "t.mask": HALF}, "{}", "more than images and targets"),
    ({IMAGE: HALF, TARGET: HALF[:, 1:]}, "{}", "image and target of t are of different sizes"),
    ({IMAGE: BYTES, TARGET: BYTES[:, 1:]}, "{}", "image and target of t are of different sizes"),
    ({IMAGE: BYTES, TARGET: HALF[:, 1:]}, "{}", "image and target of t are of different sizes"),
    ({IMAGE: HALF, TARGET: HALF / 0}, "{}", "not half a canvas, or not finite"),
    ({IMAGE: HALF[0], TARGET: HALF}, "{}", r"float32 of shape \(8, 5\) is not half a canvas"),
    ({IMAGE: HALF[None], TARGET: HALF}, "{}", "is not half a canvas"),
    ({IMAGE: BYTES.permute(2, 0, 1).contiguous(), TARGET: HALF}, "{}", "an array of uint8 of shape"),
    ({IMAGE: HALF, TARGET: HALF}, "[1]", "cannot convert"),
    ({IMAGE: HALF, TARGET: HALF}, "{", "Expecting property name"),
]


@pytest.mark.parametrize(("tensors", "facts", "message"), DAMAGED)
def test_what_is_no_prompt_file_is_said(tmp_path, tensors, facts, message):
    path = tmp_path / "x.safetensors"
    save_file(
        {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()},
        path,
        {"format": "pt"} | ({FACTS: facts} if facts else {}),
    )
    with pytest.raises(
        ValueError, match=f"^{re.escape(str(path))} is no whole prompt file .*{message}.*write it again"
    ):
        read_prompt_file(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff" * 100])
def test_any_other_file_is_said(tmp_path, content):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="is no whole prompt file"):
        read_prompt_file(tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=r"there is no prompt file .*y\.safetensors; tools/search_prompt"):
        read_prompt_file(tmp_path / "y.safetensors")


def test_a_prompt_may_be_of_mixed_kinds(tmp_path):
    save_prompt(tmp_path / "x.safetensors", {"t": (picture(0, (5, 8)), HALF)}, {})
    image, target = read_prompt_file(tmp_path / "x.safetensors").pairs["t"]
    assert image.size == (5, 8)
    assert torch.equal(target, HALF)


def test_halves_may_share_their_memory(tmp_path):
    image, target = torch.randn(2, 3, 8, 5)
    for pair in ((image, target), (image, image)):
        save_prompt(tmp_path / "x.safetensors", {"t": pair}, {})
        assert all(map(torch.equal, read_prompt_file(tmp_path / "x.safetensors").pairs["t"], pair))


@pytest.mark.parametrize("content", ["[]", "{", '{"a": 1}', "3"])
def test_a_broken_manifest_is_said_before_anything_is_written(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ValueError, match=r"manifest\.json is no manifest, or is damaged; remove it"):
        save_prompt(tmp_path / "x.safetensors", {"t": (HALF, HALF)}, {})
    assert os.listdir(tmp_path) == ["manifest.json"]


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder.safetensors").mkdir()
    for name, message in (
        ("x.png", r"x\.png must end in \.safetensors"),
        ("folder.safetensors", "is a folder; give the name of a file"),
        ("file/x.safetensors", "cannot be written to .*; give another"),
    ):
        with pytest.raises(ValueError, match=message):
            check_place(tmp_path / name)
    check_place(tmp_path / "new/folder/x.safetensors")
    assert os.listdir(tmp_path / "new/folder") == []


def test_the_manifest_is_json_for_anyone(bank):
    assert json.loads((bank[0] / "manifest.json").read_text())["one"]["score"] == {"psnr": 17.5}


def test_a_picture_that_is_no_prompts_is_not_replaced(tmp_path):
    pair = (Image.new("RGB", (8, 6), "red"), Image.new("RGB", (8, 6), "blue"))
    pair[1].save(tmp_path / "room.png")
    with pytest.raises(ValueError, match=r"room\.png is there already, and would be replaced by the prompt's"):
        save_prompt(tmp_path / "room.safetensors", {"denoise": pair}, {})
    with Image.open(tmp_path / "room.png") as kept:
        assert kept.size == (8, 6)
    for _ in range(2):
        save_prompt(tmp_path / "other.safetensors", {"denoise": pair}, {})


@pytest.mark.parametrize(
    "listed",
    [{"../x": {"tasks": []}}, {"x": {"tasks": None}}, {"x": {"tasks": [], "score": 3}}, {"x": {}}, {"": {"tasks": []}}],
)
def test_a_manifest_that_lies_is_refused(tmp_path, listed):
    (tmp_path / "manifest.json").write_text(json.dumps(listed))
    with pytest.raises(ValueError, match=r"manifest\.json is no manifest, or is damaged"):
        read_manifest(tmp_path)
