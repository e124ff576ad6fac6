"""The paper's numbers, once: benchmarks and headline metrics in its order, and the scores of its Tables 1, 2, 3 and S2.

Scores are nested, benchmark -> metric -> score, under the names that results.json uses.
"""

from typing import NamedTuple

Scores = dict[str, dict[str, float]]


class Metric(NamedTuple):
    """A column of the paper's tables."""

    benchmark: str
    name: str
    title: str
    decimals: int
    """as the paper prints it"""
    unit: str = ""
    """dB or %; most have none"""
    lower: bool = False
    """whether lower is better"""


TITLES = {
    "nyuv2_depth": "NYUv2 depth",
    "ade20k_semantic": "ADE20K semantic",
    "coco_panoptic": "COCO panoptic",
    "coco_pose": "COCO pose",
    "sidd": "SIDD denoising",
    "derain": "Deraining",
    "lol": "LoL enhancement",
}
METRICS = (
    Metric("nyuv2_depth", "rms", "RMSE", 3, "m", lower=True),
    Metric("nyuv2_depth", "abs_rel", "A.Rel", 3, lower=True),
    Metric("nyuv2_depth", "d1", "δ1", 3),
    Metric("ade20k_semantic", "mIoU", "mIoU", 1, "%"),
    Metric("coco_panoptic", "PQ", "PQ", 1, "%"),
    Metric("coco_pose", "AP", "AP", 1, "%"),
    Metric("sidd", "psnr", "PSNR", 2, "dB"),
    Metric("sidd", "ssim_paper", "SSIM", 3),
    Metric("derain", "psnr", "PSNR", 2, "dB"),
    Metric("derain", "ssim", "SSIM", 3),
    Metric("lol", "psnr", "PSNR", 2, "dB"),
    Metric("lol", "ssim_paper", "SSIM", 3),
)
HEADLINE = {benchmark: tuple(m.name for m in METRICS if m.benchmark == benchmark) for benchmark in TITLES}
MAIN = tuple(next(m for m in METRICS if m.benchmark == benchmark) for benchmark in TITLES)  # of Tables 2 and 3


def _scores(metrics: tuple[Metric, ...], *values: float) -> Scores:
    """A row of a table, from its numbers in the order of the columns."""
    result: Scores = {benchmark: {} for benchmark in TITLES}
    for metric, value in zip(metrics, values, strict=True):
        result[metric.benchmark][metric.name] = value
    return result


# Table 1: one model trained on all tasks
PAPER = _scores(METRICS, 0.288, 0.080, 0.950, 49.9, 43.4, 72.1, 38.88, 0.954, 29.49, 0.868, 22.40, 0.872)
# the released weights, measured by the original code: restoration differs from the paper
RELEASED = _scores(METRICS, 0.288, 0.080, 0.950, 49.9, 43.4, 72.1, 38.66, 0.954, 29.42, 0.867, 22.34, 0.872)
# Table 2: a model trained on each benchmark's tasks alone
SEPARATE = _scores(MAIN, 0.327, 47.2, 41.3, 72.5, 38.43, 28.28, 21.67)
# Table 3: by kind of prompt
PROMPTS = {
    "random": _scores(MAIN, 0.291, 49.3, 43.1, 71.8, 38.46, 29.26, 22.31),
    "searched": _scores(MAIN, 0.288, 49.9, 43.4, 72.1, 38.88, 29.49, 22.40),
    "learned": _scores(MAIN, 0.286, 49.9, 43.3, 72.2, 38.71, 29.56, 22.38),
}
# Table S2: mIoU on ADE20K after 3 000 iterations, by what is varied
ABLATIONS = {
    "early merge": {"after 3 blocks": 41.2, "none": 39.7},
    "backbone": {"ViT-L": 41.2, "ViT-B": 31.4},
    "head": {"three layers": 41.2, "one linear": 38.6},
    "loss": {"smooth-l1": 41.2, "l1": 40.6, "l2": 26.3},
}
