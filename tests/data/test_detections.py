"""Detected persons: grouped by photograph, numbered over the file as mmpose does, and every flaw named."""

import json

import pytest

from data.detections import Detection, group_detections, read_detections

BOX = [10.5, -3.25, 40, 900.0]
PATH = "coco_pose/found.json"


def entry(image_id: int = 7, **change) -> dict:
    return {"image_id": image_id, "category_id": 1, "bbox": BOX, "score": 0.5} | change


def test_persons_are_numbered_over_the_whole_file_in_its_order():
    content = [
        entry(9),
        entry(7, score=0),
        entry(7, category_id=3),
        entry(9, score=1),
        entry(2, category_id=3),
        entry(7),
    ]
    found = group_detections(content, PATH)
    assert {image: [(person.number, person.score) for person in group] for image, group in found.items()} == {
        9: [(0, 0.5), (2, 1)],
        7: [(1, 0), (3, 0.5)],
    }
    assert list(found) == [9, 7]


def test_boxes_stay_as_they_are():
    assert group_detections([entry()], PATH)[7] == [Detection(0, (10.5, -3.25, 40, 900.0), 0.5)]


def test_a_score_below_zero_is_skipped_and_takes_no_number():
    found = group_detections([entry(7, score=-0.001), entry(8)], PATH)
    assert {image: [person.number for person in group] for image, group in found.items()} == {8: [0]}


def test_nobody_is_an_empty_answer_in_which_nothing_appears_by_asking():
    found = group_detections([entry(category_id=2)], PATH)
    assert found == {}
    with pytest.raises(KeyError):
        found[7]


def test_other_categories_are_not_judged():
    assert group_detections([entry(category_id=62, bbox=[0, 0, 0, 0])], PATH) == {}


def test_a_file_is_read_from_the_root_that_has_it(tmp_path):
    (tmp_path / "b/coco_pose").mkdir(parents=True)
    (tmp_path / "b" / PATH).write_text(json.dumps([entry()]))
    roots = (tmp_path / "a", tmp_path / "b")
    assert read_detections(roots, PATH) == group_detections([entry()], PATH)
    (tmp_path / "b" / PATH).write_text(json.dumps([entry(score="high")]))
    with pytest.raises(
        ValueError, match=r"^coco_pose/found\.json, entry 0: score must be a number, got 'high'; download"
    ):
        read_detections(roots, PATH)
    with pytest.raises(ValueError, match=r"absent\.json is not under"):
        read_detections(roots, "absent.json")


@pytest.mark.parametrize("key", ["image_id", "category_id", "bbox", "score"])
def test_a_lacking_key_is_named(key):
    lacking = {name: value for name, value in entry().items() if name != key}
    with pytest.raises(ValueError, match=rf"coco_pose/found\.json, entry 1: .* has no {key}; download"):
        group_detections([entry(), lacking], PATH)


@pytest.mark.parametrize(
    ("flaw", "sentence"),
    [
        (7, "7 is no object"),
        (entry(bbox=[1, 2, 3]), "bbox must be 4 numbers, got [1, 2, 3]"),
        (entry(bbox=[1, 2, 3, float("nan")]), "bbox must be 4 numbers, got [1, 2, 3, nan]"),
        (entry(bbox=[1, float("inf"), 3, 4]), "bbox must be 4 numbers, got [1, inf, 3, 4]"),
        (entry(bbox=[1, 10**400, 3, 4]), "int too large to convert to float"),
        (entry(bbox=[1, 2, 0, 4]), "bbox [1, 2, 0, 4] has no area"),
        (entry(bbox=[1, 2, 3, -4]), "bbox [1, 2, 3, -4] has no area"),
        (entry(bbox=None), "bbox must be 4 numbers, got None"),
        (entry(score=float("nan")), "score must be a number, got nan"),
        (entry(score=None), "score must be a number, got None"),
        (entry(image_id="7"), "image_id must be a whole number, got '7'"),
        (entry(image_id=[7]), "image_id must be a whole number, got [7]"),
    ],
)
def test_a_flaw_is_named_with_file_and_entry(flaw, sentence):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        group_detections([entry(category_id=2), entry(), flaw], PATH)
    assert str(caught.value).startswith(f"coco_pose/found.json, entry 2: {sentence}; download the detections")


@pytest.mark.parametrize("content", [{}, {"annotations": [entry()]}, None, "text"])
def test_what_is_no_list_is_said_so(content):
    with pytest.raises(ValueError, match=r"^coco_pose/found\.json is no list of detections; download "):
        group_detections(content, PATH)
