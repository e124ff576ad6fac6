"""Generated pairs of the sizes and formats of the real data, to measure loading on: noise as smooth as photographs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from data.pairs import Pair
from data.scale_jitter import draw_view
from data.tasks import SOURCES, Size
from data.tasks.instance import COCO_INSTANCE
from data.tasks.semantic import ADE20K_SEMANTIC, COCO_SEMANTIC, Semantic

VGA = (480, 640)  # (h, w)
NUM_SEGMENTS = 12


class Kind(NamedTuple):
    """Pairs of one source."""

    source: str
    suffixes: tuple[str, str]
    """of image and target"""
    size: Size
    write: Callable[[Path, Path, Size, Generator], Any]
    """writes image and target, and returns the label for the list, if there is one"""


def write_pairs(root: Path, kind: str, count: int, size: Size | None = None) -> list[Pair]:
    """`count` pairs of `KINDS[kind]` below `root`, of another size if one is given."""
    (root / kind).mkdir(parents=True)
    pairs, made = [], KINDS[kind]
    for i in range(count):
        image, target = (f"{kind}/{i}_{name}{made.suffixes[n]}" for n, name in enumerate(("image", "target")))
        rng = np.random.default_rng((i, *kind.encode()))
        label = made.write(root / image, root / target, size or made.size, rng)
        text = None if label is None else json.dumps(label)
        pairs.append(Pair(image, target, SOURCES[made.source].type, f"{kind}.json", i, text))
    return pairs


def photograph(size: Size, rng: Generator) -> NDArray[np.uint8]:
    """(H, W, 3): noise of every scale, coarse most; files become as long as a photograph's."""
    h, w = size
    image = np.full((h, w, 3), 128, np.float32)
    for side in (4, 8, 16, 32, 64, 128):
        noise = rng.normal(0, 120 / side**0.5, (side, side, 3)).astype(np.float32)
        image += cv2.resize(noise, (w, h), interpolation=cv2.INTER_CUBIC)
    return (image + rng.normal(0, 2, image.shape)).clip(0, 255).astype(np.uint8)


def segments(size: Size, rng: Generator) -> NDArray[np.uint8]:
    """(H, W), 0 .. NUM_SEGMENTS - 1: areas with winding borders."""
    h, w = size
    fields = [cv2.resize(rng.normal(size=(8, 8)), (w, h), interpolation=cv2.INTER_CUBIC) for _ in range(NUM_SEGMENTS)]
    return np.argmax(fields, axis=0).astype(np.uint8)


def _save(path: Path, pixels: NDArray[Any]) -> None:
    Image.fromarray(pixels).save(path, quality=93)  # of JPEG; PNG has none


def _depth(image: Path, target: Path, size: Size, rng: Generator) -> None:
    _save(image, photograph(size, rng))
    millimetres = photograph(size, rng)[..., 0].astype(np.uint16) * 38 + rng.integers(0, 3, size, np.uint16)
    millimetres[segments(size, rng) < 3] = 0
    _save(target, millimetres)


def _semantic(task: Semantic) -> Callable[[Path, Path, Size, Generator], None]:
    def write(image: Path, target: Path, size: Size, rng: Generator) -> None:
        _save(image, photograph(size, rng))
        _save(target, task.encode(segments(size, rng) * np.uint8(9)))

    return write


def _restoration(image: Path, target: Path, size: Size, rng: Generator) -> None:
    clean = photograph(size, rng)
    _save(target, clean)
    _save(image, (clean + rng.normal(0, 12, clean.shape)).clip(0, 255).astype(np.uint8))


def _instances(image: Path, target: Path, size: Size, rng: Generator) -> dict[str, list[int]]:
    _save(image, photograph(size, rng))
    ids = rng.choice(np.arange(1, 1 << 24), NUM_SEGMENTS, replace=False)
    shown = ids[segments(size, rng)]
    _save(target, np.stack([shown & 255, shown >> 8 & 255, shown >> 16], axis=2).astype(np.uint8))
    return {"segments": ids[: NUM_SEGMENTS // 2].tolist()}


def _painted_instances(image: Path, target: Path, size: Size, rng: Generator) -> None:
    view = draw_view(rng)
    index = segments(size, rng).astype(np.uint16) % (NUM_SEGMENTS // 2)
    _save(image, view.of_image(photograph(size, rng)))
    _save(target, COCO_INSTANCE.paint(view.of_labels(index), NUM_SEGMENTS // 2))


def _pose(image: Path, target: Path, size: Size, rng: Generator) -> dict[str, list[float]]:
    h, w = size
    _save(image, photograph(size, rng))
    target.write_text("{}")
    points = rng.uniform((0.35 * w, 0.2 * h, 2), (0.65 * w, 0.8 * h, 2), (17, 3))
    return {"box": [0.3 * w, 0.1 * h, 0.4 * w, 0.8 * h], "keypoints": points.ravel().tolist()}


KINDS = {
    "nyuv2_depth": Kind("nyuv2_depth", (".jpg", ".png"), VGA, _depth),
    "ade20k_semantic": Kind("ade20k_semantic", (".jpg", ".png"), (512, 683), _semantic(ADE20K_SEMANTIC)),
    "coco_semantic": Kind("coco_semantic", (".jpg", ".png"), VGA, _semantic(COCO_SEMANTIC)),
    "coco_instance": Kind("coco_instance", (".jpg", ".png"), VGA, _instances),
    "coco_instance_files": Kind("coco_instance", (".png", ".png"), VGA, _painted_instances),
    "coco_pose": Kind("coco_pose", (".jpg", ".json"), VGA, _pose),
    "denoise": Kind("denoise", (".png", ".png"), (256, 256), _restoration),
    "derain": Kind("derain", (".png", ".png"), (400, 600), _restoration),
    "enhance": Kind("enhance", (".png", ".png"), (400, 600), _restoration),
}
"""by source; `_files`: painted to files of 1024 x 1024 before training"""
