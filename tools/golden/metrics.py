"""The measures of semantic maps, of depth, and of restored images."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from data.palette import Distance
from data.tasks.semantic import ADE20K_SEMANTIC, COCO_SEMANTIC, Semantic
from eval.metrics import depth, restoration, semantic
from tools.golden import Checks, Stored, differing, indices, largest, load

DISTANCES: tuple[Distance, ...] = ("abs", "square", "mean")
DEPTH_KEYS = ("silog", "log10", "abs_rel", "sq_rel", "rms", "log_rms", "d1", "d2", "d3")
PRINTED = ("d1", "d2", "d3", "abs_rel", "sq_rel", "rms", "log_rms", "silog", "log10")
CROPS: dict[str, depth.Crop] = {"eigen": "eigen", "garg": "garg", "nocrop": "none"}


def check_semantic(name: str, task: Semantic) -> Callable[[Path], Checks]:
    """From painted predictions to the scores of the data set."""

    def check(path: Path) -> Checks:
        stored = load(path)
        summary = json.loads(path.with_name("summary.json").read_text())["end2end"]
        images, truths = _series(stored, "pred_img"), _series(stored, "gt_detectron2", "gt_semseg")
        checks: Checks = {}
        for distance in DISTANCES:
            if (key := f"conf_{distance}") in stored:
                preds = [task.nearest(torch.from_numpy(image), distance).numpy() for image in images]
                matrix = _total(preds, truths, task.palette.num)
                checks[key] = differing(matrix, stored[key])
                checks |= _compare_classes(matrix, stored, distance)
                checks |= _compare_scores(matrix, distance, summary[f"{name}_{distance}"])
        return checks

    return check


def check_matrices(path: Path) -> Checks:
    """Scores of matrices, and the matrix of class maps."""
    stored = load(path)
    checks: Checks = {}
    for case in json.loads(path.with_name("summary.json").read_text())["matrices"]:
        if "index" in case:
            i, matrix = case["index"], stored[f"conf_{case['index']}"]
            checks |= _compare_classes(matrix, stored, i) | _compare_scores(matrix, i, case)
        else:
            num_classes = len(stored["maps_conf"]) - 1
            matrix = _total(_series(stored, "maps_pred"), _series(stored, "maps_gt"), num_classes)
            checks["maps_conf"] = differing(matrix, stored["maps_conf"])
            checks |= _compare_scores(matrix, "maps", case)
    return checks


def _series(stored: Stored, *names: str) -> list[NDArray[Any]]:
    """The arrays `name`_0, `name`_1, ..., under the first of these names that is there."""
    return next([stored[f"{name}_{i}"] for i in found] for name in names if (found := indices(stored, name)))


def _total(preds: Any, truths: Any, num_classes: int) -> semantic.Matrix:
    """The matrix of a data set, put together from the cells of its images."""
    pairs = zip(preds, truths, strict=True)
    cells = [cell for pair in pairs for cell in semantic.sparse(semantic.confusion(*pair, num_classes))]
    return semantic.dense(cells, num_classes)


def _compare_classes(matrix: semantic.Matrix, stored: Stored, suffix: object) -> Checks:
    iou, accuracy = semantic.per_class(matrix)
    return {
        f"iou_{suffix}": largest(iou, stored[f"iou_{suffix}"], 1e-9),
        f"acc_{suffix}": largest(accuracy, stored[f"acc_{suffix}"], 1e-9),
    }


def _compare_scores(matrix: semantic.Matrix, suffix: object, summary: dict[str, Any]) -> Checks:
    """A score that is not a number is stored as null."""
    scores = semantic.semantic_scores(matrix).items()
    stored = {key: np.nan if summary[key] is None else summary[key] for key, _ in scores}
    return {f"{key}_{suffix}": largest(value, stored[key], 1e-9) for key, value in scores}


def check_depth(path: Path) -> Checks:
    """The errors of each image, their means, and the line that was printed of them."""
    stored = load(path)
    pairs = list(zip(_series(stored, "pred_mm"), _series(stored, "gt_mm"), strict=True))
    checks: Checks = {}
    for run in json.loads(path.with_suffix(".json").read_text())["runs"]:
        tag = run["tag"]
        errors = [depth.depth_errors(*pair, CROPS[tag]) for pair in pairs]
        mean = {key: float(np.mean([error[key] for error in errors])) for key in DEPTH_KEYS}
        printed = [float(number) for number in run["printed"][1].split(",")]
        checks[f"{tag}_printed"] = largest([mean[key] for key in PRINTED], printed, 0.51e-3)
        for key in DEPTH_KEYS:
            checks[f"{tag}_{key}"] = _relative([error[key] for error in errors], stored[f"{tag}_{key}"])
            checks[f"{tag}_{key}_mean"] = _relative(mean[key], run["mean"][key])
    return checks


def check_errors(path: Path) -> Checks:
    """The errors of a few depths."""
    stored = load(path)
    (name,) = {key.rpartition("_")[0] for key in stored if key.startswith("silog")}
    checks: Checks = {}
    for i in indices(stored, name):
        found = depth.compute_errors(stored[f"gt_{i}"], stored[f"pred_{i}"])
        theirs = dict(zip(DEPTH_KEYS, stored[f"{name}_{i}"], strict=True))
        checks[f"silog_{i}"] = _compare_silog(found.pop("silog"), theirs.pop("silog"), theirs["log_rms"])
        checks |= {f"{key}_{i}": _relative(value, theirs[key]) for key, value in found.items()}
    return checks


def _compare_silog(ours: float, stored: float, log_rms: float) -> tuple[float, float]:
    """As a share of the square that it is left of; where rounding left less than 0, NaN is stored."""
    ours, stored = (ratio**2 / (1e4 * log_rms**2 or 1) for ratio in (ours, 0 if np.isnan(stored) else stored))
    return largest(ours, stored, 2e-5)


def _relative(ours: Any, stored: Any, tolerance: float = 1e-5) -> tuple[float, float]:
    """The largest difference by the stored value; by 1 where that is 0."""
    scale = np.where(np.asarray(stored) == 0, 1, stored)
    return largest(np.asarray(ours) / scale, np.asarray(stored) / scale, tolerance)


def check_derain(path: Path) -> Checks:
    """Luma, PSNR and SSIM; luma that ends in exactly .5 may have been rounded either way."""
    stored = load(path)
    pairs = list(zip(_series(stored, "pred"), _series(stored, "gt"), strict=True))
    colors = stored["y_colors_rgb"]
    clear = colors @ restoration.LUMA % 255_000 != 127_500
    y, stored_y = restoration.to_y(colors), stored["y_colors_y"]
    return {
        "y_colors": largest(y[clear], stored_y[clear], 0),
        "y_colors_halves": largest(y[~clear], stored_y[~clear], 1),
        "psnr_y": _decibels([restoration.psnr_y(*pair) for pair in pairs], stored["psnr_y"], 1e-9),
        "ssim_y": largest([_or_nan(restoration.ssim_y, *pair) for pair in pairs], stored["ssim_y"], 1e-9),
    }


def check_sidd(path: Path) -> Checks:
    """Blocks; `single` was computed in float32."""
    stored = load(path)
    pairs = list(zip(stored["denoised"], stored["gt"] / np.float32(255), strict=True))
    decibels = [restoration.psnr(*pair) for pair in pairs]
    standard = [restoration.sidd_ssim_standard(*pair) for pair in pairs]
    return {
        "psnr_single": _decibels(decibels, stored["psnr_single"], 1e-4),
        "psnr_double": _decibels(decibels, stored["psnr_double"], 1e-9),
        "ssim_paper": largest([restoration.sidd_ssim_paper(*pair) for pair in pairs], stored["ssim_3d_volume"], 1e-9),
        "ssim_standard": largest(standard, stored["ssim_2d_channel_mean_for_contrast"], 1e-9),
    }


def check_lol(path: Path) -> Checks:
    """Photographs that were taken in low light."""
    stored = load(path)
    pairs = list(zip(_series(stored, "restored"), (gt / 255 for gt in _series(stored, "gt")), strict=True))
    paper, standard = stored["ssim_original_data_range_2"], stored["ssim_data_range_1_for_contrast"]
    return {
        "psnr": _decibels([restoration.psnr(*pair) for pair in pairs], stored["psnr"], 1e-9),
        "ssim_paper": largest([restoration.lol_ssim_paper(*pair) for pair in pairs], paper, 1e-9),
        "ssim_standard": largest([restoration.lol_ssim_standard(*pair) for pair in pairs], standard, 1e-9),
    }


def _decibels(ours: Any, stored: Any, tolerance: float) -> tuple[float, float]:
    """Infinite ones agree with infinite ones."""
    return largest(np.minimum(ours, 1e9), np.minimum(stored, 1e9), tolerance)


def _or_nan(measure: Callable[..., float], *pair: NDArray[Any]) -> float:
    try:
        return measure(*pair)
    except ValueError:  # too small an image, of which NaN is stored
        return float("nan")


CHECKS = {
    "04_semantic_metrics/ade_end2end": check_semantic("ade", ADE20K_SEMANTIC),
    "04_semantic_metrics/coco_end2end": check_semantic("coco", COCO_SEMANTIC),
    "04_semantic_metrics/matrices": check_matrices,
    "08_depth/metrics": check_depth,
    "08_depth/compute_errors": check_errors,
    "09_restoration/derain": check_derain,
    "09_restoration/sidd": check_sidd,
    "09_restoration/lol": check_lol,
}
