"""Scoring of keypoints: against plain loops, COCO's own similarity, numbers by hand, and the stored cases."""

import copy
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.metrics.keypoints import (
    SIGMAS,
    STATS,
    FoundPerson,
    average_precision,
    keypoint_results,
    oks,
    oks_nms,
    rescore,
)
from tools.golden.pose import CHECKS

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests/golden/eval/07_pose"
COCO = [
    0.026,
    0.025,
    0.025,
    0.035,
    0.035,
    0.079,
    0.079,
    0.072,
    0.072,
    0.062,
    0.062,
    0.107,
    0.107,
    0.087,
    0.087,
    0.089,
    0.089,
]
AREA = 10_000.0
STANDING = np.array([[50 + 7 * k, 30 + 11 * k, 0.5] for k in range(17)], np.float32)

seeds = st.integers(0, 2**32 - 1)


def crowd(seed: int, num: int = 9) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Persons that resemble one another more or less: keypoints, scores (some equal), areas."""
    rng = np.random.default_rng(seed)
    points = np.repeat(STANDING[None], num, axis=0) + rng.normal(0, rng.uniform(0, 6, (num, 1, 1)), (num, 17, 3))
    return points.astype(np.float32), rng.integers(0, 6, num) / 5, rng.uniform(5e3, 2e4, num)


def plain_oks(one, other, area: float) -> float:
    total = 0.0
    for (x, y, _), (u, v, _), sigma in zip(one.tolist(), other.tolist(), COCO, strict=True):
        total += math.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * sigma) ** 2 / area / 2)
    return total / 17


def person(number: int = 0, shift: float = 0, keypoint_score: float = 0.5, score: float = 0.8, side: float = 0.5):
    points = STANDING + np.array([shift, 0, 0], np.float32)
    points[:, 2] = keypoint_score
    return FoundPerson(number, points, np.array([100.5, 120], np.float32), np.array([side, side], np.float32), score)


# Similarity and suppression


@given(seeds)
def test_oks_is_that_of_plain_loops(seed):
    points, _, areas = crowd(seed)
    similar = oks(points, areas)
    assert similar.dtype == np.float32
    for i, j in np.ndindex(similar.shape):
        assert similar[i, j] == pytest.approx(plain_oks(points[i], points[j], (areas[i] + areas[j]) / 2), abs=1e-5)


@given(seeds, st.sampled_from([0.05, 0.5, 0.8, 0.9, 1.0]))
def test_suppression_is_that_of_a_plain_loop(seed, thr):
    points, scores, areas = crowd(seed)
    similar, left, kept = oks(points, areas), list(range(len(scores))), []
    while left:
        best = max(left, key=lambda i: (scores[i], i))
        kept.append(best)
        left = [i for i in left if i != best and similar[best, i] <= np.float32(thr)]
    assert oks_nms(points, scores, areas, thr) == kept


def test_a_similarity_of_just_the_threshold_is_kept():
    points, _, areas = crowd(3, 2)
    similar = float(oks(points, areas)[0, 1])
    assert oks_nms(points, [0.5, 0.6], areas, similar) == [1, 0]
    assert oks_nms(points, [0.5, 0.6], areas, np.nextafter(np.float32(similar), np.float32(0))) == [1]
    equal = oks_nms(np.stack([STANDING, STANDING]), [0.5, 0.6], [AREA, AREA], 1.0)
    assert equal == [1, 0]


def test_nobody_and_one():
    assert oks([], []).shape == (0, 0)
    assert oks_nms([], [], []) == []
    assert oks_nms([STANDING], [0.0], [0.0]) == [0]


def test_scores_of_keypoints_play_no_part_in_similarity():
    hidden = STANDING * np.array([1, 1, 0], np.float32)
    assert oks([STANDING, hidden], [AREA, AREA])[0, 1] == 1


# Rescoring


@given(seeds)
def test_rescoring_is_that_of_a_plain_loop(seed):
    rng = np.random.default_rng(seed)
    det_score, scores = rng.uniform(), rng.uniform(0, 0.4, 17)
    seen = [float(score) for score in scores.astype(np.float32) if float(score) > 0.2]
    expected = det_score * sum(seen) / len(seen) if seen else 0
    assert rescore(det_score, scores) == pytest.approx(expected, rel=1e-6)


def test_only_scores_above_the_threshold_count():
    assert rescore(0.5, [0.2 - 1e-6] * 17) == 0
    assert rescore(0.5, [0.0] * 17) == 0
    assert rescore(0.5, [0.8] + [0.1] * 16) == pytest.approx(0.4)
    assert rescore(0.5, [0.25] * 17, vis_thr=0.25) == 0


def test_a_painted_51_of_255_counts():
    assert rescore(0.5, np.full(17, 51, np.float32) / 255) == pytest.approx(0.1)


# Results


def test_a_result_has_cocos_fields():
    (result,) = keypoint_results([person()], 42)
    assert result == {
        "image_id": 42,
        "category_id": 1,
        "keypoints": STANDING.flatten().tolist(),
        "center": [100.5, 120.0],
        "scale": [0.5, 0.5],
        "score": pytest.approx(0.4),
    }
    assert json.loads(json.dumps(result)) == result
    assert keypoint_results([], 42) == []


def test_results_come_best_first_and_the_last_number_of_equals():
    persons = [person(3, 1500, score=0.2), person(1, 1000, score=0.3), person(5, 500, score=0.2)]
    shifts = [round(result["keypoints"][0] - 50) for result in keypoint_results(persons, 1)]
    assert shifts == [1000, 500, 1500]


def test_keypoints_decide_over_detections():
    sure, vague = person(0, 0, keypoint_score=0.9, score=0.5), person(1, 1, keypoint_score=0.3, score=0.9)
    (result,) = keypoint_results([vague, sure], 1)
    assert result["score"] == pytest.approx(0.45)


def test_of_a_repeated_number_the_first_counts():
    persons = [person(4, 500, score=0.3), person(2, 0, score=0.2), person(4, 1000, score=0.9)]
    results = keypoint_results(persons, 1)
    assert [result["score"] for result in results] == pytest.approx([0.15, 0.1])


def test_the_area_is_the_padded_box():
    assert person(side=0.5).area == AREA
    assert person()._replace(scale=np.array([0.3, 0.4])).area == pytest.approx(60 * 80, rel=1e-6)
    apart = [person(0, 0, score=0.9, side=side) for side in (0.5, 5)], [person(1, 6, side=side) for side in (0.5, 5)]
    assert [len(keypoint_results([one, other], 1)) for one, other in zip(*apart, strict=True)] == [2, 1]


# Average precision


def world(num_images: int = 2) -> dict:
    """A person in each photograph, a large one in that of an odd id."""
    points = STANDING.astype(float).copy()
    points[:, 2] = 2
    common = {"category_id": 1, "iscrowd": 0, "num_keypoints": 17, "keypoints": points.flatten().tolist()}
    boxes = {"bbox": [40, 20, 130, 200]}
    areas = {0: 5000.0, 1: 12_000.0}
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 300, "height": 300} for i in range(1, num_images + 1)],
        "annotations": [
            {"id": i, "image_id": i, "area": areas[i % 2], **common, **boxes} for i in range(1, num_images + 1)
        ],
        "categories": [{"id": 1, "name": "person"}],
    }


def shift_for(similarity: float, area: float) -> float:
    """The shift of all joints at which the similarity is the wanted one."""
    low, high = 0.0, 200.0
    for _ in range(60):
        middle = (low + high) / 2
        moved = STANDING.astype(float) + np.array([middle, 0, 0])
        low, high = (middle, high) if plain_oks(STANDING, moved, area) > similarity else (low, middle)
    return low


def test_what_is_found_exactly_is_worth_1():
    results = [result for image in (1, 2) for result in keypoint_results([person()], image)]
    assert average_precision(world(), results) == pytest.approx(dict.fromkeys(STATS, 1.0))


@pytest.mark.parametrize(("similarity", "passed"), [(0.49, 0), (0.51, 1), (0.72, 5), (0.77, 6), (0.94, 9), (0.96, 10)])
def test_a_shifted_person_passes_the_thresholds_below_its_similarity(similarity, passed):
    results = keypoint_results([person(shift=shift_for(similarity, 12_000))], 1)
    stats = average_precision(world(1), results)
    assert [stats[name] for name in ("AP", "AR", "APl", "ARl")] == pytest.approx([passed / 10] * 4)
    assert (stats["AP50"], stats["AP75"]) == pytest.approx((float(passed > 0), float(passed > 5)))
    assert (stats["AR50"], stats["AR75"]) == pytest.approx((float(passed > 0), float(passed > 5)))
    assert stats["APm"] == stats["ARm"] == -1


def test_sizes_are_told_apart():
    stats = average_precision(world(), keypoint_results([person()], 1))
    assert (stats["APl"], stats["ARl"], stats["APm"], stats["ARm"]) == pytest.approx((1, 1, 0, 0))
    assert stats["AR"] == pytest.approx(0.5)
    assert stats["AP"] == pytest.approx(51 / 101)  # precision 1 at the recalls 0 .. 0.5 of 0, 0.01 .. 1


def test_a_false_person_of_a_better_score_halves_the_precision():
    results = keypoint_results([person(0, score=0.5), person(1, shift=900, score=0.9)], 1)
    stats = average_precision(world(1), results)
    assert (stats["AP"], stats["AR"]) == pytest.approx((0.5, 1))


def test_only_the_given_images_count():
    results = keypoint_results([person()], 1)
    assert average_precision(world(), results, [1])["AP"] == pytest.approx(1)
    assert average_precision(world(), results, iter((2,)))["AP"] == 0
    both = average_precision(world(), results, [2, 1, 2])
    assert both == average_precision(world(), results)


def test_no_result_is_worth_0():
    assert average_precision(world(), []) == dict.fromkeys(STATS, 0.0)
    assert average_precision(world(), [], [1])["AP"] == 0
    assert average_precision(world(), [], [1])["APm"] == -1
    assert set(average_precision(world(0), []).values()) == {-1.0}
    assert set(average_precision(world(), [], []).values()) == {-1.0}


def test_it_is_silent_and_changes_nothing(capfd):
    annotations, results = world(), keypoint_results([person()], 1)
    before = copy.deepcopy((annotations, results))
    average_precision(annotations, results)
    average_precision(annotations, [])
    assert (annotations, results) == before
    assert capfd.readouterr() == ("", "")


def test_the_sigmas_are_cocos():
    params = pytest.importorskip("pycocotools.cocoeval").Params(iouType="keypoints")
    np.testing.assert_allclose(SIGMAS, params.kpt_oks_sigmas, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda a: a.pop("images"), r"^the keypoint annotations have no list images; download COCO's again$"),
        (lambda a: a.update(annotations={}), r"^the keypoint annotations have no list annotations; download"),
        (lambda a: a.pop("categories"), r"^the keypoint annotations have no list categories; download"),
        (lambda a: a["annotations"][1].pop("num_keypoints"), r"'id': 2.* in annotations of .* has no num_keypoints$"),
        (lambda a: a["annotations"][0].pop("iscrowd"), r"in annotations of the keypoint annotations has no iscrowd$"),
        (lambda a: a["images"].append(7), r"^7 in images of the keypoint annotations has no id$"),
    ],
)
def test_what_the_annotations_lack_is_named(change, sentence):
    annotations = world()
    change(annotations)
    with pytest.raises(ValueError, match=sentence):
        average_precision(annotations, [])


def test_annotations_of_another_kind_and_of_other_photographs():
    with pytest.raises(ValueError, match="have no list images"):
        average_precision([], [])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^image 3 has keypoints but is not in the annotations; detections and "):
        average_precision(world(), keypoint_results([person()], 3))


def test_only_average_precision_needs_pycocotools():
    code = "import sys; sys.modules['pycocotools'] = None; import eval.metrics.keypoints"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


# Stored cases


@pytest.mark.parametrize("name", ["oks_nms", "decode_ap"])
def test_the_stored_case_passes(name):
    checks = CHECKS[f"07_pose/{name}"](GOLDEN / f"{name}.npz")
    assert {key: values for key, values in checks.items() if not values[0] <= values[1]} == {}


@pytest.fixture(scope="module")
def content() -> dict:
    return json.loads((GOLDEN / "decode_ap.json").read_text())


@pytest.mark.parametrize(
    ("path", "value", "caught"),
    [
        (("result_keypoints", 0, "score"), 0.67, "result_score"),
        (("result_keypoints", 2, "keypoints", 1), -12.96, "result_keypoints"),
        (("result_keypoints", 1, "image_id"), 107, "result_image_id"),
        (("result_keypoints", 3, "center", 0), 130.3, "result_center"),
        (("stats", "AP (M)"), 0.924, "stats"),
        (("stats", "AR .5"), 0.999, "stats"),
        (("detections", 0, "score"), 0.63, "detections"),
        (("detections", 2, "category_id"), 1, "detections"),
    ],
)
def test_a_changed_stored_value_fails(tmp_path, content, path, value, caught):
    changed = copy.deepcopy(content)
    at = changed
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    (tmp_path / "decode_ap.npz").symlink_to(GOLDEN / "decode_ap.npz")
    (tmp_path / "decode_ap.json").write_text(json.dumps(changed))
    error, tolerance = CHECKS["07_pose/decode_ap"](tmp_path / "decode_ap.npz")[caught]
    assert error > tolerance


@pytest.mark.parametrize(("key", "caught"), [("keep_0", "keep_0"), ("oks_1", "oks_1"), ("areas_3", "oks_3")])
def test_a_changed_stored_array_fails(tmp_path, key, caught):
    with np.load(GOLDEN / "oks_nms.npz") as file:
        stored = dict(file)
    stored[key] = np.flip(stored[key], axis=0)
    np.savez(tmp_path / "oks_nms.npz", **stored)
    error, tolerance = CHECKS["07_pose/oks_nms"](tmp_path / "oks_nms.npz")[caught]
    assert error > tolerance
