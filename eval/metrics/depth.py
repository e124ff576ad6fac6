"""Depth: nine errors of an image over its valid pixels, as Eigen et al. and those after them report them.

In float32, as published numbers are computed: a pixel whose ratio is exactly 1.25 then falls on the same side, and
the nine differ from float64 by about 1e-7 of their value.
"""

from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Crop = Literal["eigen", "garg", "none"]
MIN_DEPTH, MAX_DEPTH = np.float32(1e-3), np.float32(10)  # metres, both outside

_WINDOWS: dict[Crop, tuple[Fraction, ...]] = {  # top and bottom as shares of the height, left and right of the width
    "eigen": (Fraction(45, 480), Fraction(471, 480), Fraction(41, 640), Fraction(601, 640)),
    "garg": (Fraction("0.40810811"), Fraction("0.99189189"), Fraction("0.03594771"), Fraction("0.96405229")),
    "none": (Fraction(0), Fraction(1), Fraction(0), Fraction(1)),
}


def depth_errors(pred_mm: NDArray[Any], truth_mm: NDArray[Any], crop: Crop = "eigen") -> dict[str, float]:
    """Millimetres (H, W) -> the errors of `compute_errors`, over pixels in the crop whose truth is in .001 .. 10 m.

    Both ends are outside; predictions are clipped to them. Crops are for 480 x 640 (Eigen: rows 45..470, columns
    41..600) and scale with the image, rounded down. ValueError on different sizes, and without a valid pixel.
    """
    if pred_mm.shape != truth_mm.shape:
        raise ValueError(f"the prediction is {pred_mm.shape} but the truth {truth_mm.shape}; give both at one size")
    window = _window(truth_mm.shape, crop)
    pred, truth = (mm[window].astype(np.float32) / np.float32(1000) for mm in (pred_mm, truth_mm))
    valid = (truth > MIN_DEPTH) & (truth < MAX_DEPTH)
    if not valid.any():
        raise ValueError(f"no depth of the truth lies between 1 and 10000 mm inside the crop ({crop})")
    return compute_errors(truth[valid], pred[valid].clip(MIN_DEPTH, MAX_DEPTH))


def compute_errors(truth: NDArray[np.float32], pred: NDArray[np.float32]) -> dict[str, float]:
    """Positive metres (N,) -> the nine errors; d1, d2, d3: shares whose ratio is below 1.25, 1.25^2, 1.25^3.

    ValueError on different or no numbers.
    """
    if truth.shape != pred.shape or not truth.size:
        raise ValueError(f"{pred.size} predictions for {truth.size} depths; give one for each, and at least one")
    difference, log_ratio = truth - pred, np.log(pred) - np.log(truth)
    mean_square = np.mean(log_ratio**2)
    variance = mean_square - np.mean(log_ratio) ** 2
    ratio = np.maximum(truth / pred, pred / truth)
    return {
        "silog": 100 * float(np.sqrt(max(variance, 0))),  # of equal ratios, rounding may leave less than 0
        "log10": float(np.mean(np.abs(np.log10(pred) - np.log10(truth)))),
        "abs_rel": float(np.mean(np.abs(difference) / truth)),
        "sq_rel": float(np.mean(difference**2 / truth)),
        "rms": float(np.sqrt(np.mean(difference**2))),
        "log_rms": float(np.sqrt(mean_square)),
        **{f"d{k}": float(np.mean(ratio < 1.25**k)) for k in (1, 2, 3)},
    }


def _window(size: tuple[int, ...], crop: Crop) -> tuple[slice, slice]:
    h, w = size
    top, bottom, left, right = _WINDOWS[crop]
    return slice(int(top * h), int(bottom * h)), slice(int(left * w), int(right * w))
