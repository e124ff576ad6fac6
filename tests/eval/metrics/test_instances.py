"""Records hold their masks; AP of cases that can be counted by hand; nothing at all is fine too."""

import json

import numpy as np
import pytest
import torch
from pycocotools import mask as mask_utils

from eval.metrics.instances import STATS, average_precision, instance_record, truth_record

SIZE = (40, 50)
PERSON, CAR, SKY = 1, 3, 187


def scene(*categories: int, crowd: int = -1):
    """A map of vertical bars 10 wide and 40 high, ids 300, 301, ..., and its segments."""
    ids = np.zeros(SIZE, np.int32)
    for i in range(len(categories)):
        ids[:, 10 * i : 10 * i + 10] = 300 + i
    return ids, [{"id": 300 + i, "category_id": c, "iscrowd": int(i == crowd)} for i, c in enumerate(categories)]


def bars(*places: int) -> torch.Tensor:
    """Masks of the bars at these places."""
    masks = torch.zeros(len(places), *SIZE, dtype=torch.bool)
    for mask, place in zip(masks, places, strict=True):
        mask[:, 10 * place : 10 * place + 10] = True
    return masks


def ap(truths, preds, class_aware=True):
    return average_precision(truths, preds, [SIZE] * len(truths), class_aware)


def test_a_prediction_keeps_its_masks_through_json():
    masks = torch.rand(5, 7, 9, generator=torch.Generator().manual_seed(0)) < torch.arange(5)[:, None, None] / 4
    record = instance_record(masks, torch.tensor([0.9, 0.8, 0.5, 0.5, 0]), [1, 90, 3, 3, 17])
    assert [entry["category_id"] for entry in record] == [1, 90, 3, 3, 17]
    assert [entry["score"] for entry in record] == torch.tensor([0.9, 0.8, 0.5, 0.5, 0]).tolist()
    read = [entry["segmentation"] for entry in json.loads(json.dumps(record))]
    assert [code["size"] for code in read] == [[7, 9]] * 5
    np.testing.assert_array_equal(mask_utils.decode(read).transpose(2, 0, 1), masks)


def test_the_truth_is_the_things_of_the_map():
    ids, segments = scene(PERSON, SKY, CAR, crowd=2)
    ids[:7, 20:24] = 0
    record = json.loads(json.dumps(truth_record(ids, segments[::-1])))
    assert [(entry["category_id"], entry["iscrowd"], entry["area"]) for entry in record] == [
        (CAR, 1, 400 - 28),
        (PERSON, 0, 400),
    ]
    assert [entry["bbox"] for entry in record] == [[20, 0, 10, 40], [0, 0, 10, 40]]
    masks = mask_utils.decode([entry["segmentation"] for entry in record]).transpose(2, 0, 1)
    np.testing.assert_array_equal(masks, [ids == 302, ids == 300])


def test_all_found_and_nothing_printed(capsys):
    truths = [truth_record(*scene(PERSON, CAR)), truth_record(*scene(CAR, SKY))]
    preds = [
        instance_record(bars(0, 1), torch.tensor([0.9, 0.2]), [PERSON, CAR]),
        instance_record(bars(0), torch.tensor([0.1]), [CAR]),
    ]
    for class_aware in (True, False):
        stats = ap(json.loads(json.dumps(truths)), json.loads(json.dumps(preds)), class_aware)
        assert tuple(stats) == STATS
        assert stats["AP"] == stats["AP50"] == stats["AP75"] == stats["AR100"] == pytest.approx(1)
        assert stats["APs"] == pytest.approx(1)
        assert stats["APm"] == stats["APl"] == stats["ARm"] == stats["ARl"] == -1
        assert stats["AR1"] == pytest.approx(1 if class_aware else 2 / 3)
    assert capsys.readouterr() == ("", "")


def test_a_wrong_one_first_halves_the_precision():
    truths = [truth_record(*scene(PERSON))]
    stats = ap(truths, [instance_record(bars(3, 0), torch.tensor([0.9, 0.8]), [PERSON, PERSON])])
    assert stats["AP"] == pytest.approx(0.5)
    assert (stats["AR1"], stats["AR10"]) == (0, 1)
    assert ap(truths, [instance_record(bars(3, 0), torch.tensor([0.8, 0.9]), [PERSON] * 2)])["AP"] == pytest.approx(1)


def test_only_masks_that_overlap_enough_count():
    """8 of 10 columns: IoU 0.8 passes 7 of the 10 thresholds."""
    masks = bars(0)
    masks[:, :, 8:] = False
    stats = ap([truth_record(*scene(CAR))], [instance_record(masks, torch.ones(1), [CAR])])
    assert (stats["AP"], stats["AP50"], stats["AP75"]) == pytest.approx((0.7, 1, 1))


def test_classes_count_only_if_asked():
    truths, preds = [truth_record(*scene(PERSON))], [instance_record(bars(0), torch.ones(1), [CAR])]
    assert ap(truths, preds, class_aware=True)["AP"] == 0
    assert ap(truths, preds, class_aware=False)["AP"] == pytest.approx(1)


def test_a_crowd_excuses_what_lies_on_it():
    preds = [instance_record(bars(1, 0), torch.tensor([0.9, 0.8]), [PERSON, PERSON])]
    assert ap([truth_record(*scene(PERSON, PERSON, crowd=1))], preds)["AP"] == pytest.approx(1)


def test_sizes_of_predictions_count_with_classes_only():
    """A wrong mask of medium size spoils APm; without classes the original takes it for a small one."""
    ids = np.zeros((80, 80), np.int32)
    ids[:40, :40] = 5
    masks = torch.zeros(2, 80, 80, dtype=torch.bool)
    masks[0, 40:] = masks[1, :40, :40] = True
    truths = [truth_record(ids, [{"id": 5, "category_id": CAR, "iscrowd": 0}])]
    preds = [instance_record(masks, torch.tensor([0.9, 0.8]), [CAR, CAR])]
    aware, agnostic = (average_precision(truths, preds, [(80, 80)], both) for both in (True, False))
    assert aware["AP"] == agnostic["AP"] == aware["APm"] == pytest.approx(0.5)
    assert agnostic["APm"] == pytest.approx(1)


def test_nothing_predicted_or_nothing_true():
    truth, pred = truth_record(*scene(PERSON)), instance_record(bars(0), torch.ones(1), [PERSON])
    nothing = instance_record(bars(), torch.ones(0), [])
    empty = instance_record(torch.zeros(1, *SIZE, dtype=torch.bool), torch.zeros(1), [PERSON])
    for class_aware in (True, False):
        assert nothing == []
        assert ap([truth, truth], [[], []], class_aware)["AP"] == 0
        assert ap([truth], [empty], class_aware)["AP"] == 0
        assert set(ap([[]], [pred], class_aware).values()) == {-1}
        assert set(ap([[]], [[]], class_aware).values()) == {-1}
        assert ap([truth, []], [pred, []], class_aware)["AP"] == pytest.approx(1)
        assert ap([truth, truth], [[], pred], class_aware)["AR100"] == pytest.approx(0.5)
