"""The benchmark of keypoints: whom boxes show, what both views of a crop paint and give, and the scores of all."""

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from data.pairs import read_pairs
from data.person_crop import NUM_JOINTS, center_scale
from data.prepare import prepare
from data.tasks.pose import COCO_POSE, PALETTE
from engine.inpaint import Inpainter
from eval import coco_pose
from eval.coco_pose import ANNOTATIONS, BENCHMARK, COPY, DETECTIONS, Skeleton
from eval.painters import Oracle
from eval.prompts import Prompt, read_prompt
from eval.run import below_prompt, choose, oracle, run
from tests.eval.conftest import tiny_painter
from util.dist import join_world

GOLDEN = Path(__file__).parents[1] / "golden/eval/07_pose"
BOXES = {"A": [40, 40, 90, 200], "B": [200, 60, 100, 180], "C": [100, 30, 80, 230], "D": [20, 20, 90, 190]}
ON = {"A": 7, "B": 7, "C": 8, "D": 9}  # photographs; on 5 is nobody
FOUND = [(7, "A", 0.9), (8, "C", 0.8), (7, "B", 0.7), (7, [330, 10, 50, 60], 0.3), (5, [10, 10, 80, 90], 0.2)]
NAMES = ["000000000007_0", "000000000007_2", "000000000007_3", "000000000008_1", "000000000005_4"]


def to_tensor(image: Image.Image) -> torch.Tensor:
    """(3, H, W) in 0..1."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255


def joints(name: str) -> np.ndarray:
    """Seventeen of 4 x 5 places in the person's box, an own choice and order for each; one is not labelled."""
    x, y, w, h = BOXES[name]
    rng = np.random.default_rng(ord(name))
    places = rng.permutation([(x + 12 + w / 4.5 * i, y + 15 + h / 5.5 * j) for i in range(4) for j in range(5)])
    points = np.column_stack((places[:NUM_JOINTS].round(), rng.integers(1, 3, NUM_JOINTS)))
    points[ord(name) % NUM_JOINTS] = 0
    return points


def person(name: str, **change) -> dict:
    flat = joints(name).astype(int).flatten().tolist()
    entry = {"id": ord(name), "image_id": ON[name], "iscrowd": 0, "category_id": 1, "num_keypoints": 16}
    return entry | {"area": 12000.0, "bbox": BOXES[name], "keypoints": flat} | change


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_truth(root: Path, *persons: dict, ids=(5, 7, 8, 9)) -> None:
    images = [{"id": i, "file_name": f"{i:012}.jpg", "width": 400, "height": 300} for i in ids]
    write_json(root / ANNOTATIONS, {"images": images, "annotations": persons, "categories": [{"id": 1}]})


def write_found(root: Path, rows=FOUND) -> None:
    boxes = [(i, BOXES.get(box, box) if isinstance(box, str) else box, score) for i, box, score in rows]
    entries = [{"image_id": i, "category_id": 1, "bbox": box, "score": score} for i, box, score in boxes]
    write_json(root / DETECTIONS, [entries[0] | {"category_id": 3}, *entries, entries[1] | {"score": -1}])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four persons on three photographs, three of them detected; two boxes show nobody. Dots in the joints' colours."""
    folder = tmp_path / "data/coco/val2017"
    folder.mkdir(parents=True)
    for image_id in (5, 7, 8, 9):
        photo = np.zeros((300, 400, 3), np.uint8)
        for name in (name for name, on in ON.items() if on == image_id):
            for (x, y, v), (green, blue) in zip(joints(name), PALETTE.colors.tolist(), strict=True):
                cv2.circle(photo, (int(x), int(y)), 3, (0, green, blue), -1 if v else 0)
        Image.fromarray(photo).save(folder / f"{image_id:012}.jpg", "PNG")  # lossless, whatever its name
    write_truth(tmp_path / "data", *map(person, ON))
    write_found(tmp_path / "data")
    return tmp_path / "data"


def case(root: Path, name: str = NAMES[0]):
    return BENCHMARK.read(next(query for query in BENCHMARK.queries([root]) if query.name == name))


def painted(one, *targets: np.ndarray) -> Skeleton:
    """The prediction from targets as they are, those of the oracle if none are given."""
    pictures = targets or BENCHMARK.targets(one)
    return BENCHMARK.decode([to_tensor(Image.fromarray(picture)).double() for picture in pictures], one)


def records(root: Path, limit: int | None = None) -> tuple[list[dict], list]:
    queries = choose(BENCHMARK, [root], limit)
    cases = [BENCHMARK.read(query) for query in queries]
    return json.loads(json.dumps([BENCHMARK.measure(painted(one), one) for one in cases])), queries


# Queries


def test_boxes_come_photograph_by_photograph_with_their_numbers_in_the_file(root):
    queries = BENCHMARK.queries([root])
    assert [query.name for query in queries] == NAMES
    assert [query.detection.number for query in queries] == [0, 2, 3, 1, 4]
    assert [query.detection.score for query in queries] == [0.9, 0.7, 0.3, 0.8, 0.2]
    assert [query.image.name for query in queries] == [f"{i:012}.jpg" for i in (7, 7, 7, 8, 5)]
    shown = [query.person.box if query.person else None for query in queries]
    assert shown == [BOXES["A"], BOXES["B"], None, BOXES["C"], None]


def test_a_photograph_is_decoded_once_for_its_boxes(root, monkeypatch):
    opened = []
    read = coco_pose.read_rgb
    monkeypatch.setattr(coco_pose, "read_rgb", lambda path: opened.append(path.name) or read(path))
    for query in BENCHMARK.queries([root]):
        BENCHMARK.read(query)
    assert opened == [f"{i:012}.jpg" for i in (7, 8, 5)]


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda root: write_truth(root, ids=(5, 7)), f"^image 8 is in {DETECTIONS} but not in {ANNOTATIONS}; download"),
        (
            lambda root: (root / "coco/val2017/000000000008.jpg").unlink(),
            f"^coco/val2017/000000000008.jpg, listed in {DETECTIONS}, is missing; download it again$",
        ),
        (lambda root: (root / DETECTIONS).unlink(), f"^{DETECTIONS} is not under "),
        (lambda root: (root / ANNOTATIONS).unlink(), f"^{ANNOTATIONS} is not under "),
        (lambda root: (root / "coco/val2017").rename(root / "coco/val"), "^folder coco/val2017 is not under .*DATA.md"),
        (lambda root: write_found(root, [(7, [1, 2, 0, 4], 0.5)] * 2), f"^{DETECTIONS}, entry 1: bbox .* has no area"),
        (lambda root: write_json(root / DETECTIONS, []), "^coco_pose: there is nothing to evaluate under"),
    ],
)
def test_what_is_missing_is_named(root, damage, sentence):
    damage(root)
    with pytest.raises(ValueError, match=sentence):
        choose(BENCHMARK, [root])


# Views


def test_joints_lie_on_their_dots_in_both_views(root):
    """Where a joint is painted at full height, the crop has the dot of that joint, the mirror image of its partner."""
    seen = 0
    for query in BENCHMARK.queries([root]):
        one = BENCHMARK.read(query)
        for crop, target, is_mirrored in zip(one.images, BENCHMARK.targets(one), (False, True), strict=True):
            assert crop.size == (192, 256)
            at = target[..., 0] == 255
            shown = PALETTE.nearest(torch.from_numpy(target[at][:, 1:]).int())[0].numpy()
            due = PALETTE.colors[np.take(partners(), shown) if is_mirrored else shown]
            assert np.abs(np.asarray(crop)[at][:, 1:].astype(int) - due).max(initial=0) <= 8
            assert len(shown) == (16 if query.person else 0)
            seen += len(shown)
    assert seen == 3 * 2 * 16


def partners() -> list[int]:
    """Left and right of each part follow each other after the nose."""
    return [0, *(k + 1 if k % 2 else k - 1 for k in range(1, NUM_JOINTS))]


def test_the_mirrored_view_is_that_of_the_mirrored_photograph(root):
    """It lies a pixel further right than the mirrored crop: what is flipped back is shifted by one."""
    plain, mirrored = (np.asarray(image).astype(int) for image in case(root).images)
    moved, unmoved = np.abs(mirrored[:, 1:] - plain[:, :0:-1]).mean(), np.abs(mirrored - plain[:, ::-1]).mean()
    assert 5 * moved < unmoved


@pytest.mark.parametrize("name", [NAMES[0], NAMES[1], NAMES[3]])
def test_each_view_alone_gives_the_same_keypoints(root, name):
    one = case(root, name)
    plain, mirrored = BENCHMARK.targets(one)
    black = np.zeros_like(plain)
    both, first, second = painted(one), painted(one, plain, black), painted(one, black, mirrored)
    labelled = one.truth.plain.visible
    np.testing.assert_allclose(both.points[labelled, :2], one.truth.plain.crop_joints[labelled], atol=0.76)
    np.testing.assert_array_equal(first.points[:, :2], second.points[:, :2])
    np.testing.assert_array_equal(both.points[:, :2], first.points[:, :2])
    np.testing.assert_array_equal(both.points[:, 2], labelled)
    np.testing.assert_allclose(first.points[:, 2], labelled / 2)
    np.testing.assert_array_equal(both.points[~labelled], [[-1, -1, 0]])
    np.testing.assert_array_equal(both.crop, np.asarray(one.images[0]))


def test_resizing_moves_nothing_sideways(root):
    """It moves what is painted by .4 pixel right and down, but in the mirror image right is left."""
    subject, off = Oracle(BENCHMARK, (448, 448)), []
    for name in (NAMES[0], NAMES[1], NAMES[3]):
        one = case(root, name)
        found = BENCHMARK.decode(list(subject.prepare(one)), one).points[:, :2]
        off.append((found - one.truth.plain.crop_joints)[one.truth.plain.visible])
    x, y = np.concatenate(off).mean(axis=0)
    assert abs(x) < 0.12
    assert 0.25 < y < 0.55


def test_a_network_paints_both_views_below_one_prompt(root):
    """Each as if it were painted alone, whatever else is in the batch."""
    target = COCO_POSE.encode((joints("A")[:, :2], np.ones(NUM_JOINTS)))
    pair = (Image.fromarray(255 - target), Image.fromarray(target))
    painter, prompt = tiny_painter(), Prompt("a_box0", "given", [pair])
    network = below_prompt(BENCHMARK, painter, prompt).paints
    cases = [case(root, name) for name in NAMES[:3]]
    painted = network.paint([network.prepare(one) for one in cases])
    inpainter = Inpainter(painter, [pair], (48, 48), 16)
    for one, views in zip(cases, painted, strict=True):
        assert len(views) == 2
        torch.testing.assert_close(torch.stack(views), inpainter(one.images), rtol=0, atol=1e-5)


# Scores


def test_a_perfect_painting_finds_all_who_are_detected(root, tmp_path):
    content = run(BENCHMARK, oracle(BENCHMARK), choose(BENCHMARK, [root]), tmp_path / "out", join_world("cpu"))
    metrics = content["metrics"]
    assert metrics["AP"] == metrics["AP50"] == pytest.approx(100 * 76 / 101)  # recalls 0, .01 .. .75 of three in four
    assert (metrics["AR"], metrics["APl"]) == pytest.approx((75, metrics["AP"]))
    assert math.isnan(metrics["APm"])
    assert [about["rank"] for about in content["shown"]] == ["best", "median", "worst"]
    assert {about["name"] for about in content["shown"]} == {NAMES[0], NAMES[1], NAMES[3]}
    assert all(about["scores"]["oks"] > 0.97 for about in content["shown"])
    assert all((tmp_path / "out" / about["file"]).is_file() for about in content["shown"])


def test_with_a_limit_only_photographs_of_evaluated_boxes_count(root):
    for limit in (2, 3):
        found = BENCHMARK.summarise(*records(root, limit))
        assert (found["AP"], found["AR"]) == pytest.approx((100, 100))
    found = BENCHMARK.summarise(*records(root, 1))  # of the two on the first photograph
    assert (found["AP"], found["AR"]) == pytest.approx((100 * 51 / 101, 50))
    assert BENCHMARK.summarise(*records(root, 4))["AP"] == pytest.approx(100)
    assert BENCHMARK.summarise(*records(root))["AR"] == pytest.approx(75)


def test_other_poses_are_no_match(root):
    """The same boxes with the joints of another person."""
    first, second = case(root, NAMES[0]), case(root, NAMES[1])
    swapped = [
        BENCHMARK.measure(painted(one, *BENCHMARK.targets(other)), one)
        for one, other in ((first, second), (second, first))
    ]
    assert max(record["oks"] for record in swapped) < 0.4
    assert BENCHMARK.summarise(swapped, choose(BENCHMARK, [root], 2))["AP"] == 0


def test_a_person_found_twice_counts_once(root):
    write_found(root, [(7, "A", 0.6), (7, [44, 36, 88, 206], 0.9), (7, "B", 0.5)])
    found, queries = records(root)
    assert [query.person.box for query in queries] == [BOXES["A"], BOXES["A"], BOXES["B"]]
    write_truth(root, person("A"), person("B"), ids=(7,))
    assert BENCHMARK.summarise(found, queries)["AP"] == pytest.approx(100)


def test_where_nobody_is_no_score_is_defined(root):
    write_truth(root)
    found, queries = records(root)
    assert all(math.isnan(value) for value in BENCHMARK.summarise(found, queries).values())
    assert all("oks" not in record for record in found)


def test_a_record_holds_the_photographs_pixels(root):
    one = case(root)
    record = BENCHMARK.measure(painted(one), one)
    labelled = one.truth.plain.visible
    np.testing.assert_allclose(np.array(record["keypoints"])[labelled, :2], joints("A")[labelled, :2], atol=0.8)
    center, scale = center_scale(BOXES["A"])
    assert (record["center"], record["scale"]) == (center.tolist(), scale.tolist())
    assert (record["image_id"], record["number"], record["score"]) == (7, 0, 0.9)
    assert BENCHMARK.scores(record) == {"oks": BENCHMARK.quality(record), "score": 0.9}
    assert BENCHMARK.quality(record) > 0.99
    nobody = BENCHMARK.measure(painted(case(root, NAMES[2])), case(root, NAMES[2]))
    assert math.isnan(BENCHMARK.quality(nobody))


def test_stored_paintings_score_what_is_stored(tmp_path):
    """Paintings of the original -> its results and its average precision, through all of the benchmark."""
    with np.load(GOLDEN / "decode_ap.npz", allow_pickle=False) as file:
        stored = dict(file)
    content = json.loads((GOLDEN / "decode_ap.json").read_text())
    write_json(tmp_path / ANNOTATIONS, content["gt"])
    write_json(tmp_path / DETECTIONS, content["detections"])
    for image in content["gt"]["images"]:
        (tmp_path / "coco/val2017").mkdir(exist_ok=True)
        Image.new("RGB", (image["width"], image["height"])).save(tmp_path / f"coco/val2017/{image['id']:012}.jpg")
    queries, found = BENCHMARK.queries([tmp_path]), []
    rows = {number: row for row, number in enumerate(stored["bbox_id"].tolist())}
    for query in queries:
        one, row = BENCHMARK.read(query), rows[query.detection.number]
        found.append(BENCHMARK.measure(painted(one, stored["pred_rgb"][row], stored["pred_flip_rgb"][row]), one))
        off = np.abs(np.array(found[-1]["keypoints"]) - stored["keypoints"][row])[~stored["tie_sensitive"][row]]
        assert off.max(initial=0) < 1e-3
    stats = BENCHMARK.summarise(found, queries)
    assert [stats[name] for name in ("AP", "AP50", "AR", "AR75")] == pytest.approx(
        [100 * content["stats"][name] for name in ("AP", "AP .5", "AR", "AR .75")], abs=1e-7
    )


# Pictures


def test_pictures_show_joints_where_they_are(root, tmp_path):
    one = case(root)
    pred = painted(one)
    shown = BENCHMARK.show(pred, one)
    assert {key: picture.shape for key, picture in shown.items()} == dict.fromkeys(
        ("decoded", "truth", "error"), (256, 192, 3)
    )
    BENCHMARK.save(pred, tmp_path / "images/a.b")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "images/a.b.png")), shown["decoded"])
    empty = BENCHMARK.show(painted(one, *[np.zeros((256, 192, 3), np.uint8)] * 2), one)
    np.testing.assert_array_equal(empty["decoded"], pred.crop)
    np.testing.assert_array_equal(empty["truth"], shown["truth"])
    nobody = case(root, NAMES[2])
    np.testing.assert_array_equal(BENCHMARK.show(painted(nobody), nobody)["truth"], np.asarray(nobody.images[0]))


# Prompts


@pytest.fixture
def trained(root) -> Path:
    """Two persons of the prompt's photograph; the first shows nothing, the second is listed."""
    content = json.loads((root / ANNOTATIONS).read_text())
    content["images"] = [content["images"][0] | {"id": 165, "file_name": "000000000165.jpg"}]
    unlabelled = person("A", image_id=165, keypoints=[5, 5, 0] * NUM_JOINTS)
    content["annotations"] = [
        unlabelled,
        person("B", image_id=165),
        person("B", image_id=165, bbox=[180, 50, 130, 190]),
    ]
    write_json(root / ANNOTATIONS.replace("val", "train"), content)
    (root / "coco/train2017").mkdir()
    (root / "coco/val2017/000000000007.jpg").rename(root / "coco/train2017/000000000165.jpg")
    return root


def test_a_prompt_painted_on_the_fly_is_numbered_among_all_persons(trained):
    prepare(COCO_POSE, [trained], trained, "train", 0)
    pairs = read_pairs([trained], COCO_POSE.lists["train"])
    named = BENCHMARK.named(pairs, [trained])
    assert list(named) == ["000000000165_box1", "000000000165_box2"]
    assert list(named.values()) == pairs
    (image, target) = read_prompt(BENCHMARK, [trained], "000000000165_box1").pairs[0]
    assert image.size == target.size == (192, 256)
    with pytest.raises(ValueError, match=r"^no prompt '000000000165_box0' of .*; 2 training pairs are listed"):
        read_prompt(BENCHMARK, [trained], None)


def test_prompts_in_files_are_the_plain_ones(trained):
    prepare(COCO_POSE, [trained], trained, "train", 0, offline=True)
    pairs = read_pairs([trained], COCO_POSE.lists["train"])
    named = BENCHMARK.named(pairs, [trained])
    assert sorted(named) == ["000000000165_box1", "000000000165_box2"]
    assert len(pairs) > 20
    for name, pair in named.items():
        assert BENCHMARK.prompt_files(COCO_POSE, name) == (pair.image_path, pair.target_path)
        assert pair.image_path == f"{COPY}/{name}_image.png"


def test_files_and_lists_give_the_same_prompt(trained):
    prepare(COCO_POSE, [trained], trained, "train", 0)
    ((image, target),) = read_prompt(BENCHMARK, [trained], "000000000165_box2").pairs
    prepare(COCO_POSE, [trained], trained, "train", 0, offline=True)
    ((image_file, target_file),) = read_prompt(BENCHMARK, [trained], "000000000165_box2").pairs
    np.testing.assert_array_equal(np.asarray(image), np.asarray(image_file))
    np.testing.assert_array_equal(np.asarray(target), np.asarray(target_file))
