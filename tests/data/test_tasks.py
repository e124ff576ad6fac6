"""Tasks: the policies of the released code, loss weights to their thresholds, depth for every value."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from data.tasks import SOURCES, TASKS, Task, keyed, task_named, task_of
from data.tasks.base import resize_painted
from data.tasks.depth import Depth

POLICIES = {  # type -> target resize, augment, canvas crop
    "nyuv2_image2depth": ("bicubic", True, True),
    "ade20k_image2semantic": ("nearest", True, True),
    "coco_image2panoptic_inst": ("nearest", False, False),
    "coco_image2panoptic_sem_seg": ("nearest", True, True),
    "coco_image2pose": ("bicubic", False, False),
    "ssid_image2denoise": ("nearest", True, True),
    "derain_image2derain": ("nearest", True, True),
    "lol_image2enhance": ("nearest", True, True),
}
SEMANTIC = ("ade20k_image2semantic", "coco_image2panoptic_sem_seg")
RESTORATION = ("ssid_image2denoise", "derain_image2derain", "lol_image2enhance")
SPARSE = ("coco_image2panoptic_inst", "coco_image2pose")


@pytest.mark.parametrize("pair_type", POLICIES)
def test_policies(pair_type):
    task = task_of(pair_type)
    assert (task.target_interp, task.augment, task.canvas_crop) == POLICIES[pair_type]


def test_the_table_names_the_types_of_the_paper():
    assert set(POLICIES) <= set(TASKS)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("ade20k_image2semantics", "did you mean ade20k_image2semantic"),
        ("nyu_image2depth", "did you mean nyuv2_image2depth"),
        ("zzz", "lol_image2enhance"),
    ],
)
def test_an_unknown_type_gets_a_suggestion(wrong, message):
    with pytest.raises(ValueError, match=message) as caught:
        task_of(wrong)
    assert repr(wrong) in str(caught.value)


@pytest.mark.parametrize(
    ("short", "name"),
    [(name, name) for name in SOURCES]
    + [("depth", "nyuv2_depth"), ("pose", "coco_pose"), ("instance", "coco_instance"), ("ade20k", "ade20k_semantic")],
)
def test_a_task_is_named_in_full_or_by_a_word_of_its_own(short, name):
    assert task_named(short) is SOURCES[name]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("semantic", "task 'semantic' may be ade20k_semantic, coco_semantic; give one of them$"),
        ("dept", "task 'dept' is none of nyuv2_depth, .*; did you mean depth[?]$"),
        ("ade20k_", "did you mean ade20k or ade20k_semantic[?]$"),
        ("semantics", "did you mean coco_semantic or ade20k_semantic[?]$"),
        ("colour", "task 'colour' is none of .*, coco_semantic$"),
        ("nois", "is none of .*did you mean denoise[?]$"),
        ("", "task '' is none of .*, coco_semantic$"),
    ],
)
def test_a_part_of_a_word_and_what_may_be_several_are_no_task(wrong, message):
    with pytest.raises(ValueError, match=message):
        task_named(wrong)


def test_a_name_goes_before_a_word(monkeypatch):
    monkeypatch.setitem(SOURCES, "depth", SOURCES["denoise"])
    assert task_named("depth") is SOURCES["denoise"]


def weights(pair_type: str, values: list[float]) -> list[float]:
    """Of a canvas (3, 20, 40) whose first values are given and whose rest is white."""
    target = torch.ones(3, 20, 40)
    target.flatten()[: len(values)] = torch.tensor(values)
    weight = task_of(pair_type).loss_weight(target)
    assert weight.shape == target.shape
    assert weight.dtype == torch.float32
    assert set(weight.flatten()[len(values) :].tolist()) == {10.0 if pair_type == "coco_image2pose" else 1.0}
    return weight.flatten()[: len(values)].tolist()


def test_unmeasured_depth_counts_nothing():
    assert weights("nyuv2_image2depth", [0, -0.1, 0.9e-4, 1.1e-4, 1 / 255]) == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("pair_type", SEMANTIC)
def test_black_is_unlabelled(pair_type):
    assert weights(pair_type, [0, 0.9e-5, 1.1e-5, 0.9e-4, 1 / 255]) == [0, 0, 1, 1, 1]


@pytest.mark.parametrize("pair_type", SEMANTIC)
def test_black_is_judged_value_by_value(pair_type):
    target = torch.zeros(3, 2, 2)
    target[1, 0, 0] = 0.5  # one channel of one pixel
    assert torch.equal(task_of(pair_type).loss_weight(target), (target > 0).float())


@pytest.mark.parametrize("pair_type", RESTORATION)
def test_restoration_counts_everything(pair_type):
    assert torch.equal(task_of(pair_type).loss_weight(torch.zeros(3, 4, 4)), torch.ones(3, 4, 4))


def test_painted_joints_count_tenfold():
    assert weights("coco_image2pose", [0, 0.9e-5, 1.1e-5, 0.5]) == [1, 1, 10, 10]


def test_instances_count_alike():
    assert weights("coco_image2panoptic_inst", [0, 0.9e-5, 1.1e-5, 0.5]) == [1, 1, 1, 1]


@pytest.mark.parametrize("pair_type", SPARSE)
@pytest.mark.parametrize(
    ("num_painted", "level", "counts"),
    [(299, 1.0, False), (300, 1.0, True), (300, 1.1e-5, True), (2400, 0.9e-5, False), (0, 0, False)],
)
def test_a_canvas_with_fewer_than_300_painted_values_counts_nothing(pair_type, num_painted, level, counts):
    target = torch.zeros(20, 40, 3)
    target.flatten()[:num_painted] = level  # pixel by pixel, three values each
    assert bool(task_of(pair_type).loss_weight(target.permute(2, 0, 1)).any()) == counts


def test_weights_leave_the_target_alone():
    for task in TASKS.values():
        target = torch.rand(3, 20, 40, generator=torch.Generator().manual_seed(0))
        before = target.clone()
        task.loss_weight(target)
        assert torch.equal(target, before)


def test_two_tasks_of_one_name_are_refused():
    class Copied(Depth):
        """A file that was copied, its name forgotten."""

    with pytest.raises(ValueError, match="two tasks, Depth and Copied, have the name 'nyuv2_depth'; give each its own"):
        keyed([*TASKS.values(), Copied()], "name")
    assert keyed([*TASKS.values()] * 2, "type") == TASKS


def test_a_task_without_lists_is_named():
    class Listless(Task):
        """Begun."""

        name = type = "new"

    with pytest.raises(ValueError, match="Listless has no lists; give it one"):
        keyed([Listless()], "name")


# Depth


def test_depth_paints_every_value():
    millimetres = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    painted = Depth().encode(millimetres)
    exact = [[math.floor(min(Fraction(value * 255, 10000), 255))] * 3 for value in range(65536)]
    np.testing.assert_array_equal(painted.reshape(-1, 3), exact)
    assert painted.dtype == np.uint8


def test_depth_paints_as_pillow_does_with_floats():
    """The original divided in floats and left the rounding to Pillow."""
    millimetres = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    floats = Image.fromarray((millimetres / 10000.0 * 255).astype(np.float32)).convert("RGB")
    np.testing.assert_array_equal(Depth().encode(millimetres), floats)


def test_depth_is_read_from_millimetre_files(tmp_path):
    millimetres = np.array([[0, 39, 40, 5000], [9999, 10000, 10001, 65535]], np.uint16)
    Image.fromarray(millimetres).save(tmp_path / "depth.png")
    painted = Depth().read_target(tmp_path / "depth.png")
    assert painted.mode == "L"
    assert np.array(painted).tolist() == [[0, 0, 1, 127], [254, 255, 255, 255]]


@pytest.mark.parametrize(("side", "new"), [(560, 480), (448, 192), (448, 427), (448, 256), (5, 3), (3, 5), (7, 7)])
def test_nearest_takes_the_same_pixels_in_any_precision(side, new):
    """Those of PyTorch in float64 on the CPU; in float32 it takes others here and there."""
    rows = torch.arange(side)[None, :, None].expand(1, side, 2)
    due = F.interpolate(rows[None].double(), size=(new, 2))[0]
    for kind in (torch.float32, torch.float64):
        assert torch.equal(resize_painted(rows.to(kind), (new, 2), "nearest").double(), due)
    if (side, new) == (560, 480):
        assert (F.interpolate(rows[None].float(), size=(new, 2))[0].double() != due).any()


@pytest.mark.parametrize("interp", ["bilinear", "bicubic", "nearest"])
def test_resizing_does_not_hang_on_the_number_of_threads(interp):
    painted = torch.rand(3, 48, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 255
    before, found = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(resize_painted(painted, (333, 500), interp))
    torch.set_num_threads(before)
    assert torch.equal(*found)
