"""The demo data: same seed same bytes, whole or made again, and nothing of validation in training."""

import json
from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image

from tools import make_demo_data as demo

LISTS = {  # list -> (pair type, number of pairs)
    "denoise/denoise_ssid_train.json": ("ssid_image2denoise", 440),
    "denoise/denoise_ssid_val.json": ("ssid_image2denoise", 6),
    "derain/derain_train.json": ("derain_image2derain", 440),
    "derain/derain_val.json": ("derain_image2derain", 6),
    "light_enhance/enhance_lol_train.json": ("lol_image2enhance", 440),
    "light_enhance/enhance_lol_val.json": ("lol_image2enhance", 6),
    "nyu_depth_v2/nyuv2_train_image_depth.json": ("nyuv2_image2depth", 120),
    "nyu_depth_v2/nyuv2_val_image_depth.json": ("nyuv2_image2depth", 3),
}
RESTORATION_LISTS = [name for name in LISTS if "depth" not in name]
DEPTH_LISTS = [name for name in LISTS if "depth" in name]
SHIPPED = Path(skimage.__file__).parent / "data"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo")
    demo.make_demo_data(root)
    return root


def read_pairs(root, name):
    for entry in json.loads((root / name).read_text()):
        yield entry, read(root / entry["image_path"]), read(root / entry["target_path"])


def read(path):
    with Image.open(path) as image:
        return np.array(image)


def contents(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def photographs(root, split):
    """The names of the photographs a split draws its restoration targets from."""
    names = [name for name in RESTORATION_LISTS if name.endswith(f"_{split}.json")]
    return {Path(e["target_path"]).stem.split("_")[0] for name in names for e, _, _ in read_pairs(root, name)}


def test_the_lists_are_all_there_is(root):
    assert {str(path.relative_to(root)) for path in root.rglob("*.json")} == {*LISTS, demo.STAMP}
    listed = {
        entry[key]
        for name in LISTS
        for entry in json.loads((root / name).read_text())
        for key in ("image_path", "target_path")
    }
    assert {str(path.relative_to(root)) for path in root.rglob("*.*") if path.suffix != ".json"} == listed


@pytest.mark.parametrize("name", LISTS)
def test_list_has_its_type_and_pairs_of_equal_size(root, name):
    pairs = list(read_pairs(root, name))
    assert len({entry["image_path"] for entry, _, _ in pairs}) == LISTS[name][1]
    for entry, image, target in pairs:
        assert set(entry) == {"image_path", "target_path", "type"}
        assert entry["type"] == LISTS[name][0]
        assert image.dtype == np.uint8
        assert image.shape[:2] == target.shape[:2]
        assert image.shape == (64, 64, 3)


@pytest.mark.parametrize("name", RESTORATION_LISTS)
def test_degradation_is_strong_and_of_its_kind(root, name):
    for _, image, target in read_pairs(root, name):
        assert target.dtype == np.uint8
        change = image / 255 - target / 255
        if "denoise" in name:
            inner = (target > 100) & (target < 155)  # where clipping hardly bites
            assert inner.sum() < 500 or 0.13 < change[inner].std() < 0.27
        elif "derain" in name:
            assert change.min() >= 0
            assert 0.015 < change.mean() < 0.2
        else:
            assert image.mean() < 0.4 * target.mean()


def test_no_photograph_is_in_both_splits(root):
    assert photographs(root, "val") == {"chelsea", "coffee"}
    assert len(photographs(root, "train")) == 11
    assert not photographs(root, "train") & photographs(root, "val")


def test_depth_splits_share_no_pixel(root):
    left, seen = Image.fromarray(read(SHIPPED / "motorcycle_left.png")), {}
    for name in DEPTH_LISTS:
        seen[name] = np.zeros(left.size[::-1], bool)
        for entry, image, _ in read_pairs(root, name):
            x, y, side = box(entry)
            square = left.crop((x, y, x + side, y + side)).resize((64, 64), Image.LANCZOS)
            np.testing.assert_array_equal(image, square)
            seen[name][y : y + side, x : x + side] = True
    train, val = (seen[name] for name in DEPTH_LISTS)
    assert not (train & val).any()
    assert (train | val).mean() > 0.95


def box(entry):
    """x, y and side of a depth pair's square."""
    return (int(part.strip("xy")) for part in Path(entry["image_path"]).stem.split("_")[1:])


@pytest.mark.parametrize("view", [(0, 0, 1), (1, 1, 0.5), (1, 0, 0.2)])
def test_restoration_sees_only_the_depth_training_part(monkeypatch, view):
    squares = []
    for unseen in (0, 255):
        pixels = read(SHIPPED / "motorcycle_left.png")
        pixels[:, 494:] = unseen
        monkeypatch.setattr(demo, "_open", lambda name, pixels=pixels: Image.fromarray(pixels))
        squares.append(demo._square(("motorcycle_left.png", *view)))
    np.testing.assert_array_equal(*squares)


def test_recolouring_swaps_channels_and_scales_them():
    image = np.random.default_rng(0).uniform(0.1, 0.6, (5, 5, 3))
    changed = demo.recolour(image, np.random.default_rng(1))
    spread = np.ptp(changed[:, :, :, None] / image[:, :, None, :], axis=(0, 1))  # (new channel, old channel)
    assert not np.allclose(changed, image)
    assert sorted(spread.argmin(axis=1)) == [0, 1, 2]
    assert spread.min(axis=1).max() < 1e-9


@pytest.mark.parametrize("name", DEPTH_LISTS)
def test_depth_is_metric(root, name):
    with np.load(SHIPPED / "motorcycle_disp.npz") as shipped:
        disparity = shipped["arr_0"].astype(np.float64)
    metres = 0.193001 * 994.978 / (disparity + 31.086)  # baseline x focal length / (disparity + offset)
    for entry, _, target in read_pairs(root, name):
        x, y, side = box(entry)
        middle = ((np.arange(64) + 0.5) * side / 64).astype(int)
        expected = metres[y : y + side, x : x + side][middle][:, middle]
        assert target.dtype == np.uint16
        np.testing.assert_allclose(target / 1000, expected, rtol=0, atol=0.000501)  # inf disparity: 0
        np.testing.assert_array_equal(target == 0, expected == 0)
        assert 2000 < target[target > 0].min() < target.max() < 5100
        assert (target == 0).mean() < 0.2


def test_unknown_disparity_is_zero_depth():
    depth = demo.depth_mm(np.array([[np.inf, np.nan, 0.0]], np.float32))
    np.testing.assert_array_equal(depth, [[0, 0, 6177]])


def test_an_interrupted_run_is_made_again_to_the_same_bytes(root, tmp_path, monkeypatch):
    write, budget = demo._write, iter(range(20))

    def fail_after_the_budget(path, content):
        if next(budget, None) is None:
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(demo, "_write", fail_after_the_budget)
    with pytest.raises(KeyboardInterrupt):
        demo.make_demo_data(tmp_path)
    assert not list(tmp_path.rglob("*_train.json"))  # a list never names a file that is not there
    (tmp_path / "denoise/train/input/astronaut_00.png").write_bytes(b"broken")
    monkeypatch.undo()
    demo.make_demo_data(tmp_path)
    assert contents(tmp_path) == contents(root)


def test_a_finished_data_set_is_not_made_again(root, monkeypatch):
    monkeypatch.setattr(demo, "_write", lambda path, content: pytest.fail(f"wrote {path}"))
    demo.make_demo_data(root)


@pytest.mark.parametrize("change", ["seed", "format"])
def test_another_seed_or_format_is_made_again(root, monkeypatch, change):
    monkeypatch.setattr(demo, "FORMAT", demo.FORMAT + (change == "format"))
    monkeypatch.setattr(demo, "_write", lambda path, content: pytest.fail(content.decode()))
    with pytest.raises(pytest.fail.Exception, match="unfinished"):
        demo.make_demo_data(root, seed=int(change == "seed"))


def test_the_seed_changes_the_images_and_not_the_targets(root):
    for pair in demo._restoration_pairs("val", seed=1):
        image, target = pair.make()
        assert (image != read(root / pair.image_path)).any()
        np.testing.assert_array_equal(target, read(root / pair.target_path))


def test_lists_of_other_data_are_not_overwritten(tmp_path):
    other = tmp_path / "derain/derain_train.json"
    other.parent.mkdir()
    other.write_text("[]")
    with pytest.raises(ValueError, match=r"derain_train\.json lists other data"):
        demo.make_demo_data(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [other]


def test_bad_input_is_named(tmp_path):
    with pytest.raises(ValueError, match="seed must be 0 or more, got -1"):
        demo.make_demo_data(tmp_path, seed=-1)
    with pytest.raises(ValueError, match=r"ships no unicorn\.png"):
        demo._shipped("unicorn.png")
