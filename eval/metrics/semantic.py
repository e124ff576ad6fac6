"""Semantic segmentation: every number comes from one matrix, the pixels by predicted and true class."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.tasks.semantic import IGNORE

Matrix = NDArray[np.int64]


def confusion(pred: NDArray[np.uint8], truth: NDArray[np.uint8], num_classes: int) -> Matrix:
    """Class maps (H, W), bytes -> pixels (K + 1, K + 1) by class, rows predicted, columns true.

    Column K holds what is not labelled, truth 255; row K is empty, so that the matrix is square. ValueError on maps
    of different sizes and on a class outside 0 .. K - 1.
    """
    if pred.shape != truth.shape:
        raise ValueError(f"the prediction is {pred.shape} but the truth {truth.shape}; give both at one size")
    _check_classes("prediction", pred, num_classes)
    _check_classes("truth", truth[truth != IGNORE], num_classes)
    column = np.minimum(np.arange(256), num_classes)
    cells = pred.astype(np.int64) * (num_classes + 1) + column[truth]
    return np.bincount(cells.ravel(), minlength=(num_classes + 1) ** 2).reshape(num_classes + 1, -1)


def per_class(matrix: Matrix) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Intersection over union and accuracy (K,) in percent; NaN for a class that no labelled pixel has.

    Predictions on unlabelled pixels do not count.
    """
    right, pred, truth = _counts(matrix)
    iou, accuracy = np.full((2, len(truth)), np.nan)
    there = truth > 0
    iou[there] = 100 * right[there] / (truth + pred - right)[there]
    accuracy[there] = 100 * right[there] / truth[there]
    return iou, accuracy


def semantic_scores(matrix: Matrix) -> dict[str, float]:
    """The mean over classes that the truth has, of IoU (mIoU) and accuracy (mACC); IoU weighted by their pixels
    (fwIoU); the share of pixels that are right (pACC). In percent; without any labelled pixel NaN, but fwIoU 0.
    """
    right, _, truth = _counts(matrix)
    there, total = truth > 0, truth.sum()
    if not total:
        return {"mIoU": np.nan, "fwIoU": 0.0, "mACC": np.nan, "pACC": np.nan}
    iou, accuracy = (values[there] for values in per_class(matrix))
    return {
        "mIoU": float(iou.mean()),
        "fwIoU": float(iou @ (truth[there] / total)),
        "mACC": float(accuracy.mean()),
        "pACC": float(100 * right.sum() / total),
    }


def sparse(matrix: Matrix) -> list[list[int]]:
    """The cells that are not 0, as [predicted, true, pixels]: small, and fit for JSON."""
    rows, columns = matrix.nonzero()
    return np.stack([rows, columns, matrix[rows, columns]], axis=1).tolist()


def dense(cells: Iterable[Sequence[int]], num_classes: int) -> Matrix:
    """The matrix (K + 1, K + 1) of such cells; those of several images, one after the other, add up.

    ValueError on a class above K.
    """
    matrix = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    rows, columns, pixels = np.array(list(cells), np.int64).reshape(-1, 3).T
    if (largest := max(rows.max(initial=0), columns.max(initial=0))) > num_classes:
        raise ValueError(f"class {largest} is counted, but there are {num_classes}; give records of the same classes")
    np.add.at(matrix, (rows, columns), pixels)
    return matrix


def _counts(matrix: Matrix) -> tuple[Any, Any, Any]:
    """Pixels (K,) of each class: rightly predicted, predicted, true; labelled pixels only."""
    labelled = matrix[:-1, :-1]
    return labelled.diagonal(), labelled.sum(axis=1), labelled.sum(axis=0)


def _check_classes(name: str, classes: NDArray[np.uint8], num_classes: int) -> None:
    if (largest := classes.max(initial=0)) >= num_classes:
        raise ValueError(f"the {name} has class {largest}, but the classes are 0..{num_classes - 1}")
