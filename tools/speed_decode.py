"""The speed of decoding paintings beside the formulation spelled out, on one thread."""

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data.tasks.instance import COCO_INSTANCE, Instances
from data.tasks.semantic import ADE20K_SEMANTIC
from tools import plain_decode
from tools.speed_rows import Row, one_thread, row, seconds

SIZE = (480, 640)  # (h, w)
NOISE = 5.0  # of a painted prediction, standard deviation of bytes


def decode(quick: bool) -> list[Row]:
    """Painted predictions -> labels; all but `quick` adds the worst case, random colours, which takes minutes."""
    rng = np.random.default_rng(0)
    random = torch.from_numpy(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8))
    with one_thread():
        rows = [
            _compare(
                "decode_semantic_480x640",
                lambda: ADE20K_SEMANTIC.nearest(random),
                lambda: plain_decode.semantic(ADE20K_SEMANTIC.palette, random),
                lambda ours, plain: 0.0 if torch.equal(ours, plain.byte()) else float("inf"),
            )
        ]
        if quick:
            return [*rows, _instances("decode_5_instances_120x160", painted_instances(rng, 5)[::4, ::4])]
        rows.append(_instances("decode_20_instances_480x640", painted_instances(rng, 20)))
        return [*rows, _instances("decode_instances_480x640_random_colors", random)]


def _instances(work: str, image: Tensor) -> Row:
    return _compare(
        work,
        lambda: COCO_INSTANCE.instances(image),
        lambda: plain_decode.instances(COCO_INSTANCE.palette, image),
        instance_error,
    )


def instance_error(ours: Instances, plain: Instances) -> float:
    """The largest difference of scores; infinite unless the masks are the same, whatever their order."""
    our_masks, plain_masks = (sorted(mask.numpy().tobytes() for mask in x.masks) for x in (ours, plain))
    return float((ours.scores - plain.scores).abs().max()) if our_masks == plain_masks else float("inf")


def _compare(work: str, ours: Callable[[], Any], plain: Callable[[], Any], error: Callable[[Any, Any], float]) -> Row:
    """The plain way once, as it is slow, between runs of ours; the first of these only warms up."""
    result, expected = ours(), list[Any]()
    before = [seconds(ours) for _ in range(5)]
    baseline = seconds(lambda: expected.append(plain()))
    median = statistics.median([*before, *(seconds(ours) for _ in range(5))])
    return row(work, median, baseline, error(result, expected[0]))


def painted_instances(rng: np.random.Generator, num: int) -> Tensor:
    """Ellipses painted as instances, with noise: (H, W, 3) bytes of many ten thousand colours."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    index = np.zeros(SIZE, np.uint16)
    for i in range(num):
        (top, left), (height, width) = rng.uniform(0, SIZE), rng.uniform(20, 90, 2)
        index[((y - top) / height) ** 2 + ((x - left) / width) ** 2 < 1] = i + 1
    painted = COCO_INSTANCE.paint(index, num) + rng.normal(0, NOISE, (*SIZE, 3))
    return torch.from_numpy(painted.clip(0, 255).astype(np.uint8))
