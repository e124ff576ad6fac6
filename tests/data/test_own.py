"""Somebody's own folder: which pairs it holds, the palette of its classes, what is painted, and what is wrong."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data.own_palette import Colors, read_palette
from data.pairs import read_pair, read_pairs
from data.palette import Palette
from data.prepare import prepare
from data.tasks.own import OWN_CLASSES, OWN_PICTURES, own_classes, own_pairs
from engine.load_config import load_config
from engine.loaders import read_lists
from tools.prepare import main as prepare_command

COLORS = {"wall": [255, 0, 0], "floor": [0, 200, 30], "sky": [10, 20, 250]}
SIZE = (12, 8)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def number(value: int) -> np.ndarray:
    return np.full(SIZE, value, np.uint8)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two pairs of each split: class numbers 0, 1 and unlabelled pixels."""
    for split in ("train", "val"):
        for i in range(2):
            save(tmp_path / f"images/{split}/{i}.jpg", np.full((*SIZE, 3), 90, np.uint8))
            label = number(i)
            label[0] = 255
            save(tmp_path / f"labels/{split}/{i}.png", label)
    (tmp_path / "palette.json").write_text(json.dumps(COLORS))
    return tmp_path


def prepared(task, folder: Path) -> None:
    for split in ("train", "val"):
        prepare(task, [folder], folder, split, num_workers=1)


def test_class_numbers_are_painted_with_the_folders_colors(folder):
    prepared(OWN_CLASSES, folder)
    painted = np.array(Image.open(folder / "painted/train/1.png"))
    assert (painted[0] == 0).all()
    assert (painted[1:] == COLORS["floor"]).all()
    pairs = read_pairs([folder], "own_train.json")
    assert [(pair.image_path, pair.target_path) for pair in pairs] == [
        (f"images/train/{i}.jpg", f"painted/train/{i}.png") for i in range(2)
    ]
    assert (np.array(read_pair([folder], pairs[1])[1]) == painted).all()


def test_pictures_are_listed_as_they_are(folder):
    (folder / "palette.json").unlink()
    save(folder / "labels/val/1.png", np.full((*SIZE, 3), 7, np.uint8))
    prepared(OWN_PICTURES, folder)
    pairs = read_pairs([folder], "own_val.json")
    assert [pair.target_path for pair in pairs] == ["labels/val/0.png", "labels/val/1.png"]
    assert not (folder / "painted").exists()
    assert (np.array(read_pair([folder], pairs[1])[1]) == 7).all()


@pytest.mark.parametrize("task", [OWN_CLASSES, OWN_PICTURES])
def test_one_config_trains_either(folder, task):
    if task is OWN_PICTURES:
        (folder / "palette.json").unlink()
    prepared(task, folder)
    lists = read_lists(load_config(["finetune", "--data.roots", str(folder)], "").data)
    assert {pair.type for pair in lists.train["own"] + lists.val["own"]} == {task.type}


def test_without_split_folders_every_tenth_pair_validates(tmp_path):
    for i in range(21):
        save(tmp_path / f"images/{i:02}.png", number(0))
        save(tmp_path / f"labels/{i:02}.png", number(0))
    found = {split: [Path(image).stem for image, _ in own_pairs([tmp_path], split)] for split in ("train", "val")}
    assert found["val"] == ["00", "10", "20"]
    assert sorted(found["train"] + found["val"]) == [f"{i:02}" for i in range(21)]


def test_a_label_without_any_class_is_left_out(folder):
    save(folder / "labels/train/0.png", number(255))
    counts = prepare(OWN_CLASSES, [folder], folder, "train", num_workers=1)
    assert (counts.listed, counts.left_out, counts.broken) == (1, 1, 0)


def test_a_palette_png_is_read_as_its_numbers(folder):
    image = Image.fromarray(number(2)).convert("P")
    image.putdata([2] * (SIZE[0] * SIZE[1]))
    image.putpalette([9] * 768)
    image.save(folder / "labels/train/0.png")
    prepared(OWN_CLASSES, folder)
    assert (np.array(Image.open(folder / "painted/train/0.png")) == COLORS["sky"]).all()


# Decoding


colors = st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=9, unique=True)


@given(colors, st.sampled_from(["abs", "square", "mean"]), st.integers(0, 2**32))
def test_the_nearest_color_is_that_of_brute_force(chosen, distance, seed):
    image = np.random.default_rng(seed).integers(256, size=(5, 7, 3), dtype=np.uint8)
    d = np.abs(image[:, :, None].astype(int) - np.array(chosen))
    far = {"abs": d, "square": d**2, "mean": d + d**2}[distance].sum(-1)
    number, least = Colors.of(tuple(chosen)).nearest(torch.from_numpy(image), distance)
    assert number.tolist() == far.argmin(-1).tolist()  # ties: the lowest
    assert least.tolist() == far.min(-1).tolist()


def test_a_folders_task_brings_its_labels_back_through_noise(folder):
    task, rng = own_classes(folder), np.random.default_rng(0)
    label = rng.integers(3, size=(40, 30), dtype=np.uint8)
    noisy = task.encode(label) + rng.integers(-60, 61, (40, 30, 3))
    painted = torch.from_numpy(noisy).permute(2, 0, 1) / 255
    assert (task.label(painted, (40, 30)) == label).all()


def test_without_its_folder_nothing_is_decoded():
    with pytest.raises(ValueError, match=r"own_classes decodes by the palette of your folder"):
        OWN_CLASSES.label(torch.zeros(3, 4, 4), (4, 4))


def test_a_channel_that_is_0_counts_and_an_unlabelled_pixel_does_not():
    target = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]).T[:, None]  # (3, 1, 2): red, black
    assert OWN_CLASSES.loss_weight(target).tolist() == [[[1, 0]]] * 3
    assert OWN_PICTURES.loss_weight(target).all()


# The palette


def palette_of(tmp_path: Path, content: str) -> Palette:
    (tmp_path / "palette.json").write_text(content)
    return read_palette([tmp_path])


@pytest.mark.parametrize("num", [1, 2, 8, 9, 255])
def test_colors_are_made_up_for_a_number_of_classes(tmp_path, num):
    found = palette_of(tmp_path, str(num)).colors.astype(int)
    assert len(found) == num
    assert found.any(axis=1).all()
    apart = np.abs(found[:, None] - found).sum(-1)[~np.eye(num, dtype=bool)]
    assert apart.min(initial=999) >= {1: 999, 2: 128, 8: 128, 9: 85, 255: 36}[num]


def test_names_and_their_order_are_those_of_the_file(tmp_path):
    named = palette_of(tmp_path, json.dumps(COLORS))
    assert named == palette_of(tmp_path, json.dumps([*COLORS.values()]))
    assert named != palette_of(tmp_path, json.dumps([*COLORS.values()][::-1]))
    assert named.colors.tolist() == [*COLORS.values()]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": [1,', r"palette.json is no palette \(.*; write how many classes there are"),
        ("[]", r"must hold 1 to 255 classes, but is \[\]"),
        ("0", "must hold 1 to 255 classes, but is 0"),
        ("256", "must hold 1 to 255 classes, but is 256"),
        ("true", "must hold 1 to 255 classes, but is True"),
        ('"red"', "must hold 1 to 255 classes, but is 'red'"),
        ('{"a": [1, 2]}', r"class 'a' is \[1, 2\]; give red, green and blue of 0..255"),
        ('{"a": [1, 2, 256]}', "class 'a' is .*256.; give red, green"),
        ('[[9, 9, 9], "red"]', "class 1 is 'red'; give red, green"),
        ('{"a": [0, 0, 0]}', "class 'a' is black, which means unlabelled"),
        ('{"a": [9, 9, 9], "b": [9, 9, 9]}', "classes 'a' .* and 'b' .* are too near"),
        ('{"a": [9, 9, 9], "b": [99, 9, 9], "c": [94, 19, 9]}', "classes 'b' .* and 'c' .* are too near"),
    ],
)
def test_a_palette_that_does_not_do_is_one_sentence(tmp_path, content, message):
    with pytest.raises(ValueError, match=message) as caught:
        palette_of(tmp_path, content)
    assert "\n" not in str(caught.value)


def test_colors_just_far_enough_are_taken(tmp_path):
    assert palette_of(tmp_path, "[[9, 9, 9], [14, 15, 14]]").num == 2


# What is wrong with a folder


def spoil(folder: Path, what: str) -> None:
    label = folder / "labels/train/0.png"
    match what:
        case "no label":
            label.unlink()
        case "no image":
            (folder / "images/train/0.jpg").unlink()
        case "size":
            save(label, number(0)[1:])
        case "class":
            save(label, number(3))
        case "16 bits":
            save(label, np.full(SIZE, 1, np.uint16))
        case "color":
            save(label, np.zeros((*SIZE, 3), np.uint8))
        case "JPEG":
            label.unlink()
            save(label.with_suffix(".jpg"), number(1))
        case "no palette":
            (folder / "palette.json").unlink()
        case "empty":
            for kind in ("images", "labels"):
                for file in (folder / kind / "train").iterdir():
                    file.unlink()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no label", "images/train/0.jpg has no partner in labels/train"),
        ("no image", "labels/train/0.png has no partner in images/train"),
        ("size", "0.jpg is 8 x 12 but ~/labels/train/0.png is 8 x 11 pixels; give both one size"),
        ("class", "~/labels/train/0.png: class 3 is outside the palette of 3; add to palette.json"),
        ("16 bits", "~/labels/train/0.png is a PNG of mode I;16; class numbers are 8-bit PNGs of mode L or P"),
        ("color", "~/labels/train/0.png is a PNG of mode RGB; class numbers are"),
        ("JPEG", "~/labels/train/0.jpg is a JPEG of mode L; class numbers are"),
        ("no palette", "~/palette.json is missing; write into it how many classes there are"),
        ("empty", "images/train and labels/train in ~ hold 0 pairs, none of them for train"),
    ],
)
def test_what_is_wrong_with_a_folder_is_one_sentence(folder, capsys, what, message):
    spoil(folder, what)
    with pytest.raises(SystemExit) as caught:
        prepare_command(["own_classes", "--root", str(folder), "--splits", "train", "--num_workers", "1"])
    assert caught.value.code
    told = capsys.readouterr().out.replace(str(folder), "~").splitlines()
    assert sum(message in line for line in told) == 1
    assert not (folder / "own_train.json").exists()


def test_pictures_of_two_sizes_and_beside_a_palette_are_refused(folder):
    with pytest.raises(ValueError, match=r"palette.json is of class numbers; prepare own_classes"):
        prepared(OWN_PICTURES, folder)
    (folder / "palette.json").unlink()
    spoil(folder, "size")
    with pytest.raises(ValueError, match=r"is 8 x 12 but .* is 8 x 11 pixels"):
        prepared(OWN_PICTURES, folder)


@pytest.mark.parametrize("changed", ["palette.json", "labels/train/1.png"])
def test_what_was_painted_before_a_change_is_not_used(folder, changed):
    prepared(OWN_CLASSES, folder)
    prepared(OWN_CLASSES, folder)
    now = (folder / "painted/train/1.png").stat().st_mtime + 5
    os.utime(folder / changed, (now, now))
    with pytest.raises(ValueError, match=f"{changed} is newer than .*; remove the folder painted"):
        prepared(OWN_CLASSES, folder)


@pytest.mark.parametrize("text", ['{"1": [255, 0, 0], "0": [0, 255, 0]}', '{"a": [255, 0, 0], "a": [0, 255, 0]}'])
def test_names_of_classes_that_mislead_are_refused(tmp_path, text):
    (tmp_path / "palette.json").write_text(text)
    with pytest.raises(ValueError, match=r"palette\.json is no palette .*must differ, and numbers count from 0"):
        read_palette([tmp_path])
