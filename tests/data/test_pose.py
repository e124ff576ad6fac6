"""Pose: painted and found by plain full-size rules; the original's files; persons of COCO, on the fly and offline."""

import json
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data.pairs import Pair, check_files, read_pair, read_pairs
from data.person_crop import CROP, MIRRORED
from data.tasks import TASKS, pose
from data.tasks.pose import COCO_POSE, average_flipped, heatmaps, keypoints
from tools.check_golden import main
from tools.golden.pose import CHECKS

GOLDEN = Path(__file__).parents[1] / "golden/eval"
H, W = CROP
COLORS = np.array([[255 - 51 * (k // 5), 255 - 51 * (k % 5)] for k in range(17)] + [[0, 0]])


# Painting


def to_tensor(image: Image.Image) -> torch.Tensor:
    """(3, H, W) in 0..1."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255


def plainly(joints, visible) -> np.ndarray:
    """The label by full-size maps of all joints."""
    ys, xs = np.mgrid[:H, :W]
    large, square = np.zeros((17, H, W)), np.zeros((17, H, W), bool)
    for k in np.flatnonzero(visible):
        dx, dy = xs - int(joints[k][0] + 0.5), ys - int(joints[k][1] + 0.5)
        large[k] = np.exp(-(dx**2 + dy**2) / 18) * (np.maximum(abs(dx), abs(dy)) <= 9)
        square[k] = (dx >= -5) & (dx <= 4) & (dy >= -5) & (dy <= 4)
    joint = np.where(
        square.sum(axis=0) > 1, large.argmax(axis=0), np.where(square.any(axis=0), square.argmax(axis=0), 17)
    )
    return np.dstack([np.trunc(255 * large.max(axis=0)), COLORS[joint]]).astype(np.uint8)


def scattered(seed: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Joints around the middle of a crop, some of them invisible."""
    rng = np.random.default_rng(seed)
    return rng.normal((W / 2, H / 2), spread, (17, 2)), rng.random(17) < 0.8


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 30), st.sampled_from([2, 6, 15, 60, 150]))
def test_painting_is_the_rule_in_full_size(seed, spread):
    label = scattered(seed, spread)
    np.testing.assert_array_equal(COCO_POSE.encode(label), plainly(*label))


@pytest.mark.parametrize(
    "at", [-15, -10.6, -10, -9, -5.4, -1, -0.6, -0.4, 0, 4, 95.5, 186, 191.5, 196, 201, 210, 1e6, -1e6]
)
def test_a_joint_at_the_border_is_painted_as_far_as_it_reaches_in(at):
    for joint in ((at, 100), (100, at), (at, at)):
        joints = np.tile(joint, (17, 1))
        np.testing.assert_array_equal(COCO_POSE.encode((joints, np.eye(17)[3])), plainly(joints, np.eye(17)[3]))


def test_the_nearest_of_all_joints_colours_colliding_squares():
    """Even one whose own square ends before the pixel; where one square is alone, it has the colour."""
    joints = np.zeros((17, 2))
    joints[:3] = (99, 104), (99, 105), (90, 100)  # squares of the first two hold (95, 100); the third's ends at 94
    for num_visible, joint in ((2, 0), (3, 2)):
        painted = COCO_POSE.encode((joints, np.arange(17) < num_visible))
        assert painted[100, 95, 1:].tolist() == COLORS[joint].tolist()
    assert COCO_POSE.encode((joints, np.isin(np.arange(17), (0, 2))))[100, 95, 1:].tolist() == COLORS[0].tolist()
    same = COCO_POSE.encode((np.full((17, 2), 80.0), np.arange(17) > 4))
    assert same[80, 80, 1:].tolist() == COLORS[5].tolist()  # ties: the lowest


def test_invisible_joints_paint_nothing():
    assert not COCO_POSE.encode((np.full((17, 2), 90.0), np.zeros(17))).any()
    seen = COCO_POSE.encode((np.full((17, 2), 90.0), 2 * np.eye(17)[16]))
    assert np.unique(seen[..., 1:].reshape(-1, 2), axis=0).tolist() == [[0, 0], [102, 204]]
    assert seen[..., 1].astype(bool).sum() == 100


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1 << 30))
def test_a_mirrored_pose_is_the_mirrored_picture_but_for_the_squares_skew(seed):
    joints, visible = scattered(seed, 40)
    joints = np.trunc(joints).clip(0, (W - 1, H - 1))  # outside the rounding is skewed, too
    mirrored = np.column_stack([191 - joints[:, 0], joints[:, 1]])[list(MIRRORED)]
    a, b = COCO_POSE.encode((joints, visible)), COCO_POSE.encode((mirrored, visible[list(MIRRORED)]))[:, ::-1]
    np.testing.assert_array_equal(a[..., 0], b[..., 0])
    there, back = (heatmaps(torch.tensor(np.ascontiguousarray(image))) for image in (a, b))
    agree = (there == back[list(MIRRORED)]).float().mean()
    assert agree > 0.999


# Finding


def apart(seed: int) -> np.ndarray:
    """17 joints on a jittered grid: 40 px apart at least, 15 px inside."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(4) * 45 + 28, np.arange(5) * 48 + 30), axis=-1).reshape(-1, 2)
    return rng.permutation(grid)[:17] + rng.uniform(-4, 4, (17, 2))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 30), st.sampled_from([0, 10, 25]))
def test_painted_joints_are_found(seed, noise):
    """Also under noise in green and blue within half a step of the palette, 51."""
    rng = np.random.default_rng(seed)
    joints, visible = apart(seed), rng.random(17) < 0.8
    painted = COCO_POSE.encode((joints, visible)).astype(int)
    painted[..., 1:] += rng.integers(-noise, noise + 1, (H, W, 2))
    found = COCO_POSE.decode(to_tensor(Image.fromarray(painted.clip(0, 255).astype(np.uint8)))).numpy()
    assert np.abs(found[visible, :2] - joints[visible]).max() <= 0.5 + 1e-5
    assert (found[visible, 2] == 1).all()
    assert (found[~visible] == (-1, -1, 0)).all()


def test_decode_scales_to_pixels_of_the_crop():
    joints, visible = apart(0), np.ones(17, bool)
    painted = cv2.resize(COCO_POSE.encode((joints, visible)), (448, 448), interpolation=cv2.INTER_CUBIC)
    found = COCO_POSE.decode(to_tensor(Image.fromarray(painted)) * 1.1 - 0.02)  # out of 0..1, as a network's
    assert np.abs(found[:, :2].numpy() - joints).max() < 1.5


def found_plainly(heat: np.ndarray) -> tuple[float, float, float]:
    """The keypoint of one heat map by the loops of the rule."""
    y, x = np.argwhere(heat == heat.max())[0]
    if heat.max() == 0:
        return -1, -1, 0
    dx = dy = 0.0
    if 1 < x < heat.shape[1] - 1 and 1 < y < heat.shape[0] - 1:
        dx, dy = np.sign(heat[y, x + 1] - heat[y, x - 1]), np.sign(heat[y + 1, x] - heat[y - 1, x])
    return x + dx / 4, y + dy / 4, heat.max() / 255


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1 << 30), st.sampled_from([0, 1, 2, 255]), st.integers(4, 9), st.integers(4, 9))
def test_keypoints_are_those_of_the_plain_rule(seed, top, h, w):
    maps = np.random.default_rng(seed).integers(0, top + 1, (2, 17, h, w))
    found = keypoints(torch.tensor(maps))
    expected = np.array([[found_plainly(heat) for heat in person] for person in maps])
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_every_colour_goes_to_the_nearest_joint_or_to_black():
    green, blue = np.mgrid[:256, :256]
    image = np.dstack([np.full_like(green, 7), green, blue]).astype(np.uint8)
    distance = np.abs(image[:, :, None, 1:].astype(int) - COLORS).sum(axis=-1)
    nearest = distance.argmin(axis=-1)  # ties take the lowest; black is 17
    maps = heatmaps(torch.tensor(image[None]))
    assert maps.dtype == torch.uint8
    np.testing.assert_array_equal(maps[0].numpy(), 7 * (nearest == np.arange(17)[:, None, None]))


def test_flipped_maps_are_swapped_mirrored_and_shifted():
    rng = np.random.default_rng(0)
    plain, flipped = rng.integers(0, 256, (2, 17, 4, 6)).astype(np.uint8)
    mean = average_flipped(torch.tensor(plain), torch.tensor(flipped)).numpy()
    for k, x in np.ndindex(17, 6):
        back = flipped[MIRRORED[k], :, 5 - max(x - 1, 0)]
        np.testing.assert_array_equal(mean[k, :, x], (plain[k, :, x].astype(float) + back) / 2)


def test_foreign_pictures_are_told():
    painted = COCO_POSE.encode((apart(1), np.ones(17)))
    assert COCO_POSE.foreign(Image.fromarray(painted)) is None
    painted[5, 6, 1:] = 255, 254
    assert COCO_POSE.foreign(Image.fromarray(painted)) == "shows green, blue (255, 254), which no joint has"


# The original's outputs


def test_the_stored_cases_pass(capsys):
    assert main(GOLDEN / "07_pose") == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "key", "change", "caught"),
    [
        ("encode", "label_rgb", 1, "label_rgb"),
        ("affine", "center", 0.01, "center"),
        ("affine", "scale", 1e-3, "scale"),
        ("affine", "trans", 5e-3, "trans"),
        ("affine", "trans_rot_0_30_m77p5_180", 5e-3, "trans_rot"),
        ("affine", "crop_joints", 5e-3, "crop_joints"),
        ("affine", "flip_crop_joints", 5e-3, "flip_crop_joints"),
        ("affine", "flip_center", 5e-3, "flip_center"),
        ("affine", "crop", 1, "crop mean"),
        ("affine", "flip_crop", 1, "flip_crop mean"),
        ("decode_ap", "keypoints", 2e-3, "keypoints"),
        ("decode_ap", "keypoints", 2e-3, "scores"),
        ("decode_ap", "boxes", 1e-3, "boxes"),
        ("decode_ap", "heatmap_x510_first2", 1, "heatmaps"),
    ],
)
def test_a_changed_case_fails(tmp_path, name, key, change, caught):
    with np.load(GOLDEN / f"07_pose/{name}.npz") as file:
        stored = dict(file)
    stored[key] = stored[key] + np.array(change, stored[key].dtype)
    np.savez(tmp_path / "case.npz", **stored)
    shutil.copy(GOLDEN / "07_pose/decode_ap.json", tmp_path / "case.json")
    error, tolerance = CHECKS[f"07_pose/{name}"](tmp_path / "case.npz")[caught]
    assert error > tolerance


# Persons of COCO

PERSON = [[100 + 7 * k, 60 + 9 * k, 1 + k % 2] for k in range(17)]


def annotation(number: int, **change) -> dict:
    flat = [value for point in PERSON for value in point]
    box = [90.0, 50.0, 130.0, 160.0]
    return {"id": number, "image_id": 7, "iscrowd": 0, "area": 900.0, "bbox": box, "keypoints": flat} | change


@pytest.fixture
def coco(tmp_path):
    """Writes annotations of two photographs, 7 and 8, whose files have a dot in its joint's colour at each joint."""
    photo = np.zeros((300, 400, 3), np.uint8)
    for (x, y, _), (green, blue) in zip(PERSON, COLORS, strict=False):
        cv2.circle(photo, (x, y), 3, (0, int(green), int(blue)), -1)
    names = {7: "000000000007.png", 8: "000000000008.png"}  # lossless, so that the dots keep their colours
    for split in ("train", "val"):
        (tmp_path / f"coco/{split}2017").mkdir(parents=True)
        for name in names.values():
            Image.fromarray(photo).save(tmp_path / f"coco/{split}2017" / name)
    (tmp_path / "coco/annotations").mkdir()
    images = [{"id": i, "file_name": name, "width": 400, "height": 300} for i, name in names.items()]

    def write(*annotations, split="train", **change) -> tuple[Path]:
        content = {"images": images, "annotations": annotations} | change
        (tmp_path / f"coco/annotations/person_keypoints_{split}2017.json").write_text(json.dumps(content))
        return (tmp_path,)

    return write


def entries(roots, split="train"):
    return [entry for job in COCO_POSE.sources(roots, split) for entry in job.entries]


def test_persons_are_listed_in_the_order_of_the_file(coco):
    roots = coco(annotation(3, image_id=8, bbox=[-10.126, 40, 100, 90.5]), annotation(2), annotation(1))
    found = entries(roots)
    assert [entry.image_path[-5] for entry in found] == ["7", "7", "8"]
    assert {entry.target_path for entry in found} == {"coco/annotations/person_keypoints_train2017.json"}
    assert found[2].label["box"] == [0, 40, 99, 89.5]  # clipped as in mmpose: the left edge moves, the width stays
    assert found[0].label == {"box": [90, 50, 129, 159], "keypoints": annotation(0)["keypoints"]}
    assert all(job.make is None for job in COCO_POSE.sources(roots, "train"))


@pytest.mark.parametrize(
    "change",
    [
        {"iscrowd": 1},
        {"keypoints": [0] * 51},
        {"bbox": [90, 50, 0, 160]},
        {"bbox": [90, 50, 1, 160]},
        {"bbox": [399, 50, 10, 160]},
        {"bbox": [90, 350, 10, 10]},
        {"area": 0},
    ],
)
def test_who_is_no_person_is_left_out_and_not_counted(coco, change):
    roots = coco(annotation(1, **change), annotation(2))
    assert len(entries(roots)) == 1
    (job,) = COCO_POSE.sources(roots, "train", offline=True)
    assert len(job.entries) == 20
    assert {Path(entry.image_path).name for entry in job.entries} == {"000000000007_box0_image.png"}


def test_who_shows_no_joint_is_left_out_but_counted(coco):
    far = annotation(1, bbox=[300, 200, 40, 40], keypoints=[10, 10, 2] + [0] * 48)
    unlabelled = annotation(2, keypoints=[5, 5, 0] * 17)
    roots = coco(far, unlabelled, annotation(3))
    assert [entry.label["box"][0] for entry in entries(roots)] == [90]
    (job,) = COCO_POSE.sources(coco(far, unlabelled, annotation(3), split="val"), "val", offline=True)
    assert [name for name, _ in job.make()] == [
        f"coco_pose/data_pair/val_256x192/000000000007_box2_{kind}.png" for kind in ("image", "label")
    ]
    assert COCO_POSE.sources(coco(far), "train") == []


def test_the_reach_of_a_joint_beyond_the_crop_counts(coco):
    (entry,) = entries(coco(annotation(1, bbox=[101, 101, 101, 135], keypoints=[85, 170, 1] + [0] * 48)))
    picture = np.array(COCO_POSE.read_pair(*paths(entry, coco), entry.label, None)[1])
    assert picture[..., 0].any()


def paths(entry, coco) -> tuple[Path, Path]:
    root = coco(annotation(1))[0]
    return root / entry.image_path, root / entry.target_path


def test_joints_lie_on_their_dots_in_every_view(coco, tmp_path):
    """Where a joint is painted at full height, the photograph has the dot of its colour."""
    (entry,) = entries(coco(annotation(1)))
    seen, flips = 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed) if seed else None
        image, target = COCO_POSE.read_pair(*paths(entry, coco), entry.label, rng)
        assert image.size == target.size == (W, H)
        assert image.mode == target.mode == "RGB"
        peaks, under = colors_at_peaks(np.array(image), np.array(target))
        joints = (np.abs(peaks[:, None] - COLORS).sum(axis=-1)).argmin(axis=-1)
        is_as_seen = [np.abs(under - COLORS[k]).max() <= 8 for k in (joints, np.take(MIRRORED, joints))]
        assert any(is_as_seen), seed
        flips, seen = flips + is_as_seen[1], seen + len(joints)
    assert seen > 400
    assert 15 < flips < 45


def colors_at_peaks(photo: np.ndarray, painted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Green and blue of label and photograph where a joint is painted at full height."""
    at = np.nonzero(painted[..., 0] == 255)
    return painted[at][:, 1:].astype(int), photo[at][:, 1:].astype(int)


def test_views_follow_from_their_generator_and_one_in_twenty_is_plain(coco):
    (entry,) = entries(coco(annotation(1)))
    where = paths(entry, coco)
    plain = COCO_POSE.read_pair(*where, entry.label, None)[0].tobytes()
    drawn = [COCO_POSE.read_pair(*where, entry.label, np.random.default_rng(s))[0].tobytes() for s in range(400)]
    again = [COCO_POSE.read_pair(*where, entry.label, np.random.default_rng(s))[0].tobytes() for s in range(20)]
    assert drawn[:20] == again
    assert np.mean([picture == plain for picture in drawn]) == pytest.approx(0.05, abs=0.03)


def test_a_view_without_joints_is_drawn_again(coco):
    """A joint at the edge of the box is often out of view; it is shown in every sample all the same."""
    (entry,) = entries(coco(annotation(1, keypoints=[85, 45, 2] + [0] * 48)))
    where, person = paths(entry, coco), pose.person_of(entry.label)
    views = [pose.augment(person, 400, np.random.default_rng(seed)) for seed in range(60)]
    assert not all(pose._shows(view) for view in views)
    for seed in range(60):
        assert np.array(COCO_POSE.read_pair(*where, entry.label, np.random.default_rng(seed))[1]).any()


def test_the_plain_view_is_the_last_resort(monkeypatch):
    person = pose.person_of({"box": [0, 0, 50, 50], "keypoints": [20, 20, 2] * 17})
    drawn = []
    far = person._replace(joints=person.joints + 1e4)
    monkeypatch.setattr(pose, "augment", lambda *_: drawn.append(1) or far)
    assert pose.random_view(person, 100, np.random.default_rng(0)) is person
    assert len(drawn) == 10


def test_offline_files_are_the_originals(coco, tmp_path):
    coco(annotation(1), annotation(2, image_id=8), annotation(3))
    jobs = COCO_POSE.sources((tmp_path,), "train", offline=True)
    assert [len(job.entries) for job in jobs] == [40, 20]
    folders = {Path(entry.image_path).parent.name for job in jobs for entry in job.entries}
    assert folders == {f"train_256x192_aug{copy}" for copy in range(20)}
    files = dict(jobs[0].make())
    assert set(files) <= {path for entry in jobs[0].entries for path in entry[:2]}
    for (path, pixels), (other, others) in zip(files.items(), pickle.loads(pickle.dumps(jobs[0].make))(), strict=True):
        assert path == other
        np.testing.assert_array_equal(pixels, others)
        assert pixels.shape == (256, 192, 3)
    (entry,) = (e for e in entries((tmp_path,))[:1])
    plain = COCO_POSE.read_pair(tmp_path / entry.image_path, Path(), entry.label, None)
    for kind, picture in zip(("image", "label"), plain, strict=True):
        for box in (0, 1):  # the same person twice
            copies = [
                files.get(f"coco_pose/data_pair/train_256x192_aug{copy}/000000000007_box{box}_{kind}.png")
                for copy in range(20)
            ]
            np.testing.assert_array_equal(copies[0], np.array(picture))
            drawn = {pixels.tobytes() for pixels in copies[1:] if pixels is not None}
            assert len(drawn) > 15
            assert copies[0].tobytes() not in drawn
    first, second = (files[f"coco_pose/data_pair/train_256x192_aug1/000000000007_box{box}_image.png"] for box in (0, 1))
    assert (first != second).any()


def test_files_of_the_original_are_read_as_they_are(tmp_path):
    for name in ("image", "label"):
        Image.fromarray(COCO_POSE.encode((apart(3), np.ones(17)))).save(tmp_path / f"{name}.png")
    pair = COCO_POSE.read_pair(tmp_path / "image.png", tmp_path / "label.png", None, np.random.default_rng(0))
    assert pair[0].tobytes() == pair[1].tobytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": [1, 2, 2] * 16}, "annotation 5: keypoints must be 51 numbers"),
        ({"keypoints": [1, 2, 3] * 17}, "annotation 5: visibility 3 "),
        ({"bbox": [1, 2, 3]}, "annotation 5: bbox must be 4 numbers"),
        ({"bbox": [1, 2, 3, float("inf")]}, "annotation 5: bbox must be 4 numbers"),
        ({"image_id": 9}, "annotation 5: image 9 is not listed"),
    ],
)
def test_broken_annotations_are_named(coco, change, message):
    with pytest.raises(ValueError, match=f"person_keypoints_train2017.json, {message}"):
        COCO_POSE.sources(coco(annotation(4), annotation(5, **change)), "train")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"annotations": [{"id": 1, "image_id": 7, "bbox": [1, 2, 3, 4]}]}, "an annotation of .* has no keypoints"),
        ({"annotations": [3]}, "an annotation of .* is no object"),
        ({"images": [{"id": 1, "file_name": "x"}]}, "an image of .* has no width"),
    ],
)
def test_foreign_annotation_files_are_named(coco, change, message):
    with pytest.raises(ValueError, match=message):
        COCO_POSE.sources(coco(annotation(4), **change), "train")


def test_missing_files_are_named(coco, tmp_path):
    roots = coco(annotation(4), annotation(5, image_id=8))
    (tmp_path / "coco/train2017/000000000008.png").unlink()
    with pytest.raises(ValueError, match=r"coco/train2017/000000000008\.png, listed in .* is missing"):
        COCO_POSE.sources(roots, "train")
    with pytest.raises(ValueError, match=r"person_keypoints_val2017\.json is not under"):
        COCO_POSE.sources(roots, "val")
    (tmp_path / "coco/annotations/person_keypoints_val2017.json").write_text("[]")
    with pytest.raises(ValueError, match="is no object"):
        COCO_POSE.sources(roots, "val")


@pytest.mark.parametrize("split", ["train", "val"])
def test_all_real_persons_become_pairs(samples, split, tmp_path):
    found = entries(samples, split)
    assert len(found) == {"train": 15, "val": 5}[split]
    listed = [entry._asdict() | {"type": COCO_POSE.type} for entry in found]
    (tmp_path / "list.json").write_text(json.dumps(listed))
    pairs: list[Pair] = read_pairs((tmp_path,), "list.json")
    check_files(samples, pairs)
    for pair in pairs:
        for rng in (None, np.random.default_rng(0)):
            image, target = read_pair(samples, pair, rng)
            assert np.array(image).mean() > 10
            assert TASKS[pair.type].foreign(target) is None
            found = COCO_POSE.decode(to_tensor(target))[:, 2] > 0
            labelled = np.array(json.loads(pair.label)["keypoints"]).reshape(17, 3)[:, 2] > 0
            assert 0 < found.sum() <= labelled.sum()


def test_painted_files_of_the_original_are_known(samples):
    for file in sorted(samples[1].glob("coco_pose/data_pair/*/*_label.png")):
        picture = Image.open(file).convert("RGB")
        assert COCO_POSE.foreign(picture) is None
        found = COCO_POSE.decode(to_tensor(picture))
        peaks = torch.where(found[:, 2:] == 1, found[:, :2].round(), torch.tensor(-1000.0))  # covered ones have no 255
        np.testing.assert_array_equal(COCO_POSE.encode((peaks, np.ones(17))), np.array(picture))
