"""Semantic scores: each number by counting pixels one by one, and the stored cases."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from eval.metrics.semantic import confusion, dense, per_class, semantic_scores, sparse
from tools.golden.metrics import CHECKS

GOLDEN = Path(__file__).parents[2] / "golden/eval"
NUM = 5


def maps(seed: int, size: tuple[int, int] = (7, 9)) -> tuple[np.ndarray, np.ndarray]:
    """Of NUM classes, the truth lacks 3, and no map has 4; some pixels are not labelled."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(np.array([0, 1, 2, 255], np.uint8), size)
    pred = np.where(rng.random(size) < 0.5, truth, rng.integers(0, 4, size)).astype(np.uint8)
    return np.where(pred == 255, 3, pred).astype(np.uint8), truth


def pixels(pred: np.ndarray, truth: np.ndarray) -> list[tuple[int, int]]:
    return list(zip(pred.ravel().tolist(), truth.ravel().tolist(), strict=True))


@pytest.mark.parametrize("seed", range(3))
def test_confusion_counts_pixels(seed):
    pred, truth = maps(seed)
    expected = np.zeros((NUM + 1, NUM + 1), int)
    for p, t in pixels(pred, truth):
        expected[p, NUM if t == 255 else t] += 1
    matrix = confusion(pred, truth, NUM)
    assert matrix.dtype == np.int64
    np.testing.assert_array_equal(matrix, expected)


@pytest.mark.parametrize("seed", range(3))
def test_scores_by_their_definition(seed):
    """Only over labelled pixels and over classes that the truth has, though class 3 is predicted."""
    found = [(p, t) for p, t in pixels(*maps(seed)) if t != 255]
    iou, accuracy, share = {}, {}, {}
    for k in (0, 1, 2):
        right = sum(p == t == k for p, t in found)
        true = sum(t == k for _, t in found)
        iou[k] = 100 * right / sum(k in pair for pair in found)
        accuracy[k], share[k] = 100 * right / true, true / len(found)
    expected = {
        "mIoU": sum(iou.values()) / 3,
        "fwIoU": sum(iou[k] * share[k] for k in iou),
        "mACC": sum(accuracy.values()) / 3,
        "pACC": 100 * sum(p == t for p, t in found) / len(found),
    }
    matrix = confusion(*maps(seed), NUM)
    assert semantic_scores(matrix) == pytest.approx(expected, abs=1e-12)
    for ours, values in zip(per_class(matrix), (iou, accuracy), strict=True):
        np.testing.assert_allclose(ours, [*values.values(), np.nan, np.nan], atol=1e-12)


def test_a_class_that_is_there_but_never_found_counts_as_0():
    scores = semantic_scores(confusion(np.uint8([[0, 0]]), np.uint8([[0, 1]]), 3))
    assert scores == {"mIoU": 25, "fwIoU": 25, "mACC": 50, "pACC": 50}


def test_without_labels_there_is_no_score():
    matrix = confusion(np.zeros((2, 2), np.uint8), np.full((2, 2), 255, np.uint8), NUM)
    scores = semantic_scores(matrix)
    assert scores.pop("fwIoU") == 0
    assert np.isnan(list(scores.values())).all()
    assert list(scores) == ["mIoU", "mACC", "pACC"]
    assert np.isnan(per_class(matrix)).all()


def test_cells_of_images_add_up_to_the_matrix_of_all():
    cells = [cell for seed in range(4) for cell in json.loads(json.dumps(sparse(confusion(*maps(seed), NUM))))]
    whole = [np.concatenate(side) for side in zip(*map(maps, range(4)), strict=True)]
    np.testing.assert_array_equal(dense(cells, NUM), confusion(*whole, NUM))


def test_cells_are_few():
    assert sparse(confusion(np.uint8([[2, 2, 0]]), np.uint8([[1, 1, 255]]), 3)) == [[0, 3, 1], [2, 1, 2]]
    assert sparse(np.zeros((3, 3), np.int64)) == []
    np.testing.assert_array_equal(dense([], 2), np.zeros((3, 3)))


@pytest.mark.parametrize(
    ("pred", "truth", "message"),
    [
        ([[0, 3]], [[0, 0]], "the prediction has class 3, but the classes are 0..2"),
        ([[0, 255]], [[0, 255]], "the prediction has class 255, but the classes are 0..2"),
        ([[0, 0]], [[3, 255]], "the truth has class 3, but the classes are 0..2"),
        ([[0, 0]], [[0], [0]], r"the prediction is \(1, 2\) but the truth \(2, 1\)"),
    ],
)
def test_wrong_maps(pred, truth, message):
    with pytest.raises(ValueError, match=message):
        confusion(np.uint8(pred), np.uint8(truth), 3)


@pytest.mark.parametrize("cell", [[4, 0, 1], [0, 4, 1]])
def test_cells_of_other_classes(cell):
    with pytest.raises(ValueError, match="class 4 is counted, but there are 3"):
        dense([[3, 3, 1], cell], 3)


CHANGES = {
    "04_semantic_metrics/ade_end2end": ["conf_square", "iou_abs", "acc_mean"],
    "04_semantic_metrics/coco_end2end": ["conf_abs", "iou_abs", "acc_abs"],
    "04_semantic_metrics/matrices": ["conf_2", "iou_1", "acc_4", "maps_conf", "maps_pred_1"],
}


def failed(name: str, path: Path) -> set[str]:
    return {key for key, (error, tolerance) in CHECKS[name](path).items() if not error <= tolerance}


@pytest.mark.parametrize("name", CHANGES)
def test_stored_cases(name):
    assert not failed(name, GOLDEN / f"{name}.npz")


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, keys in CHANGES.items() for key in keys])
def test_a_wrong_stored_value_fails(name, key, tmp_path):
    path = Path(shutil.copytree((GOLDEN / name).parent, tmp_path / "family")) / f"{Path(name).name}.npz"
    with np.load(path) as file:
        content = dict(file)
    content[key].flat[np.flatnonzero(content[key] < 90)[0]] += 1
    np.savez(path, **content)
    assert failed(name, path)


@pytest.mark.parametrize("value", ["5.029683967232706", "null"])
def test_a_wrong_stored_score_fails(value, tmp_path):
    path = Path(shutil.copytree(GOLDEN / "04_semantic_metrics", tmp_path / "family"))
    summary = (path / "summary.json").read_text()
    changed = summary.replace(value, "5.0297")
    assert changed != summary
    (path / "summary.json").write_text(changed)
    name = "matrices" if value == "null" else "ade_end2end"
    assert failed(f"04_semantic_metrics/{name}", path / f"{name}.npz") >= {"mIoU_5" if value == "null" else "mIoU_abs"}
