"""Instances: painted by the rule, found again through noise, decoded as the plain way does; COCO's files and copies."""

import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data.color_masks import areas, distinct, overlaps
from data.matrix_nms import decay, matrix_nms
from data.scale_jitter import FLIPPED, PLAIN, SIDE, View, draw_view
from data.tasks import TASKS, instance
from data.tasks.instance import COCO_INSTANCE
from tools import plain_decode
from tools.speed_decode import instance_error

COLORS = COCO_INSTANCE.palette.colors
SIZE = (160, 160)
IDS = {"person": 70_000, "crowd": 300, "sky": 16_777_215, "dog": 5}


def to_tensor(image: Image.Image) -> torch.Tensor:
    """(3, H, W) in 0..1."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255


def color(column: int, row: int) -> list[int]:
    """Of a cell of the 80 x 80."""
    return [255 - 15 * (4 * (row // 20) + column // 20), 255 - 13 * (row % 20), 255 - 13 * (column % 20)]


def plainly(masks: np.ndarray) -> np.ndarray:
    """The label, mask by mask."""
    painted = np.zeros((*masks.shape[1:], 3), np.uint8)
    for mask in masks.astype(bool):
        if mask.any():
            y, x = (axis.mean() for axis in np.nonzero(mask))
            painted[mask] = color(int(x / mask.shape[1] * 79), int(y / mask.shape[0] * 79))
    return painted


def random_masks(rng: np.random.Generator, num: int, size: tuple[int, int]) -> np.ndarray:
    """Disjoint scattered masks (num, H, W), some of them empty."""
    owner = rng.integers(0, 2 * num, size)
    owner[owner == 1] = 0
    return np.stack([owner == i for i in range(num)])


# Painting


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(1, 12), st.tuples(st.integers(1, 60), st.integers(1, 60)))
def test_painting_is_the_rule_mask_by_mask(seed, num, size):
    masks = random_masks(np.random.default_rng(seed), num, size)
    painted = COCO_INSTANCE.encode(masks)
    np.testing.assert_array_equal(painted, plainly(masks))
    assert painted.dtype == np.uint8
    index = sum((i + 1) * mask.astype(np.uint16) for i, mask in enumerate(masks))
    np.testing.assert_array_equal(COCO_INSTANCE.paint(index.astype(np.uint16), num), painted)


def test_every_cell_but_the_last_has_its_color():
    for place in range(1024):
        masks = np.zeros((1, 3, 1024), np.uint8)
        masks[0, 2, place] = 1
        assert COCO_INSTANCE.encode(masks)[2, place].tolist() == color(place * 79 // 1024, 52)
        assert COCO_INSTANCE.encode(masks.transpose(0, 2, 1))[place, 2].tolist() == color(52, place * 79 // 1024)
    assert len(np.unique(COLORS, axis=0)) == 6400


def test_no_mask_paints_nothing_and_overlap_is_refused():
    assert not COCO_INSTANCE.encode(np.zeros((0, 4, 5))).any()
    assert not COCO_INSTANCE.encode(np.zeros((2, 4, 5))).any()
    masks = np.zeros((2, 4, 5), np.uint8)
    masks[:, 1, 1] = 1
    with pytest.raises(ValueError, match="masks overlap"):
        COCO_INSTANCE.encode(masks)


def test_foreign_colors():
    masks = random_masks(np.random.default_rng(0), 9, (20, 30))
    painted = COCO_INSTANCE.encode(masks)
    assert COCO_INSTANCE.foreign(Image.fromarray(painted)) is None
    painted[3, 4] = 255, 255, 254
    assert COCO_INSTANCE.foreign(Image.fromarray(painted)) == "shows (255, 255, 254), the colour of no place"


# Decoding


def apart(rng: np.random.Generator, num: int, margin: int) -> np.ndarray:
    """Rectangles in a 4 x 4 raster whose colours are so far apart, and from black, that masks do not mix."""
    masks, colors = [], [[0, 0, 0]]
    for place in rng.permutation(16).tolist():
        mask = np.zeros(SIZE, bool)
        (top, left), (h, w) = rng.integers(0, 18, 2), rng.integers(6, 20, 2)
        top, left = top + 40 * (place // 4), left + 40 * (place % 4)
        mask[top : top + h, left : left + w] = True
        painted = plainly(mask[None])[mask][0].astype(int)
        if len(masks) < num and np.abs(painted - colors).sum(axis=1).min() >= 57 + margin:
            masks.append(mask)
            colors.append(painted.tolist())
    return np.stack(masks)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(1, 5), st.integers(0, 4))
def test_painted_instances_are_found_through_noise(seed, num, noise):
    rng = np.random.default_rng(seed)
    masks = apart(rng, num, 3 * noise)
    painted = COCO_INSTANCE.encode(masks).astype(int) + rng.integers(-noise, noise + 1, (*SIZE, 3))
    found = COCO_INSTANCE.decode(to_tensor(Image.fromarray(painted.clip(0, 255).astype(np.uint8))), SIZE)
    first = {mask.tobytes() for mask in found.masks[: len(masks)].numpy()}
    assert first == {mask.tobytes() for mask in masks}
    assert found.scores[len(masks) - 1] > 0.7
    assert found.masks.dtype == torch.bool
    assert found.scores.dtype == torch.float32
    assert len(found.masks) == len(found.scores) <= 100
    assert (found.scores.diff() <= 0).all()


def test_predictions_are_clipped_and_taken_at_the_nearest():
    masks = apart(np.random.default_rng(1), 3, 0)
    painted = to_tensor(Image.fromarray(COCO_INSTANCE.encode(masks))) * 1.00001
    painted[painted == 0] = -0.3
    found = COCO_INSTANCE.decode(painted, (320, 480))
    large = torch.from_numpy(masks).repeat_interleave(2, dim=1).repeat_interleave(3, dim=2)
    assert {mask.numpy().tobytes() for mask in found.masks[:3]} == {mask.numpy().tobytes() for mask in large}


def noisy(seed: int, size: tuple[int, int] = (20, 24)) -> torch.Tensor:
    """A painted image with noise; from seed 2 on some random colours too."""
    rng = np.random.default_rng(seed)
    painted = plainly(random_masks(rng, 4 + 3 * seed, size)) + rng.normal(0, 4, (*size, 3))
    if seed > 1:
        painted[: size[0] // 3] = rng.integers(0, 256, (size[0] // 3, size[1], 3))
    return torch.from_numpy(painted.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    ("seed", "thr"), [(0, 19), (1, 5), (1, 16), (2, 18), (2, 19), (3, 25), (4, 19), (4, 7.5), (5, 16)]
)
def test_instances_are_those_of_the_plain_way(seed, thr):
    image = noisy(seed)
    ours, plain = COCO_INSTANCE.instances(image, thr), plain_decode.instances(COCO_INSTANCE.palette, image, thr)
    assert instance_error(ours, plain) < 1e-6


@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device")
def test_a_gpu_decodes_alike():
    for seed in range(4):
        ours, expected = COCO_INSTANCE.instances(noisy(seed).cuda()), COCO_INSTANCE.instances(noisy(seed))
        assert instance_error(type(ours)(*(x.cpu() for x in ours)), expected) < 1e-6


@pytest.mark.parametrize("reach", [1, 15, 57, 75])
def test_areas_distances_and_overlaps_are_counted_exactly(reach):
    image = noisy(6, (15, 40))
    distance = (image.long().view(-1, 1, 3) - torch.from_numpy(COLORS).long()).abs().sum(dim=2)  # (pixels, 6400)
    masks = distance < reach
    counts, sums = areas(COCO_INSTANCE.palette, distinct(image), reach)
    assert torch.equal(counts.long(), masks.sum(dim=0))
    assert torch.equal(sums.long(), (masks * distance).sum(dim=0))
    some = torch.from_numpy(np.random.default_rng(0).permutation(6400)[:300])
    shared = overlaps(distinct(image), torch.from_numpy(COLORS).int()[some], reach)
    assert torch.equal(shared.long(), masks[:, some].long().T @ masks[:, some].long())


def test_all_corners_of_the_color_cube_are_counted():
    image = torch.cartesian_prod(*[torch.tensor([0, 7, 8, 29, 30, 254, 255])] * 3).byte()[None]
    distance = (image.long().view(-1, 1, 3) - torch.from_numpy(COLORS).long()).abs().sum(dim=2)
    counts, sums = areas(COCO_INSTANCE.palette, distinct(image), 57)
    assert torch.equal(counts.long(), (distance < 57).sum(dim=0))
    assert torch.equal(sums.long(), ((distance < 57) * distance).sum(dim=0))


def test_black_alone():
    black = torch.zeros(3, 6, 7)
    nothing = COCO_INSTANCE.decode(black, (6, 7), dist_thr=5)
    assert nothing.masks.shape == (1, 6, 7)
    assert not nothing.masks.any()
    assert nothing.scores.tolist() == [0]
    spurious = COCO_INSTANCE.decode(black, (6, 7))  # 46 / 3 from the last colour
    assert spurious.masks.all()
    assert spurious.scores.tolist() == [0]


def test_candidates_are_the_2000_nearest_and_ties_keep_the_order_of_numbers():
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.integers(0, 256, (60, 60, 3), dtype=np.uint8))
    found = COCO_INSTANCE.candidates(distinct(image))
    assert len(found.scores) == 2000
    assert found.scores[-1] == 0
    two = COCO_INSTANCE.candidates(distinct(torch.tensor([[[255, 255, 255]]], dtype=torch.uint8)), 6)
    assert two.centers.tolist() == [[255, 255, 255], [255, 255, 242], [255, 242, 255], [240, 255, 255]]
    assert two.areas.tolist() == [1, 1, 1, 1]
    assert two.scores.tolist() == pytest.approx([1, 1 - 13 / 15, 1 - 13 / 15, 0])


def test_the_score_of_a_clear_prediction_is_its_mean_difference():
    image = torch.tensor([[[255, 255, 254], [255, 255, 254], [239, 255, 254]]], dtype=torch.uint8)
    found = COCO_INSTANCE.candidates(distinct(image), 1)
    assert found.centers.tolist() == [[255, 255, 255], [240, 255, 255]]
    assert found.scores.tolist() == pytest.approx([1 - 1 / 3, 1 - 2 / 3])
    assert found.areas.tolist() == [2, 1]


def test_the_nearest_color_or_black():
    image = torch.tensor([[[0, 0, 0], [15, 4, 4], [15, 4, 5], [255, 254, 250]]], dtype=torch.uint8)
    number, distance = COCO_INSTANCE.nearest(image)
    assert number.tolist() == [[6400, 6399, 6399, 0]]  # a tie goes to the palette
    assert distance.tolist() == [[0, 23, 22, 6]]


# Matrix NMS


def test_matrix_nms_by_hand():
    masks = torch.zeros(4, 1, 10)
    masks[0, 0, :8], masks[1, 0, :4], masks[2, 0, 8:], masks[3, 0, :8] = 1, 1, 1, 1
    labels, scores = torch.tensor([1, 1, 1, 2]), torch.tensor([0.9, 0.8, 0.7, 0.6])
    kept, decayed = matrix_nms(masks, labels, scores)
    assert kept.tolist() == [0, 2, 3, 1]
    assert decayed.tolist() == pytest.approx([0.9, 0.7, 0.6, 0.8 * np.exp(-2 * 0.25)])
    assert matrix_nms(masks, labels, scores, max_num=2)[0].tolist() == [0, 2]
    assert matrix_nms(masks, labels, scores, nms_pre=3)[0].tolist() == [0, 2, 1]
    assert matrix_nms(masks, labels, scores, filter_thr=0.5)[0].tolist() == [0, 2, 3]
    assert matrix_nms(masks, labels, scores, "linear")[1].tolist() == pytest.approx([0.9, 0.7, 0.6, 0.4])
    assert [len(x) for x in matrix_nms(masks[:0], labels[:0], scores[:0])] == [0, 0]


@pytest.mark.parametrize(("kernel", "left"), [("gaussian", np.exp(-2)), ("linear", 0)])
def test_copies_of_a_mask_decay_alike(kernel, left):
    assert decay(torch.ones(3, 3), kernel).tolist() == pytest.approx([1, left, 0 if kernel == "linear" else left])


def test_empty_masks_suppress_nothing():
    kept, decayed = matrix_nms(torch.zeros(2, 3, 3), torch.zeros(2), torch.tensor([0.2, 0.4]))
    assert kept.tolist() == [1, 0]
    assert decayed.tolist() == pytest.approx([0.4, 0.2])


# COCO


@pytest.fixture
def coco(tmp_path) -> Path:
    """A root with a photograph of a person, a crowd, the sky and a dog; another shows the sky alone."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        pngs = tmp_path / f"coco/annotations/panoptic_{split}2017"
        photos = tmp_path / f"coco/{split}2017"
        pngs.mkdir(parents=True)
        photos.mkdir(parents=True)
        for stem in ("1", "2"):
            noise = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
            Image.fromarray(noise).save(photos / f"{stem}.jpg")
            ids = segment_map() if stem == "1" else np.full((40, 60), IDS["sky"])
            Image.fromarray(np.stack([ids & 255, ids >> 8 & 255, ids >> 16], axis=2).astype(np.uint8)).save(
                pngs / f"{stem}.png"
            )
        write(tmp_path, split, segments("person", "crowd", "sky", "dog"), segments("sky"))
    return tmp_path


def segment_map() -> np.ndarray:
    """(H, W) ids; 9 is in no list."""
    ids = np.full((40, 60), IDS["sky"])
    ids[10:30, 5:15], ids[:5, 20:30], ids[30:38, 40:58], ids[:3, :3] = IDS["person"], IDS["crowd"], IDS["dog"], 9
    return ids


def segments(*names: str) -> list[dict]:
    category = {"person": 1, "crowd": 1, "sky": 187, "dog": 18}
    return [{"id": IDS[name], "category_id": category[name], "iscrowd": int(name == "crowd")} for name in names]


def write(root: Path, split: str, *listed: list[dict]) -> None:
    annotations = [{"file_name": f"{i + 1}.png", "segments_info": info} for i, info in enumerate(listed)]
    path = root / f"coco/annotations/panoptic_{split}2017.json"
    path.write_text(json.dumps({"annotations": annotations}))


def read(root: Path, rng: np.random.Generator | None, *names: str) -> tuple[np.ndarray, np.ndarray]:
    image, target = root / "coco/train2017/1.jpg", root / "coco/annotations/panoptic_train2017/1.png"
    label = {"segments": [IDS[name] for name in names or ("person", "dog")]}
    both = COCO_INSTANCE.read_pair(image, target, label, rng)
    assert [x.size for x in both] == [(SIDE, SIDE)] * 2
    assert [x.mode for x in both] == ["RGB"] * 2
    return np.array(both[0]), np.array(both[1])


def masks_of(ids: np.ndarray, *names: str) -> np.ndarray:
    return np.stack([ids == IDS[name] for name in names])


@pytest.mark.parametrize("split", ["train", "val"])
def test_sources_are_photographs_with_things(coco, split):
    (job,) = COCO_INSTANCE.sources([coco], split)
    folder = f"{split}2017"
    label = {"segments": [IDS["person"], IDS["dog"]]}
    assert job.entries == ((f"coco/{folder}/1.jpg", f"coco/annotations/panoptic_{folder}/1.png", label),)
    assert job.make is None


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda root: (root / "coco/annotations/panoptic_val2017/1.png").unlink(), r"panoptic_val2017/1\.png"),
        (lambda root: (root / "coco/val2017/1.jpg").unlink(), r"val2017/1\.jpg"),
        (lambda root: write(root, "val", [{"id": 77, "category_id": 12, "iscrowd": 0}]), r"1\.png.*77.*category 12"),
        (lambda root: (root / "coco/annotations/panoptic_val2017.json").write_text("{}"), "panoptic_val2017"),
    ],
)
def test_broken_downloads_are_named(coco, break_it, message):
    break_it(coco)
    with pytest.raises(ValueError, match=message):
        COCO_INSTANCE.sources([coco], "val")


def test_validation_paints_plainly(coco):
    image, target = read(coco, None)
    with Image.open(coco / "coco/train2017/1.jpg") as photo:
        expected = cv2.resize(np.array(photo), (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(image, expected)
    rows, columns = np.arange(SIDE) * 40 // SIDE, np.arange(SIDE) * 60 // SIDE
    np.testing.assert_array_equal(target, plainly(masks_of(segment_map()[rows][:, columns], "person", "dog")))


def test_a_listed_segment_that_is_not_there_does_no_harm(coco):
    image, target = coco / "coco/train2017/1.jpg", coco / "coco/annotations/panoptic_train2017/1.png"
    labels = ({"segments": [IDS["dog"], 4321]}, {"segments": [IDS["dog"]]})
    first, second = (COCO_INSTANCE.read_pair(image, target, label, None)[1] for label in labels)
    assert first == second


def test_a_seed_is_one_copy(coco):
    seeds = [0, 1, 2, 0]
    copies = [read(coco, np.random.default_rng(seed)) for seed in seeds]
    for first, last in zip(copies[0], copies[3], strict=True):
        np.testing.assert_array_equal(first, last)
    assert len({image.tobytes() for image, _ in copies}) == 3
    for _, target in copies:
        assert COCO_INSTANCE.foreign(Image.fromarray(target)) is None


@pytest.mark.parametrize(
    "view", [PLAIN, FLIPPED, View(False, 720, 0, 0), View(True, 2047, 1000, 3), View(True, 1030, 6, 0)]
)
def test_a_view_is_flipped_resized_cut_and_filled(view):
    rng = np.random.default_rng(0)
    image, labels = rng.integers(0, 256, (30, 50, 3), dtype=np.uint8), rng.integers(0, 999, (30, 50)).astype(np.uint16)
    for pixels, interp, seen in (
        (image, cv2.INTER_LINEAR, view.of_image(image)),
        (labels, cv2.INTER_NEAREST, view.of_labels(labels)),
    ):
        source = pixels[:, ::-1].copy() if view.flip else pixels
        whole = cv2.resize(source, (view.side, view.side), interpolation=interp)
        canvas = np.zeros((4096, 4096, *pixels.shape[2:]), pixels.dtype)
        canvas[: view.side, : view.side] = whole
        np.testing.assert_array_equal(seen, canvas[view.top :, view.left :][:SIDE, :SIDE])
        assert seen.dtype == pixels.dtype


def test_views_are_drawn_as_in_the_original():
    rng = np.random.default_rng(0)
    views = [draw_view(rng) for _ in range(4000)]
    flips, sides, tops, lefts = (np.array(values) for values in zip(*views, strict=True))
    assert abs(flips.mean() - 0.5) < 0.03
    assert 716 <= sides.min() < 720
    assert 2040 < sides.max() < 2048
    assert abs((sides < 1024 * 1.35).mean() - 0.5) < 0.03  # uniform in scale
    for offset in (tops, lefts):
        assert not offset[sides <= SIDE].any()
        assert (offset <= np.maximum(sides - SIDE, 0)).all()
        place = (offset / (sides - SIDE).clip(1))[sides > SIDE + 200]
        assert abs(place.mean() - 0.5) < 0.03
        assert place.max() > 0.99
    assert abs(np.corrcoef(tops[sides > 1500], lefts[sides > 1500])[0, 1]) < 0.15


def test_copies_are_drawn_as_often_as_the_original_had_them(monkeypatch):
    monkeypatch.setattr(View, "of_labels", lambda self, index: index)
    index, rng = np.ones((2, 2), np.uint16), np.random.default_rng(0)
    views = [instance._draw_visible(index, rng)[0] for _ in range(6400)]
    assert 150 < views.count(PLAIN) < 250
    assert 150 < views.count(FLIPPED) < 250


def test_copies_without_an_instance_are_drawn_again():
    index, rng = np.zeros((64, 64), np.uint16), np.random.default_rng(0)
    view, seen = instance._draw_visible(index, rng)
    assert view == PLAIN
    assert not seen.any()
    index[0, 63] = 1
    views = [instance._draw_visible(index, rng) for _ in range(40)]
    assert all(seen.any() for _, seen in views)
    assert sum(view != PLAIN for view, _ in views) > 35


def test_what_is_cut_off_moves_the_center(coco, monkeypatch):
    monkeypatch.setattr(instance, "draw_view", lambda rng: View(True, 1500, 300, 400))
    monkeypatch.setattr(instance, "NUM_JITTERED", 1 << 30)
    _, target = read(coco, np.random.default_rng(0))
    rows, columns = (300 + np.arange(SIDE)) * 40 // 1500, (400 + np.arange(SIDE)) * 60 // 1500
    ids = segment_map()[:, ::-1][rows][:, columns]
    np.testing.assert_array_equal(target, plainly(masks_of(ids, "person", "dog")))
    assert target.any()


# The original's files


def test_offline_copies(coco):
    (job,) = COCO_INSTANCE.sources([coco], "train", offline=True)
    folders = ["train_org", "train_flip", *(f"train_aug{i}" for i in range(30))]
    stem = "coco/pano_ca_inst/{0}/1_{1}_{0}.png"
    assert [entry[:2] for entry in job.entries] == [(stem.format(x, "image"), stem.format(x, "label")) for x in folders]
    assert {entry.label for entry in job.entries} == {None}
    files = dict(pickle.loads(pickle.dumps(job.make))())
    image, target = read(coco, None)
    np.testing.assert_array_equal(files[stem.format("train_org", "image")], image)
    np.testing.assert_array_equal(files[stem.format("train_org", "label")], target)
    flipped = FLIPPED.of_labels(segment_map().astype(np.int32))
    np.testing.assert_array_equal(
        files[stem.format("train_flip", "label")], plainly(masks_of(flipped, "person", "dog"))
    )
    assert {array.shape for array in files.values()} == {(SIDE, SIDE, 3)}
    assert len(files) % 2 == 0
    assert 50 < len(files) <= 64
    again = dict(job.make())
    assert all(np.array_equal(again[path], array) for path, array in files.items())
    copies = {array.tobytes() for path, array in files.items() if "image" in path}
    assert len(copies) == len(files) // 2


def test_offline_validation_is_one_plain_copy(coco):
    (job,) = COCO_INSTANCE.sources([coco], "val", offline=True)
    name = "coco/pano_ca_inst/val_org/1_{}_val_org.png"
    assert [entry[:2] for entry in job.entries] == [(name.format("image"), name.format("label"))]
    assert [path for path, _ in job.make()] == [name.format("image"), name.format("label")]


def test_copies_that_show_nothing_are_not_written(coco):
    ids = np.zeros((40, 60, 3), np.uint8)
    ids[39, 59] = 5, 0, 0
    Image.fromarray(ids).save(coco / "coco/annotations/panoptic_train2017/1.png")
    (job,) = COCO_INSTANCE.sources([coco], "train", offline=True)
    files = dict(job.make())
    assert 4 <= len(files) < 64
    assert all(array.any() for array in files.values())
    assert {path.replace("image", "label") for path in files} == {path for path in files if "label" in path}


# What is wrong is named


@pytest.mark.parametrize(
    "label",
    [{}, [], {"segments": None}, {"segments": ["5"]}, {"segments": [True]}, {"segments": [-5]}, {"segments": [0]}],
)
def test_a_wrong_label_is_named(coco, label):
    image, target = coco / "coco/train2017/1.jpg", coco / "coco/annotations/panoptic_train2017/1.png"
    with pytest.raises(ValueError, match=r'the label of .*/1\.png must be \{"segments": \[ids\]\}'):
        COCO_INSTANCE.read_pair(image, target, label, None)


@pytest.mark.parametrize(
    ("mode", "size", "message"),
    [("L", (60, 40), r"1\.png is L where RGB is due"), ("RGB", (40, 60), r"1\.jpg is 60 x 40 but .*1\.png is 40 x 60")],
)
def test_a_wrong_target_is_named(coco, mode, size, message):
    image, target = coco / "coco/train2017/1.jpg", coco / "coco/annotations/panoptic_train2017/1.png"
    Image.new(mode, size).save(target)
    with pytest.raises(ValueError, match=message):
        COCO_INSTANCE.read_pair(image, target, {"segments": [5]}, None)


def test_painted_files_are_read_as_they_are(tmp_path):
    painted = Image.fromarray(COCO_INSTANCE.encode(apart(np.random.default_rng(0), 3, 0)))
    painted.save(tmp_path / "painted.png")
    both = COCO_INSTANCE.read_pair(tmp_path / "painted.png", tmp_path / "painted.png", None, np.random.default_rng(0))
    assert [picture.tobytes() for picture in both] == [painted.tobytes()] * 2


def test_real_photographs(samples):
    jobs = COCO_INSTANCE.sources(samples, "val")
    for entry in (entry for job in jobs for entry in job.entries):
        image, target = (next(root / path for root in samples if (root / path).is_file()) for path in entry[:2])
        _, painted = TASKS[COCO_INSTANCE.type].read_pair(image, target, entry.label, np.random.default_rng(0))
        assert COCO_INSTANCE.foreign(painted) is None
        assert np.array(painted).any()
    assert jobs
