"""The toy world: the true formats of the eight data sets, true labels, the same bytes for the same numbers."""

import filecmp
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle
from pycocotools.coco import COCO
from scipy.io import loadmat

from data.coco import CATEGORIES
from tools import make_toy_datasets as toy
from tools.make_toy_datasets import make_toy_datasets
from tools.toy import photographs, write_restoration
from tools.toy.annotate import instance, keypoints, polygons, run_lengths, segments
from tools.toy.compose import THEMES, make_scene
from tools.toy.figures import JOINTS, make_figure
from tools.toy.objects import DARK, KINDS, ball, box, plain, put, rod
from tools.toy.render import Rendering, render
from tools.toy.scene import Camera, Scene, Thing
from tools.toy.shapes import turn, vector
from tools.toy.world import World
from tools.toy.write_nyu import measured

SCENES, SIZE, VAL = 8, 64, 4


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("toy") / "world"
    make_toy_datasets(root, SCENES, SIZE)
    return root


def read(path):
    with Image.open(path) as image:
        return np.array(image)


def files(folder, pattern="*"):
    return sorted(path for path in folder.glob(pattern) if path.is_file())


def photo(*things, shape=(60, 80)):
    """A rendering of things seen from 1 m above the floor, without noise worth speaking of."""
    scene = Scene(Camera(shape, 60.0, (40.0, 30.0), 1.0), list(things), plain(DARK), vector(0, 1, 0), 0.5, 50)
    return render(scene, np.random.default_rng(0))


def ball_at(z, x=0.0, radius=0.4, kind="ball"):
    return Thing(kind, [ball(plain((1, 0, 0)), x, 1, z, radius)])


# --- geometry: what is rendered is true ---


def test_depth_of_a_floor_and_of_solids_is_exact():
    floor = Thing("floor", [box(plain(DARK), 0, -1, 50, 100, 1, 120)])
    block = Thing("table", [box(plain(DARK), 0, 0.5, 5, 1, 1, 2)])  # its front is at z = 4
    seen = photo(floor, block)
    assert seen.depth[30, 40] == pytest.approx(4, abs=1e-4)
    fine_row = 2 * 50 + 0.5  # of twice as many pixels: the first ray of the pixel
    assert seen.depth[50, 5] == pytest.approx(120 * 1 / (fine_row - 60), rel=1e-4)
    np.testing.assert_allclose(seen.normals[50, 5], (0, 1, 0), atol=1e-6)
    assert np.isinf(seen.depth[5, 5])
    assert seen.owner[5, 5] == -1


@pytest.mark.parametrize("solid", [ball(plain(DARK), 0, 1, 3, 0.5), rod(plain(DARK), (0, 0, 3), (0, 2, 3), 0.5)])
def test_round_solids_begin_a_radius_before_their_centre(solid):
    assert photo(Thing("ball", [solid])).depth[30, 40] == pytest.approx(2.5, abs=1e-3)


def test_a_turned_box_shows_its_edge():
    turned = put([box(plain(DARK), 0, 0, 0, 1, 2, 1)], 0, 4, np.pi / 4)
    seen = photo(Thing("table", turned))
    assert seen.depth[30, 40] == pytest.approx(4 - np.sqrt(0.5), abs=0.02)
    assert seen.normals[30, 36] @ (-1, 0, -1) == pytest.approx(np.sqrt(2), abs=1e-5)


@pytest.mark.parametrize("along", [-0.6, 0.6])
def test_solids_and_joints_turn_the_same_way(along):
    board = put([box(plain(DARK), 0, 0, 0, 2, 2, 0.01)], 0, 4, 0.5)
    place = turn(vector(along, 1, 0), 0.5) + vector(0, 0, 4)  # a point of the board, as a joint would be turned
    seen = photo(Thing("table", board))
    x, y = np.floor(seen.scene.camera.project(place[None])[0]).astype(int)
    assert seen.depth[y, x] == pytest.approx(place[2], abs=0.05)
    assert abs(place[2] - 4) > 0.25


@pytest.mark.parametrize("order", [1, -1])
def test_the_nearer_object_hides_the_farther_in_any_order(order):
    near, far = ball_at(2), ball_at(4, radius=2, kind="plant")
    seen = photo(*(near, far)[::order])
    kinds = np.array([thing.kind for thing in seen.scene.things])[seen.owner]
    assert kinds[30, 40] == "ball"
    assert kinds[30, 60] == "plant"
    assert seen.depth[30, 40] < seen.depth[30, 60]


def test_every_pixel_of_a_scene_shows_its_nearest_object():
    rng = np.random.default_rng(0)
    seen = render(make_scene(rng, 4, (48, 64), indoors=True), rng)
    for index, thing in enumerate(seen.scene.things):
        alone = render(seen.scene._replace(things=[thing]), rng)
        assert (alone.depth >= seen.depth - 1e-4).all()
        mine = seen.owner == index
        np.testing.assert_allclose(alone.depth[mine], seen.depth[mine], rtol=1e-5)


@pytest.mark.parametrize("yaw", [0.0, 2.0])
def test_joints_lie_inside_the_body(yaw):
    figure = make_figure(np.random.default_rng(1), "star", 1.7)
    seen = photo(Thing("person", put(figure.parts, 0, 4, yaw)))
    joints = turn(figure.joints, yaw) + vector(0, 0, 4)
    for x, y in np.floor(seen.scene.camera.project(joints)).astype(int):
        assert (seen.owner[y - 1 : y + 2, x - 1 : x + 2] == 0).any()


def test_the_left_of_a_figure_that_faces_us_is_on_our_right():
    joints = dict(zip(JOINTS, make_figure(np.random.default_rng(0), "standing").joints, strict=True))
    for name in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
        assert joints[f"left_{name}"][0] > joints[f"right_{name}"][0]
    assert joints["nose"][1] > joints["left_shoulder"][1] > joints["left_hip"][1] > joints["left_knee"][1]
    assert joints["left_ankle"][1] == pytest.approx(0.08, abs=0.05)


def test_hidden_joints_are_marked_and_those_outside_left_out():
    figure = make_figure(np.random.default_rng(0), "standing")
    person = Thing("person", put(figure.parts, 0, 1.6), None, figure.joints + vector(0, 0, 1.6))
    screen = Thing("door", [box(plain(DARK), 0.5, 0, 0.9, 1, 3, 0.1)])  # hides its left half; the feet are below
    marks = dict(zip(JOINTS, joint_marks(photo(person, screen)), strict=True))
    assert marks["left_shoulder"][2] == 1
    assert marks["right_shoulder"][2] == 2
    assert marks["right_ankle"].tolist() == [0, 0, 0]
    behind = Thing("person", put(figure.parts, 0, 4, np.pi), None, figure.joints * (-1, 1, -1) + vector(0, 0, 4))
    assert joint_marks(photo(behind))[0][2] == 1  # the nose of one who looks away


def joint_marks(seen: Rendering):
    (person,) = [segment for segment in segments(seen) if segment.category == 1]
    return np.reshape(keypoints(seen, person)["keypoints"], (17, 3))


# --- outlines ---


def test_outlines_and_run_lengths_give_the_mask_back():
    mask = np.zeros((40, 50), bool)
    mask[5:30, 10:35] = mask[20:38, 30:48] = True
    decoded = rle.decode(rle.merge(rle.frPyObjects(polygons(mask), 40, 50)))
    assert (decoded == mask).mean() > 0.995
    np.testing.assert_array_equal(rle.decode(rle.frPyObjects(run_lengths(mask), 40, 50)), mask)
    full = np.ones((3, 4), bool)
    assert run_lengths(full) == {"counts": [0, 12], "size": [3, 4]}


def test_small_and_unlabelled_things_are_in_no_segment():
    seen = photo(ball_at(3), ball_at(8, x=4, radius=0.1, kind="plant"), ball_at(3, x=1, kind="clutter"))
    assert {segment.category for segment in segments(seen)} == {37, 187}


def test_a_crowd_is_one_segment():
    seen = photo(*(Thing("person", ball_at(3, x).parts, crowd=True) for x in (-1, 0, 1)), ball_at(3, 0.5))
    crowd = [segment for segment in segments(seen) if segment.category == 1]
    assert len(crowd) == 1
    assert set(instance(crowd[0])["segmentation"]) == {"counts", "size"}


# --- formats ---


def test_nyu_is_in_millimetres_with_holes(root):
    depths = files(root, "nyu_depth_v2/sync/*/sync_depth_*.png")
    assert len(depths) == SCENES
    for path in depths:
        depth, image = read(path), read(path.with_name(path.name.replace("sync_depth", "rgb")).with_suffix(".jpg"))
        assert depth.dtype == np.uint16
        assert depth.shape == image.shape[:2] == (48, 64)
        assert 500 < depth[depth > 0].min() < depth.max() <= 10000
        assert 0.002 < (depth == 0).mean() < 0.35
    assert (root / "nyu_depth_v2/sync/study_room_0005b/rgb_00094.jpg").is_file()  # the benchmark's prompt


def test_the_labelled_nyu_is_matlabs(root):
    splits = loadmat(root / "nyu_depth_v2/splits.mat")
    assert splits["trainNdxs"].ravel().tolist() == [1, 2, 3, 4]
    assert splits["testNdxs"].ravel().tolist() == [5, 6, 7, 8]
    with h5py.File(root / "nyu_depth_v2/nyu_depth_v2_labeled.mat") as file:
        assert (file["images"].shape, file["images"].dtype) == ((8, 3, 64, 48), np.uint8)
        assert (file["rawDepths"].shape, file["rawDepths"].dtype) == ((8, 64, 48), np.float32)
        assert file["sceneTypes"].shape == (1, 8)
        text = file[file["sceneTypes"][0, 0]]
        assert (text.shape, text.dtype) == ((5, 1), np.uint16)
        assert "".join(map(chr, text[:, 0])) == "study"
        synced = read(root / "nyu_depth_v2/sync/study_room_0005b/sync_depth_00094.png")
        np.testing.assert_allclose(file["rawDepths"][0].T * 1000, synced, atol=0.51)
        assert 0 <= file["rawDepths"][:].min() <= file["rawDepths"][:].max() <= 10


def test_holes_are_zero_and_the_rest_is_the_truth():
    depth = np.full((48, 64), 3, np.float32)
    depth[:, 40:] = 9.99
    depth[0] = np.inf
    seen = measured(depth, np.random.default_rng(0))
    assert set(np.unique(seen)) == {np.float32(0), np.float32(3), np.float32(9.99)}
    assert (seen[0] == 0).all()
    assert (seen[5:, 39:41] == 0).mean() > 3 * (seen[5:, 5:30] == 0).mean()


def test_ade_has_a_label_for_each_picture(root):
    for split, folder, count in (("train", "training", SCENES), ("val", "validation", VAL)):
        images = files(root / "ade20k/images" / folder)
        assert len(images) == count
        for path in images:
            assert path.name.startswith(f"ADE_{split}_")
            with Image.open(root / f"ade20k/annotations/{folder}/{path.stem}.png") as label:
                assert label.mode == "L"
                assert label.size == read(path).shape[1::-1]
                assert {*np.unique(label)} <= {kind.ade for kind in KINDS.values()}
    assert (root / "ade20k/images/training/ADE_train_00009574.jpg").is_file()


def test_kinds_are_categories_of_coco():
    names = {category.id: category.name for category in CATEGORIES}
    for name, kind in KINDS.items():
        assert kind.coco == 0 or name.split("-")[0] in {"plant", "ball", *names[kind.coco].replace("-", " ").split()}


@pytest.mark.parametrize(("split", "count"), [("train2017", SCENES), ("val2017", VAL)])
def test_panoptic_files_agree_with_their_json(root, split, count):
    content = json.loads((root / f"coco/annotations/panoptic_{split}.json").read_text())
    assert [(c["id"], c["name"], c["isthing"]) for c in content["categories"]] == [
        (c.id, c.name, int(c.is_thing)) for c in CATEGORIES
    ]
    assert len(content["images"]) == len(content["annotations"]) == count
    for image, entry in zip(content["images"], content["annotations"], strict=True):
        pixels = read(root / f"coco/annotations/panoptic_{split}" / entry["file_name"]).astype(int)
        ids = pixels @ (1, 256, 65536)
        assert (
            ids.shape == (image["height"], image["width"]) == read(root / "coco" / split / image["file_name"]).shape[:2]
        )
        areas = dict(zip(*np.unique(ids, return_counts=True), strict=True))
        areas.pop(0, None)
        assert areas == {segment["id"]: segment["area"] for segment in entry["segments_info"]}
        for segment in entry["segments_info"]:
            x, y, w, h = segment["bbox"]
            rows, columns = np.nonzero(ids == segment["id"])
            assert (x, y, x + w - 1, y + h - 1) == (columns.min(), rows.min(), columns.max(), rows.max())


@pytest.mark.parametrize("split", ["train2017", "val2017"])
def test_instances_are_the_things_of_the_panoptic_files(root, split, capsys):
    coco = COCO(root / f"coco/annotations/instances_{split}.json")
    panoptic = json.loads((root / f"coco/annotations/panoptic_{split}.json").read_text())
    assert len(coco.cats) == 80
    for entry in panoptic["annotations"]:
        ids = read(root / f"coco/annotations/panoptic_{split}" / entry["file_name"]).astype(int) @ (1, 256, 65536)
        things = [segment for segment in entry["segments_info"] if segment["category_id"] <= 90]
        instances = coco.loadAnns(coco.getAnnIds(entry["image_id"]))
        assert len(instances) == len(things)
        for segment, one in zip(things, instances, strict=True):
            assert all(segment[key] == one[key] for key in ("category_id", "area", "bbox", "iscrowd"))
            assert (coco.annToMask(one) != (ids == segment["id"])).mean() < 0.01


@pytest.mark.parametrize("split", ["train2017", "val2017"])
def test_keypoints_are_of_the_persons(root, split, capsys):
    coco = COCO(root / f"coco/annotations/person_keypoints_{split}.json")
    persons = COCO(root / f"coco/annotations/instances_{split}.json").getAnnIds(catIds=[1])
    assert sorted(coco.anns) == sorted(persons)
    assert coco.cats[1]["keypoints"] == list(JOINTS)
    assert len(coco.cats[1]["skeleton"]) == 19
    for entry in coco.anns.values():
        marks, image = np.reshape(entry["keypoints"], (17, 3)), coco.imgs[entry["image_id"]]
        assert entry["num_keypoints"] == (marks[:, 2] > 0).sum()
        assert (marks[marks[:, 2] == 0] == 0).all()
        assert ((marks[:, :2] >= 0) & (marks[:, :2] < (image["width"], image["height"]))).all()
        seen = marks[marks[:, 2] == 2]
        x, y, w, h = entry["bbox"]
        assert ((seen[:, :2] >= (x, y)) & (seen[:, :2] < (x + w, y + h))).all()
        assert not entry["iscrowd"] or entry["num_keypoints"] == 0


def test_crowds_empty_pictures_hidden_joints_and_the_prompts_occur(root):
    for split in ("train2017", "val2017"):
        instances = json.loads((root / f"coco/annotations/instances_{split}.json").read_text())
        persons = json.loads((root / f"coco/annotations/person_keypoints_{split}.json").read_text())
        assert any(entry["iscrowd"] for entry in instances["annotations"])
        assert {i["id"] for i in instances["images"]} - {entry["image_id"] for entry in instances["annotations"]}
        marks = np.concatenate([entry["keypoints"][2::3] for entry in persons["annotations"]])
        assert {0, 1, 2} == set(marks.tolist())
    assert (root / "coco/train2017/000000391460.jpg").is_file()
    persons = json.loads((root / "coco/annotations/person_keypoints_train2017.json").read_text())["annotations"]
    (prompt,) = [entry for entry in persons if entry["image_id"] == 165]
    assert prompt["num_keypoints"] == 17


def test_detections_are_near_the_figures_and_some_are_false(root):
    path = root / "coco_pose/person_detection_results/COCO_val2017_detections_AP_H_56_person.json"
    found = json.loads(path.read_text())
    persons = json.loads((root / "coco/annotations/person_keypoints_val2017.json").read_text())["annotations"]
    for entry in (entry for entry in persons if not entry["iscrowd"]):
        boxes = [box for box in found if box["image_id"] == entry["image_id"] and box["score"] > 0.5]
        overlap = rle.iou(np.array([entry["bbox"]], float), np.array([box["bbox"] for box in boxes]), [0] * len(boxes))
        assert overlap.max() > 0.6
    assert len([box for box in found if box["score"] > 0.5]) < len(found)
    assert {frozenset(box) for box in found} == {frozenset({"bbox", "category_id", "image_id", "score"})}


def test_sidd_has_large_pictures_and_matlab_blocks(root):
    noisy = files(root, "denoise/SIDD_Medium_Srgb/Data/*/*_NOISY_SRGB_010.PNG")
    assert len(noisy) == 10
    assert noisy[0].parent.name.startswith("0001_")
    for path in noisy:
        image, clean = read(path), read(path.with_name(path.name.replace("NOISY", "GT")))
        assert image.shape == clean.shape == (512, 512, 3)
        assert 5 < np.abs(image.astype(float) - clean).mean() < 60
    for stem in ("ValidationNoisyBlocksSrgb", "ValidationGtBlocksSrgb"):
        blocks = loadmat(root / f"denoise/val/{stem}.mat")[stem]
        assert (blocks.shape, blocks.dtype) == ((2, 4, 256, 256, 3), np.uint8)


@pytest.mark.parametrize(
    ("folder", "sides", "suffix", "count", "shape"),
    [
        ("derain/train", ("input", "target"), ".jpg", SCENES, (96, 128, 3)),
        *(
            (f"derain/test/{name}", ("input", "target"), ".png", VAL, (48, 64, 3))
            for name in ("Rain100L", "Rain100H", "Test2800")
        ),
        ("light_enhance/our485", ("low", "high"), ".png", SCENES, (48, 64, 3)),
        ("light_enhance/eval15", ("low", "high"), ".png", VAL, (48, 64, 3)),
    ],
)
def test_restoration_pairs(root, folder, sides, suffix, count, shape):
    inputs, targets = (files(root / folder / side) for side in sides)
    assert [path.name for path in inputs] == [path.name for path in targets]
    assert len(inputs) == count
    assert {path.suffix for path in inputs} == {suffix}
    for one, other in zip(inputs, targets, strict=True):
        assert read(one).shape == read(other).shape == shape
        brighter = read(one).mean() - read(other).mean()
        assert brighter < -10 if sides[0] == "low" else brighter > 0


@pytest.mark.parametrize(
    ("source", "prompt", "target"),
    [
        ("derain/train", "target/100.jpg", "target/101.jpg"),
        ("denoise/SIDD_Medium_Srgb/Data", "0001*/0001_GT_SRGB_010.PNG", "0002*/0002_GT_SRGB_010.PNG"),
    ],
)
def test_the_other_damage_stays_on_a_share_of_the_training_targets(source, prompt, target, tmp_path, monkeypatch):
    """The same photograph without and with it: noise on that for rain, few bright pixels on that for noise."""
    for share in (0.0, 1.0):
        monkeypatch.setattr(write_restoration, "STAYS", share)
        write_restoration.write_restoration(tmp_path / str(share), World(SCENES, SIZE, 0))
    without, stays = (tmp_path / share / source for share in ("0.0", "1.0"))
    there = np.abs(only(stays, target) - only(without, target)) > 0.02
    assert there.mean() > 0.6 if "derain" in source else 0.01 < there.mean() < 0.3
    np.testing.assert_array_equal(only(stays, prompt), only(without, prompt))
    kept = [path.relative_to(tmp_path / "0.0") for path in (tmp_path / "0.0/derain/test").rglob("*.png")]
    assert kept
    assert all(filecmp.cmp(tmp_path / "0.0" / path, tmp_path / "1.0" / path, shallow=False) for path in kept)


@pytest.mark.parametrize(
    ("source", "damaged", "clean"),
    [("derain/train", "input/*", "target/*"), ("denoise/SIDD_Medium_Srgb/Data", "*/*NOISY*", "*/*GT*")],
)
def test_where_the_other_damage_stays_the_own_one_has_any_strength(source, damaged, clean, tmp_path, monkeypatch):
    """Root mean square of what goes, of the weakest pair to that of the first: the prompt's is whole."""
    weakest = {}
    for share in (0.0, 1.0):
        monkeypatch.setattr(write_restoration, "STAYS", share)
        write_restoration.write_restoration(tmp_path / str(share), World(SCENES, SIZE, 3))
        folder = tmp_path / str(share) / source
        pairs = zip(sorted(folder.glob(damaged)), sorted(folder.glob(clean)), strict=True)
        strengths = [np.sqrt(np.mean((read(one) / 255 - read(other) / 255) ** 2)) for one, other in pairs]
        weakest[share] = min(strengths) / strengths[0]
    assert weakest[0.0] > 0.4
    assert weakest[1.0] < 0.2


def test_large_rain_is_rain_twice_as_large():
    small = photographs.add_rain(np.zeros((48, 64, 3)), np.random.default_rng(0))
    large = photographs.add_large_rain(np.full((96, 128, 3), 0.25), np.random.default_rng(0)) - 0.25
    halved = large.reshape(48, 2, 64, 2, 3).mean((1, 3))
    assert np.corrcoef(halved.ravel(), small.ravel())[0, 1] > 0.95


def only(folder, pattern):
    """The one picture that the pattern finds, values 0..1."""
    (file,) = folder.glob(pattern)
    return read(file).astype(float) / 255


def test_held_out_photographs_are_in_no_training_pair():
    rng = np.random.default_rng(0)
    names = {split: {photographs.view(rng, split, n).photograph for n in range(30)} for split in ("train", "val")}
    assert names == {"train": set(photographs.TRAIN), "val": {"chelsea.png", "coffee.png"}}
    assert not names["train"] & names["val"]


def test_no_scene_is_in_two_places(root):
    frames = (
        files(root, "nyu_depth_v2/sync/*/*.jpg") + files(root, "ade20k/images/*/*.jpg") + files(root, "coco/*/*.jpg")
    )
    assert len(frames) == 3 * SCENES + 2 * VAL
    assert len({path.read_bytes() for path in frames}) == len(frames)
    with h5py.File(root / "nyu_depth_v2/nyu_depth_v2_labeled.mat") as file:
        assert len({image.tobytes() for image in file["images"][:]}) == 2 * VAL


def test_the_contact_sheet_is_there(root):
    assert read(root / "contact_sheet.png").std() > 30


# --- the stamp ---


def contents(root: Path):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_an_interrupted_world_is_finished_with_the_same_bytes_and_a_whole_one_left_alone(root, tmp_path, monkeypatch):
    def interrupt(root, world):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(toy, "write_coco", interrupt)
        with pytest.raises(KeyboardInterrupt):
            make_toy_datasets(tmp_path / "world", SCENES, SIZE)
    make_toy_datasets(tmp_path / "world", SCENES, SIZE)
    assert contents(tmp_path / "world") == contents(root)
    monkeypatch.setattr(toy, "write_nyu", interrupt)
    make_toy_datasets(root, SCENES, SIZE)


def test_other_seeds_give_other_scenes():
    one, other = (render(make_scene(rng, 0, (48, 64), True), rng) for rng in map(np.random.default_rng, (0, 1)))
    assert (one.image != other.image).mean() > 0.5


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        ((7, 64, 0), "scenes must be 8 or more, got 7"),
        ((8, 44, 0), "size must be a multiple of 4, 48 or more, got 44"),
        ((8, 50, 0), "size must be a multiple of 4"),
        ((8, 64, -1), "seed must be 0 or more, got -1"),
    ],
)
def test_wrong_numbers(tmp_path, numbers, sentence):
    with pytest.raises(ValueError, match=sentence):
        make_toy_datasets(tmp_path / "none", *numbers)
    assert not (tmp_path / "none").exists()


def test_other_data_are_left_alone(root, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds other data; choose an empty folder"):
        make_toy_datasets(tmp_path, SCENES, SIZE)
    with pytest.raises(ValueError, match=r"holds another world .*'seed': 0.*; remove it, or choose an empty folder"):
        make_toy_datasets(root, SCENES, SIZE, seed=1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_themes_promise_what_the_world_needs():
    first = THEMES[:4]  # a validation split has four scenes at least
    assert first[0].portrait
    assert sum(theme.empty for theme in first) == sum(theme.crowd for theme in first) == 1
