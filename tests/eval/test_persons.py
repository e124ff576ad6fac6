"""Annotated persons: who is one, whom a box shows, and COCO's own similarity."""

import json
import re

import numpy as np
import pytest

from eval.persons import Annotated, read_annotated, shown, similarity

POINTS = [value for k in range(17) for value in (100 + 7 * k, 60 + 9 * k, k % 3)]


def annotation(**change) -> dict:
    return {"id": 1, "image_id": 7, "iscrowd": 0, "area": 900, "bbox": [90, 50, 130, 160], "keypoints": POINTS} | change


def read(tmp_path, *annotations, **change) -> dict[int, list[Annotated]]:
    content = {"images": [{"id": 7}, {"id": 8}], "annotations": annotations} | change
    (tmp_path / "truth.json").write_text(json.dumps(content))
    return read_annotated([tmp_path], "truth.json")


def test_who_is_a_person(tmp_path):
    found = read(
        tmp_path,
        annotation(bbox=[-1.5, 2, 3, 4]),
        annotation(iscrowd=1),
        annotation(keypoints=[0] * 51),
        annotation(keypoints=[5, 5, 0] * 17),
        annotation(keypoints=[0] * 48 + [1, 2, 1], area=0),
    )
    assert {image: [(person.box, person.area) for person in persons] for image, persons in found.items()} == {
        7: [([-1.5, 2, 3, 4], 900), ([90, 50, 130, 160], 0)],
        8: [],
    }
    np.testing.assert_array_equal(found[7][0].points.flatten(), POINTS)


@pytest.mark.parametrize(
    "change",
    [
        {"images": None},
        {"images": [{}]},
        {"annotations": [7]},
        {"annotations": [annotation(image_id=9)]},
        {"annotations": [annotation(bbox=[1, 2, 3])]},
        {"annotations": [annotation(keypoints=[1] * 50)]},
        {"annotations": [annotation(area="big")]},
        {"annotations": [annotation() | {"iscrowd": None, "area": None}]},
    ],
)
def test_another_file_is_named(tmp_path, change):
    with pytest.raises(ValueError, match=r"^truth.json is not made as COCO's files are \(.+\); download it again$"):
        read(tmp_path, **change)
    (tmp_path / "truth.json").write_text("[]")
    with pytest.raises(ValueError, match=re.escape("truth.json is not made as COCO's files are (TypeError(")):
        read_annotated([tmp_path], "truth.json")


def person(*box: float) -> Annotated:
    return Annotated(box, np.ones((17, 3)), 1.0)


def test_a_box_shows_whom_it_overlaps_best():
    left, right = person(0, 0, 10, 10), person(6, 0, 10, 10)
    assert shown((1, 0, 10, 10), [left, right]) is left
    assert shown((1, 0, 10, 10), [right, left]) is left
    assert shown((5, 0, 10, 10), [left, right]) is right
    assert shown((0, 0, 10, 10), []) is None


@pytest.mark.parametrize(
    ("box", "overlap"),
    [
        ((0, 0, 10, 3), 0.3),
        ((0, 0, 10, 2.9), 0.29),
        ((0, 0, 3, 10), 0.3),
        ((0, 0, 2.9, 10), 0.29),
        ((-5, -5, 20, 20), 0.25),
        ((-4, -4, 18, 18), 100 / 324),
        ((20, 20, 10, 10), 0),
        ((10, 0, 10, 10), 0),
        ((-10, -10, 9, 9), 0),
        ((5, 0, 10, 10), 1 / 3),
        ((5, 5, 10, 10), 1 / 7),
    ],
)
def test_overlap_decides(box, overlap):
    assert (shown(box, [person(0, 0, 10, 10)]) is not None) == (overlap >= 0.3)


@pytest.mark.parametrize("seed", range(5))
def test_the_similarity_is_that_of_pycocotools(seed):
    coco, cocoeval = (pytest.importorskip(f"pycocotools.{name}") for name in ("coco", "cocoeval"))
    rng = np.random.default_rng(seed)
    points = np.column_stack((rng.uniform(0, 200, (17, 2)), rng.integers(0, 3, 17)))
    found = np.column_stack((points[:, :2] + rng.normal(0, 12, (17, 2)), rng.random(17)))
    area = rng.uniform(500, 9000)
    common = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": area, "bbox": [0, 0, 200, 200]}
    indices = []
    for keypoints in (points, found):
        index = coco.COCO()
        entry = common | {"keypoints": keypoints.flatten().tolist(), "num_keypoints": 17, "score": 1.0}
        index.dataset = {"images": [{"id": 1}], "annotations": [entry], "categories": [{"id": 1}]}
        index.createIndex()
        indices.append(index)
    evaluation = cocoeval.COCOeval(*indices, "keypoints")
    evaluation._prepare()
    expected = evaluation.computeOks(1, 1).item()
    assert similarity(found, Annotated([0, 0, 200, 200], points, area)) == pytest.approx(expected, rel=1e-12)
