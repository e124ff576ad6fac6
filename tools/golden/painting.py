"""Palettes, semantic maps and depth, painted and decoded; the network's input and what becomes of its output."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from data.coco import CATEGORIES
from data.palette import Distance
from data.tasks.base import to_pixels
from data.tasks.depth import NYUV2_DEPTH as DEPTH
from data.tasks.instance import COCO_INSTANCE as INSTANCE
from data.tasks.pose import COCO_POSE as POSE
from data.tasks.restoration import DERAIN
from data.tasks.semantic import ADE20K_SEMANTIC as ADE
from data.tasks.semantic import COCO_SEMANTIC as COCO
from data.tasks.semantic import Semantic, ade_classes, panoptic_classes
from engine.inpaint import Inpainter, half
from tools.golden import Checks, Stored, differing, indices, largest, load
from util.image import denormalize

DISTANCES: tuple[Distance, ...] = ("abs", "square", "mean")


def check_palettes(path: Path) -> Checks:
    """Every colour of every palette."""
    stored = load(path)
    things = [category.is_thing for category in CATEGORIES]
    table = INSTANCE.palette.colors.reshape(4, 4, 20, 20, 3).transpose(0, 2, 1, 3, 4).reshape(80, 80, 3)
    return {
        "ade150_rgb": differing(ADE.palette.colors, stored["ade150_rgb"]),
        "coco133_rgb": differing(COCO.palette.colors, stored["coco133_rgb"]),
        "coco133_category_id": differing([c.id for c in CATEGORIES], stored["coco133_category_id"]),
        "coco133_isthing": differing(things, stored["coco133_isthing"]),
        "inst6400_rgb": differing(INSTANCE.palette.colors, stored["inst6400_rgb"]),
        "inst_table": differing(table, stored["inst_table_row_y_col_x_rgb"]),
        "pose17_gb": differing(POSE.palette.colors, stored["pose17_gb"]),
    }


def check_ade_encode(path: Path) -> Checks:
    """Annotation files -> classes -> colours."""
    stored = load(path)
    checks: Checks = {}
    for i in indices(stored, "label"):
        classes = ade_classes(stored[f"label_{i}"])
        checks[f"classes_{i}"] = differing(classes, stored[f"gt_detectron2_{i}"])
        checks[f"color_{i}"] = differing(ADE.encode(classes), stored[f"color_{i}"])
    return checks


def check_coco_encode(path: Path) -> Checks:
    """Panoptic files -> classes -> colours."""
    stored = load(path)
    checks: Checks = {}
    for case in json.loads((path.parent / "coco_segments_info.json").read_text()):
        i, segments = case["index"], case["segments_info"]
        checks[f"written_{i}"] = differing(bool(segments), stored[f"written_{i}"])
        if segments:
            classes = panoptic_classes(stored[f"panoptic_rgb_{i}"], segments)
            checks[f"classes_{i}"] = differing(classes, stored[f"gt_semseg_{i}"])
            checks[f"color_{i}"] = differing(COCO.encode(classes), stored[f"color_{i}"])
    return checks


def check_semantic_decode(task: Semantic) -> Callable[[Path], Checks]:
    """The nearest class of each pixel by each distance."""

    def check(path: Path) -> Checks:
        stored = load(path)
        return {
            f"{distance}_{i}": differing(
                task.nearest(torch.from_numpy(stored[f"img_{i}"]), distance), stored[f"{distance}_{i}"]
            )
            for i in indices(stored, "img")
            for distance in DISTANCES
            if f"{distance}_{i}" in stored
        }

    return check


def check_depth_encode(path: Path) -> Checks:
    """Millimetres -> gray."""
    stored = load(path)
    return {
        f"rgb_{i}": differing(DEPTH.encode(stored[f"png16_{i}"]), stored[f"rgb_{i}"]) for i in indices(stored, "png16")
    }


def check_postprocess(path: Path) -> Checks:
    """The network's output at the query's size: four ways, as the tasks' `decode` begins."""
    stored = load(path)
    for key in stored:
        if repeated := re.fullmatch(r"pred_\d+x\d+_repeat_(\d+)", key):
            times = int(repeated[1])
            return _resized(stored[key].repeat(times, axis=1).repeat(times, axis=2), "", stored)
    return {
        key: check
        for i in indices(stored, "pred")
        for key, check in _resized(stored[f"pred_{i}"], f"_{i}", stored).items()
    }


def _resized(pred: np.ndarray, suffix: str, stored: Stored) -> Checks:
    painted = denormalize(torch.from_numpy(pred)[:, pred.shape[1] // 2 :].double())
    w, h = (int(side) for side in stored[f"size_wh{suffix}"])
    ours = {
        "seg_bilinear_uint8": to_pixels(painted, (h, w), "bilinear"),
        "inst_pose_demo_nearest_uint8": to_pixels(painted, (h, w), "nearest"),
        "depth_mm": DEPTH.decode(painted, (h, w)),
        "derain_uint8": _restored(painted, (h, w)),
    }
    checks = {f"{key}{suffix}": differing(value, stored[f"{key}{suffix}"]) for key, value in ours.items()}
    if (key := f"restore_bicubic_unclipped{suffix}") in stored:
        checks[key] = largest(DERAIN.decode(painted, (h, w)), stored[key].clip(0, 1), 1e-6)
    return checks


def check_input(path: Path) -> Checks:
    """Prompt and query as the network's input."""
    stored = load(path)
    side = int(stored["input_size"])
    prompt = (Image.fromarray(stored["prompt_image"]), Image.fromarray(stored["prompt_target"]))
    inpainter = Inpainter(_stand_in, [prompt], (side, side))
    images, targets = inpainter.canvases(inpainter.prepare(Image.fromarray(stored["query"]))[None])
    return {
        "x": differing(images[0], stored["x"]),
        "tgt": differing(targets[0], stored["tgt"]),
        "bool_masked_pos": differing(inpainter.mask.flatten(), stored["bool_masked_pos"].astype(bool)),
    }


def check_sidd_input(path: Path) -> Checks:
    """A block of SIDD at the network's size."""
    stored = load(path)
    (key,) = (key for key in stored if key.startswith("resized_"))
    resized = denormalize(half(Image.fromarray(stored["block_uint8"]), stored[key].shape[:2], "bilinear").double())
    return {key: largest(resized.permute(1, 2, 0), stored[key], 1e-6)}


def check_scripts(path: Path) -> Checks:
    """Whole inference scripts, with a stand-in for the network."""
    stored = load(path)
    depth_target = DEPTH.encode(stored["depth_prompt_png16"])
    runs: list[tuple[str, str, str, np.ndarray, Callable[..., Any]]] = [
        ("ade", "ade", "ade_out", stored["ade_prompt_target"], _pixels("bilinear")),
        ("coco", "coco", "cocosem_out", stored["cocosem_prompt_target"], _pixels("bilinear")),
        ("coco", "coco", "cocoinst_out", stored["cocoinst_prompt_target"], _pixels("nearest")),
        ("pose", "pose", "pose_out", stored["pose_prompt_target"], _pixels("nearest")),
        ("depth", "depth", "depth_out_mm", depth_target, DEPTH.decode),
        ("derain", "derain", "derain_out", stored["derain_prompt_target"], _restored),
        ("derain", "lol", "lol_out", stored["derain_prompt_target"], _restored),
    ]
    return {
        f"{out}_{i}": check
        for prompt, query, out, target, decode in runs
        for i, check in _run_script(stored, stored[f"{prompt}_prompt_image"], target, query, out, decode)
    }


def _run_script(
    stored: Stored, image: np.ndarray, target: np.ndarray, query: str, out: str, decode: Callable[..., Any]
) -> list[tuple[int, tuple[float, float]]]:
    side = stored["depth_net_tgt_0"].shape[-1]
    inpainter = Inpainter(_stand_in, [(Image.fromarray(image), Image.fromarray(target))], (side, side))
    checks = []
    for i in indices(stored, out):
        pixels = stored[f"{query}_query_{i}"]
        painted = inpainter([Image.fromarray(pixels)])[0]
        checks.append((i, differing(decode(painted, pixels.shape[:2]), stored[f"{out}_{i}"])))
    return checks


def _stand_in(images: torch.Tensor, targets: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return 0.6 * images + 0.4 * targets


def _pixels(interp: Any) -> Callable[..., Any]:
    return lambda painted, size: to_pixels(painted, size, interp)


def _restored(painted: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return (DERAIN.decode(painted, size) * 255).byte()


CHECKS = {
    "01_palettes/palettes": check_palettes,
    "02_semantic_encode/ade": check_ade_encode,
    "02_semantic_encode/coco": check_coco_encode,
    "03_semantic_decode/ade": check_semantic_decode(ADE),
    "03_semantic_decode/coco": check_semantic_decode(COCO),
    "08_depth/encode": check_depth_encode,
    "10_postprocess/run_one_image": check_postprocess,
    "10_postprocess/full_size": check_postprocess,
    "10_postprocess/input_prep": check_input,
    "10_postprocess/sidd_input_resize": check_sidd_input,
    "10_postprocess/scripts_end2end": check_scripts,
}
