"""The merge and panoptic quality against plain loops over masks; stored cases; refusals."""

import json
import math
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data.coco import CATEGORIES
from eval.metrics.panoptic import merge, panoptic_scores, per_class, quality_record
from tools.golden.panoptic import CHECKS

GOLDEN = Path(__file__).parents[2] / "golden/eval"
PERSON, CAR, SKY = 1, 3, 187
WRONG_ARRAYS = {  # array -> what fails by it
    "inst_scores_1": "clear_scores_inst_1",
    "inst_category_id_2": "category_id_inst_2",
    "inst_masks_packed_0": "masks_not_shared_inst_0",
    "withnms_scores_4": "clear_scores_withnms_4",
    "withnms_category_id_0": "category_id_withnms_0",
    "run0_panoptic_2": "run0_panoptic_2",
    "run3_panoptic_4": "run3_panoptic_4",
}
WRONG_FACTS = {
    ("runs", 1, "results", "SQ_st"): "run1_SQ_st",
    ("runs", 0, "per_class", "28", "rq"): "run0_per_class",
    ("runs", 3, "n", "Stuff"): "run3_n",
    ("runs", 1, "segments_info", 4, "segments", 8, "area"): "segments_run1_4",
    ("runs", 2, "segments_info", 0, "segments", 0, "score"): "segment_scores_run2_0",
    ("inst_coco_stats", 0, "AP"): "inst_coco_stats_0_ours",
    ("inst_coco_stats", 1, "APm"): "inst_coco_stats_1_stored",
    ("inst_coco_stats_with_nms", 2, "ARs"): "inst_coco_stats_with_nms_2_ours",
}


def plainly_merged(masks, scores, classes, semantic, overlap, stuff_area, score_thr):
    """The rule, mask by mask."""
    panoptic, segments = np.zeros(semantic.shape, int), []
    for i in sorted(range(len(scores)), key=lambda i: -scores[i]):
        area, taken = masks[i].sum(), (masks[i] & (panoptic > 0)).sum()
        if scores[i] < score_thr or area == 0 or taken / area > overlap:
            continue
        thing = {"isthing": True, "score": scores[i], "category_id": CATEGORIES[classes[i]].id, "instance_id": i}
        segments.append({"id": len(segments) + 1} | thing)
        panoptic[masks[i] & (panoptic == 0)] = len(segments)
    for number in [number for number in range(80, 133) if (semantic == number).any()]:
        free = (semantic == number) & (panoptic == 0)
        if free.sum() >= stuff_area:
            stuff = {"isthing": False, "category_id": CATEGORIES[number].id, "area": free.sum()}
            segments.append({"id": len(segments) + 1} | stuff)
            panoptic[free] = len(segments)
    return panoptic, segments


@settings(max_examples=60)
@given(st.integers(0, 1 << 30), st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.integers(0, 9))
def test_the_merge_is_the_rule_mask_by_mask(seed, overlap, stuff_area):
    rng = np.random.default_rng(seed)
    num = rng.integers(0, 7)
    masks = rng.integers(0, 4, (num, 4, 6)) > rng.integers(0, 4, (num, 1, 1))
    scores = rng.choice(np.float32([0, 0.25, 0.5, 0.55, 0.75, 1]), num)
    classes, semantic = rng.integers(0, 80, num), rng.integers(78, 84, (4, 6), dtype=np.uint8)
    inputs = [torch.from_numpy(x) for x in (masks, scores, classes, semantic)]
    panoptic, segments = merge(*inputs, overlap, stuff_area, 0.5)
    due, due_segments = plainly_merged(masks, scores.tolist(), classes, semantic, overlap, stuff_area, 0.5)
    np.testing.assert_array_equal(panoptic, due)
    assert segments == due_segments
    assert json.loads(json.dumps(segments)) == segments


def test_limits_are_passed_by_what_is_equal_to_them():
    """Half of a mask may be taken, a score may be the threshold, stuff may have just so many pixels."""
    masks = torch.zeros(3, 2, 6, dtype=torch.bool)
    masks[0, 0, :4] = masks[1, 0, 2:6] = masks[2, 0, 1:6] = True
    inputs = masks, torch.tensor([0.75, 0.5, 0.5]), torch.tensor([0, 2, 0]), torch.full((2, 6), 119)
    panoptic, segments = merge(*inputs, 0.5, 6, 0.5)
    assert panoptic.tolist() == [[1, 1, 1, 1, 2, 2], [3] * 6]
    assert [segment["category_id"] for segment in segments] == [PERSON, CAR, CATEGORIES[119].id]
    assert len(merge(*inputs, 0.49, 6, 0.5)[1]) == 2
    assert len(merge(*inputs, 0.5, 7, 0.5)[1]) == 2
    assert len(merge(*inputs, 0.5, 9, 0.51)[1]) == 1


def test_the_defaults_are_the_papers():
    masks = torch.zeros(3, 128, 128, dtype=torch.bool)
    masks[0, 0], masks[1, 1], masks[2, 0, :65], masks[2, 2, :64] = True, True, True, True
    semantic = torch.full((128, 128), 80)
    semantic[64:] = 81  # 8192 pixels; less of the other are free
    _, segments = merge(masks, torch.tensor([0.9, 0.5499, 0.55]), torch.zeros(3, dtype=torch.int), semantic)
    assert [segment.get("instance_id", segment["category_id"]) for segment in segments] == [0, CATEGORIES[81].id]


def plain_record(pred, pred_segments, truth, truth_segments):
    """The definition, pair by pair of masks."""
    record = {category.id: [0.0, 0, 0, 0] for category in CATEGORIES}
    found, crowds = set(), [segment for segment in truth_segments if segment["iscrowd"]]
    for true in [segment for segment in truth_segments if not segment["iscrowd"]]:
        a, entry = truth == true["id"], record[true["category_id"]]
        for segment in pred_segments:
            b = (pred == segment["id"]) & (truth != 0)
            iou = (a & b).sum() / (a | b).sum() if (a & b).any() else 0
            if segment["category_id"] == true["category_id"] and iou > 0.5:
                found |= {id(true), id(segment)}
                entry[0] += iou
                entry[1] += 1
        entry[3] += id(true) not in found
    for segment in pred_segments:
        alike = [crowd["id"] for crowd in crowds if crowd["category_id"] == segment["category_id"]]
        excused = np.isin(truth[pred == segment["id"]], [0, *alike]).mean() > 0.5
        record[segment["category_id"]][2] += id(segment) not in found and not excused
    return {category: entry for category, entry in record.items() if any(entry)}


@settings(max_examples=80)
@given(st.integers(0, 1 << 30))
def test_quality_is_the_definition_pair_by_pair(seed):
    rng = np.random.default_rng(seed)
    truth = np.kron(rng.integers(0, 7, (3, 4)), np.ones((3, 3), int))
    pred = np.where(rng.random(truth.shape) < rng.choice([0, 0.25, 0.5]), rng.integers(0, 7, truth.shape), truth)
    categories = rng.choice([PERSON, CAR, SKY], 7).tolist()
    truth_segments = [{"id": i * 1000, "category_id": c, "iscrowd": 0} for i, c in enumerate(categories) if i]
    for segment in truth_segments[: rng.integers(0, 3)]:
        segment["iscrowd"] = int(
            segment["category_id"] not in [x["category_id"] for x in truth_segments if x["iscrowd"]]
        )
    if rng.random() < 0.3:
        categories = rng.permutation(categories).tolist()
    pred_segments = [{"id": i, "category_id": categories[i]} for i in np.unique(pred).tolist() if i]
    arguments = (pred, pred_segments, truth * 1000, truth_segments)
    record, due = quality_record(*arguments), plain_record(*arguments)
    assert record.keys() == due.keys()
    for category, entry in record.items():
        assert entry == pytest.approx(due[category], abs=1e-12)
    assert json.loads(json.dumps(record)) == {str(category): entry for category, entry in record.items()}


def sure(pixels: int, **change):
    """A row of 8: a true car on 4 pixels next to a crowd of cars on 2 and void, and `pixels` of it predicted."""
    truth = np.array([[900, 900, 900, 900, 70_000, 70_000, 0, 0]])
    segments = [
        {"id": 900, "category_id": CAR, "iscrowd": 0},
        {"id": 70_000, "category_id": change.get("crowd", CAR), "iscrowd": 1},
    ]
    return quality_record(np.array([pixels]), [{"id": 1, "category_id": CAR}], truth, segments)


def test_bounds_of_a_match_and_of_what_is_excused():
    assert sure([1, 1, 0, 0, 0, 0, 0, 0]) == {CAR: [0, 0, 1, 1]}  # IoU 1/2 is too little
    assert sure([1, 1, 1, 0, 0, 0, 1, 1]) == {CAR: [0.75, 1, 0, 0]}  # void is not counted
    assert sure([1, 1, 1, 0, 1, 0, 0, 0]) == {CAR: [0.6, 1, 0, 0]}  # a crowd is
    assert sure([1, 0, 0, 0, 0, 0, 1, 0]) == {CAR: [0, 0, 1, 1]}  # just half of it on void
    assert sure([1, 0, 0, 0, 1, 0, 1, 0]) == {CAR: [0, 0, 0, 1]}
    assert sure([0, 0, 0, 0, 1, 1, 0, 0], crowd=PERSON) == {CAR: [0, 0, 1, 1]}
    assert sure([0, 0, 0, 0, 1, 1, 0, 0]) == {CAR: [0, 0, 0, 1]}


def test_scores_by_hand():
    records = [{PERSON: [1.5, 2, 1, 0]}, {str(PERSON): [0.75, 1, 0, 1], str(SKY): [0.0, 0, 0, 2]}, {}]
    assert per_class(records) == {
        PERSON: {"pq": 2.25 / 4, "sq": 0.75, "rq": 0.75},
        SKY: {"pq": 0, "sq": 0, "rq": 0},
    }
    half, whole = {"PQ": 28.125, "SQ": 37.5, "RQ": 37.5}, {"PQ_th": 56.25, "SQ_th": 75, "RQ_th": 75}
    assert panoptic_scores(records) == half | whole | {"PQ_st": 0, "SQ_st": 0, "RQ_st": 0}


def test_the_order_of_images_changes_no_bit():
    rng = np.random.default_rng(0)
    records = [{PERSON: [float(iou), 1, 0, 1], SKY: [float(iou) / 3, 1, 1, 0]} for iou in rng.random(999)]
    scores = panoptic_scores(records)
    assert panoptic_scores(records[::-1]) == panoptic_scores(records[500:] + records[:500]) == scores


def test_a_group_without_category_has_no_score():
    scores = panoptic_scores([{PERSON: [1.0, 1, 0, 0]}])
    assert scores["PQ"] == scores["PQ_th"] == 100
    assert math.isnan(scores["PQ_st"])
    assert all(math.isnan(score) for score in panoptic_scores([]).values())


def test_nothing_predicted_and_nothing_labelled_are_fine():
    void = np.zeros((2, 3), np.int32)
    car, segments = np.full((2, 3), 9), [{"id": 9, "category_id": CAR, "iscrowd": 0}]
    assert quality_record(void, [], car, segments) == {CAR: [0, 0, 0, 1]}
    assert quality_record(car, segments, void, []) == {}
    assert quality_record(void, [], void, []) == {}


@pytest.mark.parametrize(
    ("pred", "listed", "message"),
    [
        ([[0, 4, 7]], [4], "the predicted map shows segment 7, which the list of its segments lacks"),
        ([[0, 4, 4]], [4, 5], "the list of predicted segments has 5, which their map does not show"),
        ([[4, 4]], [4], r"the predicted map is \(1, 2\), the true one \(1, 3\)"),
    ],
)
def test_what_does_not_agree_is_refused(pred, listed, message):
    segments = [{"id": i, "category_id": CAR} for i in listed]
    with pytest.raises(ValueError, match=message):
        quality_record(np.array(pred), segments, np.zeros((1, 3), int), [])


@pytest.mark.parametrize("predicted", [True, False])
def test_an_unknown_category_is_refused(predicted):
    ids, strange = np.full((1, 2), 3), [{"id": 3, "category_id": 12, "iscrowd": 0}]
    maps = (ids, strange, ids, []) if predicted else (ids * 0, [], ids, strange)
    with pytest.raises(ValueError, match="segment 3 is of category 12, which COCO lacks"):
        quality_record(*maps)


def failed(name: str, path: Path) -> set[str]:
    return {key for key, (error, tolerance) in CHECKS[name](path).items() if not error <= tolerance}


@pytest.mark.parametrize("name", CHECKS)
def test_stored_cases(name):
    assert not failed(name, GOLDEN / f"{name}.npz")


def change_arrays(path: Path, names: Iterable[str]) -> None:
    with np.load(path) as file:
        content = dict(file)
    for name in names:
        array = content[name]
        content[name] = array ^ 16 if array.dtype.kind in "ui" else array + np.float32(0.03)
    np.savez(path, **content)


@pytest.mark.parametrize("name", ["panoptic_1", "masks_2", "semantic_0", "classes_3", "scores_0"])
def test_a_wrong_array_of_the_merge_fails(name, tmp_path):
    path = Path(shutil.copytree(GOLDEN / "06_instance_panoptic", tmp_path / "family")) / "merge.npz"
    change_arrays(path, [name])
    assert failed("06_instance_panoptic/merge", path)


def test_wrong_values_of_the_chain_fail(tmp_path):
    """Many are changed at once, as it takes seconds; wrong instances change their AP too, but no panoptic map."""
    path = Path(shutil.copytree(GOLDEN / "06_instance_panoptic", tmp_path / "family")) / "panoptic_end2end.npz"
    change_arrays(path, WRONG_ARRAYS)
    facts = json.loads(path.with_suffix(".json").read_text())
    for *keys, last in WRONG_FACTS:
        entry = facts
        for key in keys:
            entry = entry[key]
        entry[last] += 0.02 if isinstance(entry[last], float) else 1
    path.with_suffix(".json").write_text(json.dumps(facts))
    found = failed("06_instance_panoptic/panoptic_end2end", path)
    due = {*WRONG_ARRAYS.values(), *WRONG_FACTS.values()}
    assert due <= found
    assert {key for key in found if "run" in key} <= due
