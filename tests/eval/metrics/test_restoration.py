"""PSNR and SSIM: window by window as their definitions say, and the stored cases."""

import math
from pathlib import Path

import numpy as np
import pytest

from eval.metrics.restoration import (
    lol_ssim_paper,
    lol_ssim_standard,
    psnr,
    psnr_y,
    sidd_ssim_paper,
    sidd_ssim_standard,
    ssim_y,
    to_y,
)
from tools.golden.metrics import CHECKS

GOLDEN = Path(__file__).parents[2] / "golden/eval"
TAPS = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
TAPS /= TAPS.sum()
SQUARE = np.multiply.outer(TAPS, TAPS)
CUBE = np.multiply.outer(SQUARE, TAPS)
HALVES = np.uint8([[[0, 204, 68], [117, 111, 240], [120, 132, 124], [255, 51, 187]]])  # luma exactly 125.5
IN_UNIT = (sidd_ssim_paper, sidd_ssim_standard, lol_ssim_paper, lol_ssim_standard)


def ssim(x: np.ndarray, y: np.ndarray, window: np.ndarray, data_range: float, unbiased: float = 1) -> float:
    """The mean over all places of the window inside x and y; `window` sums to 1."""
    found = []
    for corner in np.ndindex(*(a - b + 1 for a, b in zip(x.shape, window.shape, strict=True))):
        there = tuple(slice(c, c + n) for c, n in zip(corner, window.shape, strict=True))
        a, b = x[there], y[there]
        mean_a, mean_b = (window * a).sum(), (window * b).sum()
        covariance = unbiased * (window * (a - mean_a) * (b - mean_b)).sum()
        variances = unbiased * (window * ((a - mean_a) ** 2 + (b - mean_b) ** 2)).sum()
        c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
        luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
        found.append(luminance * (2 * covariance + c2) / (variances + c2))
    return float(np.mean(found))


def images(*size: int) -> tuple[np.ndarray, np.ndarray]:
    """A truth and a prediction near it, bytes."""
    rng = np.random.default_rng(size)
    truth = rng.integers(0, 256, size)
    return (truth + rng.normal(0, 30, size)).clip(0, 255).astype(np.uint8), truth.astype(np.uint8)


def in_unit(*size: int) -> list[np.ndarray]:
    return [image / np.float32(255) for image in images(*size)]


def test_luma_is_rounded_with_halves_up():
    colors = [[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [1, 1, 1], [128, 64, 32]]
    assert to_y(np.uint8([colors])).tolist() == [[16, 235, 81, 145, 41, 17, 84]]
    assert to_y(HALVES).tolist() == [[126] * 4]


def test_gray_is_luma_already():
    gray = images(12, 13)[0]
    np.testing.assert_array_equal(to_y(gray), gray)


def test_psnr_by_its_definition():
    pred, truth = in_unit(5, 6, 3)
    total = sum((float(p) - float(t)) ** 2 for p, t in zip(pred.flat, truth.flat, strict=True))
    assert psnr(pred, truth) == pytest.approx(-10 * math.log10(total / 90), abs=1e-9)
    assert psnr(pred * 4.0, truth * 4.0, peak=4) == pytest.approx(psnr(pred, truth), abs=1e-9)
    assert psnr(np.zeros((2, 2)), np.full((2, 2), 0.1)) == pytest.approx(20)


@pytest.mark.parametrize("size", [(8, 9, 3), (8, 9)])
def test_psnr_of_luma(size):
    pred, truth = images(*size)
    mean = np.mean((to_y(pred) - to_y(truth)) ** 2)
    assert psnr_y(pred, truth) == pytest.approx(20 * math.log10(255 / math.sqrt(mean)), abs=1e-9)


@pytest.mark.parametrize("size", [(11, 11, 3), (12, 15, 3), (14, 11), (16, 13)])
def test_ssim_of_luma_by_windows(size):
    pred, truth = images(*size)
    assert ssim_y(pred, truth) == pytest.approx(ssim(to_y(pred), to_y(truth), SQUARE, 255), abs=1e-9)


@pytest.mark.parametrize("size", [(4, 7, 3), (12, 10, 3)])
def test_ssim_of_sidd_by_windows(size):
    """A volume, as the paper has it; else each channel. Both continue the image by its border."""
    pred, truth = (image.astype(np.float64) for image in in_unit(*size))
    volume = (np.pad(image, 5, mode="edge") for image in (pred, truth))
    assert sidd_ssim_paper(pred, truth) == pytest.approx(ssim(*volume, CUBE, 1), abs=1e-9)
    channels = [ssim(*(np.pad(image[..., c], 5, mode="edge") for image in (pred, truth)), SQUARE, 1) for c in range(3)]
    assert sidd_ssim_standard(pred, truth) == pytest.approx(np.mean(channels), abs=1e-9)


@pytest.mark.parametrize("size", [(7, 7, 3), (9, 12, 3)])
def test_ssim_of_lol_by_windows(size):
    pred, truth = (image.astype(np.float64) for image in in_unit(*size))
    window = np.full((7, 7), 1 / 49)
    for ours, data_range in ((lol_ssim_paper, 2), (lol_ssim_standard, 1)):
        channels = [ssim(pred[..., c], truth[..., c], window, data_range, 49 / 48) for c in range(3)]
        assert ours(pred, truth) == pytest.approx(np.mean(channels), abs=1e-9)


@pytest.mark.parametrize("measure", IN_UNIT)
def test_float32_is_as_good(measure):
    pred, truth = in_unit(16, 17, 3)
    assert measure(pred, truth) == measure(pred.astype(np.float64), truth.astype(np.float64))


def test_equal_images():
    truth = images(16, 17, 3)[1]
    assert psnr(truth, truth) == psnr_y(truth, truth) == math.inf
    assert ssim_y(truth, truth) == pytest.approx(1)
    assert [measure(truth / 255, truth / 255) for measure in IN_UNIT] == pytest.approx([1] * 4)
    assert [measure(0 * truth, 0 * truth) for measure in IN_UNIT] == [1] * 4


@pytest.mark.parametrize("measure", [psnr, psnr_y, ssim_y, *IN_UNIT])
def test_different_sizes(measure):
    with pytest.raises(ValueError, match=r"the prediction is \(12, 13.*\) but the truth \(13, 12.*\); give both"):
        measure(images(12, 13, 3)[0], images(13, 12, 3)[1])


@pytest.mark.parametrize(
    ("measure", "size", "least"), [(ssim_y, (10, 30, 3), 11), (ssim_y, (30, 10), 11), (lol_ssim_paper, (6, 9, 3), 7)]
)
def test_images_smaller_than_a_window(measure, size, least):
    message = rf"the image has {size[0]} x {size[1]} pixels, but SSIM needs {least} x {least} or more"
    with pytest.raises(ValueError, match=message):
        measure(*images(*size))


@pytest.mark.parametrize("size", [(12, 12, 4), (12, 12, 1), (12,)])
def test_luma_of_something_else(size):
    with pytest.raises(ValueError, match=r"give \(height, width, 3\) or gray \(height, width\)"):
        to_y(images(*size)[0])


CHANGES = {
    "09_restoration/derain": ["psnr_y", "ssim_y", "y_colors_y"],
    "09_restoration/sidd": ["psnr_single", "psnr_double", "ssim_3d_volume", "ssim_2d_channel_mean_for_contrast"],
    "09_restoration/lol": ["psnr", "ssim_original_data_range_2", "ssim_data_range_1_for_contrast"],
}


def failed(name: str, path: Path) -> set[str]:
    return {key for key, (error, tolerance) in CHECKS[name](path).items() if not error <= tolerance}


@pytest.mark.parametrize("name", CHANGES)
def test_stored_cases(name):
    assert not failed(name, GOLDEN / f"{name}.npz")


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, keys in CHANGES.items() for key in keys])
@pytest.mark.parametrize("change", ["a little", "nan", "inf"])
def test_a_wrong_stored_value_fails(name, key, change, tmp_path):
    with np.load(GOLDEN / f"{name}.npz") as file:
        content = dict(file)
    if content[key].dtype == np.uint8:
        content[key].flat[7] += 1
    else:
        content[key].flat[1] = {"a little": content[key].flat[1] * (1 + 1e-5), "nan": np.nan, "inf": np.inf}[change]
    path = tmp_path / f"{Path(name).name}.npz"
    np.savez(path, **content)
    assert failed(name, path)


@pytest.mark.parametrize(("y", "wrong"), [(125, set()), (126, set()), (124, {"y_colors_halves"})])
def test_luma_that_ends_in_a_half_may_be_rounded_either_way(y, wrong, tmp_path):
    """But not further away."""
    with np.load(GOLDEN / "09_restoration/derain.npz") as file:
        content = dict(file)
    colors, values = content["y_colors_rgb"][:1], content["y_colors_y"][:1]
    changes = {
        "y_colors_rgb": np.concatenate([colors, HALVES], axis=1),
        "y_colors_y": np.concatenate([values, np.full((1, 4), y, np.uint8)], axis=1),
    }
    np.savez(tmp_path / "derain.npz", **{**content, **changes})
    assert failed("09_restoration/derain", tmp_path / "derain.npz") == wrong
