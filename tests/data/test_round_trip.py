"""Read this first: every task paints a label and reads it back, within its resolution and through noise.

label -> encode -> image of bytes -> (what a perfect network would paint) -> decode -> the same label
"""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from configs.sources import EIGHT_SOURCES
from data.tasks import SOURCES

SIZE = (24, 32)
Rng = np.random.Generator


def classes(rng: Rng, num: int) -> np.ndarray:
    return rng.integers(num, size=SIZE, dtype=np.uint8)


def millimetres(rng: Rng) -> np.ndarray:
    return rng.integers(0, 10_001, SIZE, dtype=np.uint16)


def photograph(rng: Rng) -> np.ndarray:
    return rng.integers(256, size=(*SIZE, 3), dtype=np.uint8)


def directions(rng: Rng) -> np.ndarray:
    vectors = rng.normal(size=(*SIZE, 3))
    return vectors / np.linalg.norm(vectors, axis=2, keepdims=True)


def boxes(rng: Rng) -> np.ndarray:
    """Three masks (3, h, w) beside each other, whose colours are far apart: decoding cannot part near ones."""
    while True:
        masks = np.zeros((3, *SIZE), bool)
        for number, mask in enumerate(masks):
            top, left = rng.integers(0, 10), 11 * number + rng.integers(0, 3)
            mask[top : top + rng.integers(4, 14), left : left + rng.integers(3, 7)] = True
        colors = [SOURCES["coco_instance"].encode(mask[None])[mask][0].astype(int) for mask in masks]
        if min(np.abs(a - b).sum() for a, b in combinations(colors, 2)) > 70:
            return masks


def joints(rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """17 joints (x, y) on a jittered lattice of the crop, some of them invisible."""
    x, y = np.meshgrid([24, 64, 104, 144], [25, 70, 115, 160, 205])
    places = np.stack([x.ravel(), y.ravel()], axis=1)[rng.permutation(20)[:17]]
    return places + rng.uniform(-8, 8, (17, 2)), rng.random(17) < 0.8


def same(decoded: Any, label: np.ndarray) -> bool:
    return np.array_equal(decoded, label)


def within(tolerance: float) -> Callable[[Any, np.ndarray], bool]:
    return lambda decoded, label: np.abs(np.asarray(decoded, float) - label).max() <= tolerance


def same_masks(decoded: Any, masks: np.ndarray) -> bool:
    """The best of the decoded instances are the encoded ones, in any order."""
    best = decoded.masks[: len(masks)].numpy()
    return {mask.tobytes() for mask in best} == {mask.tobytes() for mask in masks}


def same_joints(decoded: Any, label: tuple[np.ndarray, np.ndarray]) -> bool:
    """Each visible joint within the pixel of its rounding and a quarter; the others absent."""
    places, visible = label
    found = decoded[:, 2].numpy() > 0
    error = np.abs(decoded[:, :2].numpy() - places)[visible]
    return np.array_equal(found, visible) and error.max(initial=0) <= 0.76


LABELS: dict[str, tuple[Callable[[Rng], Any], Callable[[Any, Any], bool], int]] = {  # label, verdict, noise allowed
    "nyuv2_depth": (millimetres, within(41), 0),  # 39.2 mm a level, truncated twice
    "ade20k_semantic": (lambda rng: classes(rng, 150), same, 20),
    "coco_semantic": (lambda rng: classes(rng, 133), same, 17),
    "coco_instance": (boxes, same_masks, 2),
    "coco_pose": (joints, same_joints, 0),
    "denoise": (photograph, lambda decoded, label: same((decoded * 255).round().byte(), label), 0),
    "derain": (photograph, lambda decoded, label: same((decoded * 255).round().byte(), label), 0),
    "enhance": (photograph, lambda decoded, label: same((decoded * 255).round().byte(), label), 0),
    "nyuv2_normals": (directions, within(0.02), 0),
    "own_classes": (lambda rng: classes(rng, 255), same, 17),
    "own_pictures": (photograph, lambda decoded, label: same((decoded * 255).round().byte(), label), 0),
}


def decoded(name: str, image: np.ndarray) -> Any:
    painted = torch.from_numpy(image).permute(2, 0, 1).double() / 255
    return SOURCES[name].decode(painted, image.shape[:2])


def test_the_tasks_of_the_paper_are_here():
    assert EIGHT_SOURCES.keys() <= LABELS.keys() <= SOURCES.keys()


@pytest.mark.parametrize("name", LABELS)
@given(seed=st.integers(0, 2**32))
def test_a_label_comes_back(name, seed):
    make, is_same, _ = LABELS[name]
    label = make(np.random.default_rng(seed))
    image = SOURCES[name].encode(label)
    assert image.dtype == np.uint8
    assert image.shape[2] == 3
    assert is_same(decoded(name, image), label)


@pytest.mark.parametrize("name", [name for name, (_, _, noise) in LABELS.items() if noise])
@given(seed=st.integers(0, 2**32))
def test_a_label_comes_back_through_noise(name, seed):
    make, is_same, noise = LABELS[name]
    rng = np.random.default_rng(seed)
    label = make(rng)
    image = SOURCES[name].encode(label)
    shown = image.any(axis=2, keepdims=True) if name == "coco_instance" else True  # noisy black is an instance, too
    noisy = image + rng.integers(-noise, noise + 1, image.shape) * shown
    assert is_same(decoded(name, noisy.clip(0, 255).astype(np.uint8)), label)


@pytest.mark.parametrize("name", LABELS)
def test_a_network_may_paint_at_another_size_and_out_of_range(name):
    """Decoding resizes, clips and never fails."""
    painted = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)).double() * 1.4 - 0.2
    result = SOURCES[name].decode(painted, (40, 56))
    for value in result if isinstance(result, tuple) else (result,):
        assert value.double().isfinite().all()
