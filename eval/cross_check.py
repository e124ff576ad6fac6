"""Saved predictions measured once more with the official tool of their benchmark, where that is installed.

No tool is required; each is imported only when it is asked for.
"""

import contextlib
import importlib
import io
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from tqdm import tqdm

from data.roots import Roots, read_json
from data.tasks.semantic import ADE20K_SEMANTIC, IGNORE, read_ade
from util.files import write
from util.image import read_rgb

TOLERANCE = 1e-3  # in the units of the metric

Metrics = dict[str, float]


class CrossCheck(NamedTuple):
    """An official tool and how to ask it."""

    tool: str
    modules: tuple[str, ...]
    """that `ask` imports"""
    source: str
    """where to install it from"""
    ask: Callable[[Path, Sequence[Any], Roots], Metrics]
    """folder of predictions, queries, data roots -> metrics, under our names"""


def find_check(benchmark: str) -> CrossCheck:
    """The cross-check of a benchmark; ValueError if none is known, or if its tool cannot be imported."""
    if benchmark not in CHECKS:
        raise ValueError(f"no cross-check is known for {benchmark}; leave --cross_check out")
    check = CHECKS[benchmark]
    try:
        for module in check.modules:
            importlib.import_module(module)
    except Exception as error:  # tools of compiled parts fail in many ways
        raise ValueError(
            f"--cross_check of {benchmark} needs {check.tool} ({error}); "
            f"install it from {check.source}, or leave the option out"
        ) from None
    return check


def measure(check: CrossCheck, images: Path, queries: Sequence[Any], roots: Roots) -> dict[str, Any]:
    """What results.json says of it: `tool` and `metrics`. ValueError if the tool fails."""
    try:
        return {"tool": check.tool, "metrics": check.ask(images, queries, roots)}
    except Exception as error:
        raise ValueError(
            f"{check.tool} cannot measure {images} ({type(error).__name__}: {error}); "
            "results.json is there, without its numbers"
        ) from error


def table(tool: str, ours: Mapping[str, float], theirs: Mapping[str, float]) -> str:
    """Both numbers of each metric that the tool has, and a warning where they differ."""
    differences = {key: _difference(ours[key], theirs[key]) for key in theirs}
    rows = [("metric", "ours", tool, "difference")]
    rows += [(key, f"{ours[key]:.5f}", f"{theirs[key]:.5f}", f"{differences[key]:z.5f}") for key in theirs]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        f"{first:<{widths[0]}}" + "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))
        for first, *cells in rows
    ]
    if wrong := [key for key, difference in differences.items() if not abs(difference) <= TOLERANCE]:
        lines.append(f"warning: {', '.join(wrong)} of {tool} differ from ours by more than {TOLERANCE:g}")
    return "\n".join(lines)


def _difference(ours: float, theirs: float) -> float:
    """Theirs less ours; 0 where both are infinite alike, or both undefined."""
    return 0.0 if ours == theirs or (np.isnan(ours) and np.isnan(theirs)) else theirs - ours


def _semantic(images: Path, queries: Sequence[Any], roots: Roots) -> Metrics:
    """detectron2 on class maps; it wants scores of classes, of which it takes the largest."""
    from detectron2.data import DatasetCatalog, MetadataCatalog
    from detectron2.evaluation import SemSegEvaluator

    name, num = f"cross_check {images}", ADE20K_SEMANTIC.palette.num
    files = [{"file_name": str(query.image), "sem_seg_file_name": str(query.annotation)} for query in queries]
    DatasetCatalog.register(name, lambda: files)
    try:
        MetadataCatalog.get(name).set(stuff_classes=[str(i) for i in range(num)], ignore_label=IGNORE)
        evaluator = SemSegEvaluator(name, distributed=False, sem_seg_loading_fn=_annotation)
        evaluator.reset()
        for query, file in zip(queries, tqdm(files, "detectron2", unit="image"), strict=True):
            classes = torch.from_numpy(read_ade(images / f"{query.name}.png")).long()
            scores = torch.zeros((num, *classes.shape), dtype=torch.uint8).scatter_(0, classes[None], 1)
            evaluator.process([file], [{"sem_seg": scores}])
        found = evaluator.evaluate()["sem_seg"]
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    return {key: float(found[key]) for key in ("mIoU", "fwIoU", "mACC", "pACC")}


def _annotation(file: str, dtype: Any = np.uint8) -> NDArray[Any]:
    return read_ade(Path(file)).astype(dtype)


def _luma(images: Path, queries: Sequence[Any], roots: Roots) -> Metrics:
    """mmcv's luma; PSNR and SSIM by scikit-image; means of a set, and of these."""
    from mmcv import rgb2ycbcr

    sets = defaultdict(list)
    for query in tqdm(queries, "mmcv", unit="image"):
        pred, truth = (
            rgb2ycbcr(np.asarray(read_rgb(file)), y_only=True).astype(np.float64)
            for file in (images / f"{query.name}.png", query.clean)
        )
        options: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        ssim = structural_similarity(truth, pred, data_range=255, **options)
        with np.errstate(divide="ignore"):  # equal images
            sets[query.name.split("/")[0]].append((peak_signal_noise_ratio(truth, pred, data_range=255), ssim))
    psnr, ssim = np.mean([np.mean(values, axis=0) for values in sets.values()], axis=0)
    return {"psnr": float(psnr), "ssim": float(ssim)}


def _panoptic(images: Path, queries: Sequence[Any], roots: Roots) -> Metrics:
    """panopticapi on the annotations of these photographs, which it wants in one file each, beside `images`."""
    from panopticapi.evaluation import pq_compute

    official = read_json(roots, "coco/annotations/panoptic_val2017.json")
    files = {query.png.name: str(query.png.resolve()) for query in queries}  # whole paths: any root may hold them
    truths = [
        {**truth, "file_name": files[truth["file_name"]]}
        for truth in official["annotations"]
        if truth["file_name"] in files
    ]
    preds = [json.loads((images / f"{query.name}.json").read_bytes()) for query in queries]
    truth_file, pred_file = (images.parent / f"panoptic_{name}.json" for name in ("truth", "predictions"))
    write(truth_file, json.dumps({"annotations": truths, "categories": official["categories"]}).encode())
    write(pred_file, json.dumps({"annotations": preds}).encode())
    with contextlib.redirect_stdout(io.StringIO()):
        found = pq_compute(str(truth_file), str(pred_file), str(images), str(images))
    return {
        f"{key.upper()}{suffix}": 100 * float(found[group][key])
        for group, suffix in (("All", ""), ("Things", "_th"), ("Stuff", "_st"))
        for key in ("pq", "sq", "rq")
    }


CHECKS = {
    "ade20k_semantic": CrossCheck(
        "detectron2", ("detectron2.data", "detectron2.evaluation"), "its repository", _semantic
    ),
    "derain": CrossCheck("mmcv", ("mmcv",), "the registry, where mmcv-lite is enough", _luma),
    "coco_panoptic": CrossCheck("panopticapi", ("panopticapi.evaluation",), "its repository", _panoptic),
}
