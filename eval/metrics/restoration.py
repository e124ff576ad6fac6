"""Restored images: PSNR and SSIM, each as the paper's tables have it.

Where those tables rest on an unusual SSIM, its function ends in `_paper`, and the usual one, in `_standard`, is
beside it: report both.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

Array = NDArray[Any]

SIGMA, RADIUS = 1.5, 5  # of the Gaussian window: 11 taps
LUMA = np.array([65481.0, 128553, 24966])  # of ITU-R BT.601, thousandfold: sums stay whole


def psnr(pred: Array, truth: Array, peak: float = 1) -> float:
    """Images of one shape, values 0..peak -> decibels, over all values at once; infinite if they are equal."""
    _check_shapes(pred, truth)
    error = float(np.mean((pred.astype(np.float64) - truth) ** 2))
    return 10 * math.log10(peak**2 / error) if error else math.inf


def to_y(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Bytes (H, W, 3) -> luma (H, W), whole values 16..235, halves rounded up; gray (H, W) stays as it is.

    ValueError on any other shape.
    """
    if image.ndim == 2:
        return image.astype(np.float64)
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"the image is {image.shape}; give (height, width, 3) or gray (height, width)")
    return np.floor(16.5 + image @ LUMA / 255_000)


def psnr_y(pred: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Deraining: PSNR of the luma, in decibels, of bytes (H, W, 3) or gray (H, W)."""
    return psnr(to_y(pred), to_y(truth), 255)


def ssim_y(pred: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Deraining: SSIM of the luma by Gaussian windows that lie inside; ValueError if a side is below 11."""
    x, y = to_y(pred), to_y(truth)
    _check_shapes(x, y, 2 * RADIUS + 1)
    options: dict[str, Any] = {"gaussian_weights": True, "sigma": SIGMA, "use_sample_covariance": False}
    return float(structural_similarity(x, y, data_range=255, **options))


def sidd_ssim_paper(pred: Array, truth: Array) -> float:
    """Denoising, (H, W, 3) in 0..1: MATLAB's `ssim` of such an array, which blurs across channels as in a volume."""
    return _gaussian_ssim(pred, truth, axes=(0, 1, 2))


def sidd_ssim_standard(pred: Array, truth: Array) -> float:
    """Denoising, (H, W, 3) in 0..1: MATLAB's `ssim` of each channel, averaged."""
    return _gaussian_ssim(pred, truth, axes=(0, 1))


def lol_ssim_paper(pred: Array, truth: Array) -> float:
    """Low light, (H, W, 3) in 0..1: scikit-image's SSIM, told that values span 2, as its old default for floats."""
    return _uniform_ssim(pred, truth, 2)


def lol_ssim_standard(pred: Array, truth: Array) -> float:
    """Low light, (H, W, 3) in 0..1: scikit-image's SSIM, 7 x 7 windows that lie inside, mean over channels."""
    return _uniform_ssim(pred, truth, 1)


def _gaussian_ssim(pred: Array, truth: Array, axes: tuple[int, ...]) -> float:
    """Windows at every value, the image continued by its border; values span 1."""
    _check_shapes(pred, truth)
    x, y = pred.astype(np.float64), truth.astype(np.float64)
    mean_x, mean_y, square, product = (_blur(values, axes) for values in (x, y, x**2 + y**2, x * y))
    means, squares = mean_x * mean_y, mean_x**2 + mean_y**2
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * means + c1) * (2 * (product - means) + c2) / ((squares + c1) * (square - squares + c2))
    return float(similarity.mean())


def _blur(values: Array, axes: tuple[int, ...]) -> Array:
    return gaussian_filter(values, SIGMA, mode="nearest", radius=RADIUS, axes=axes)


def _uniform_ssim(pred: Array, truth: Array, data_range: float) -> float:
    _check_shapes(pred, truth, 7)
    x, y = pred.astype(np.float64), truth.astype(np.float64)
    return float(structural_similarity(x, y, data_range=data_range, channel_axis=-1))


def _check_shapes(pred: Array, truth: Array, least: int = 1) -> None:
    """ValueError unless both have one shape, and no side below `least`."""
    if pred.shape != truth.shape:
        raise ValueError(f"the prediction is {pred.shape} but the truth {truth.shape}; give both at one size")
    if min(truth.shape[:2]) < least:
        h, w = truth.shape[:2]
        raise ValueError(f"the image has {h} x {w} pixels, but SSIM needs {least} x {least} or more")
