"""The training loader beside the plain one, on one core: seconds a sample, and how far finished canvases differ.

`python tools/speed.py loader` prints it. Both crop, jitter and mask as in training, on generated photographs.
"""

import statistics
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch.utils.data import default_collate

from data.canvas import Canvas, finish
from data.color import jitter_color
from data.masking import block_mask
from data.pair_dataset import MaskConfig, PairDataset, Sample
from data.pairs import read_pair
from data.prompt import stitch
from data.sampler import Draw
from data.transforms import PAIR_RATIO, AugmentConfig, random_crop_box, resize_pair
from tools import plain_loader
from tools.speed_rows import Row, interleaved, one_thread, relative_error, row, seconds
from tools.speed_world import KINDS, write_pairs
from util.image import image_size

CANVAS, GRID, MASK = (896, 448), (56, 28), MaskConfig(half_ratio=0)  # block masks, and with them canvas crops
NUM_PAIRS, MICRO_BATCH = 3, 2  # a GPU gets two canvases at a time, as in the original


def rows(quick: bool) -> list[Row]:
    """A row a kind of pairs, on one thread; the first also tells how long each stage of a sample takes."""
    num, repeats = (2, 3) if quick else (10, 7)
    draws = [[Draw((i + j) % NUM_PAIRS, (i, j)) for j in range(MICRO_BATCH)] for i in range(num)]
    with one_thread():
        found = [_row(kind, draws, repeats) for kind in KINDS]
        found[0].extra.update({f"stage_{name}_s": taken for name, taken in stages(quick).items()})
    return found


def _row(kind: str, draws: list[list[Draw]], repeats: int) -> Row:
    with TemporaryDirectory() as folder:
        dataset = _dataset(Path(folder), kind)
        ours = [_batch(dataset, micro) for micro in draws]
        error = max(
            _error(finish(batch), plain_loader.batch(dataset, micro)) for batch, micro in zip(ours, draws, strict=True)
        )
        times = interleaved(
            lambda: [_batch(dataset, micro) for micro in draws],
            lambda: [plain_loader.batch(dataset, micro) for micro in draws],
            repeats,
        )
        finishing = statistics.median(seconds(lambda: [finish(batch) for batch in ours]) for _ in range(repeats))
    ours_s, plain_s, finish_s = (time / len(draws) / MICRO_BATCH for time in (*times, finishing))
    with_finish = plain_s / (ours_s + finish_s)
    extra = {"samples_per_s": 1 / ours_s, "finish_s": finish_s, "ratio_with_finish": with_finish}
    return row(f"loader_{kind}", ours_s, plain_s, error, **extra)


def _error(ours: Canvas, plain: Canvas) -> float:
    """The largest of image, target and weight; infinite where masks differ."""
    if not torch.equal(ours.mask, plain.mask):
        return float("inf")
    pairs = ((getattr(ours, name), getattr(plain, name)) for name in ("image", "target", "weight"))
    return max(0.0 if torch.equal(*both) else relative_error(*both) for both in pairs)  # no weight at all is 0 / 0


def _dataset(root: Path, kind: str) -> PairDataset:
    return PairDataset([root], write_pairs(root, kind, NUM_PAIRS), CANVAS, GRID, MASK, train=True)


def _batch(dataset: PairDataset, draws: list[Draw]) -> Sample:
    return default_collate([dataset[draw] for draw in draws])


def stages(quick: bool) -> dict[str, float]:
    """Seconds of each part of a sample, both halves, of photographs of 480 x 640 with depth; every one is jittered."""
    with TemporaryDirectory() as folder:
        return _stages(_dataset(Path(folder), "nyuv2_depth"), repeats=5 if quick else 25)


def _stages(dataset: PairDataset, repeats: int) -> dict[str, float]:
    rng, (root,), pair = np.random.default_rng(0), dataset.roots, dataset.pairs[0]
    image, target = read_pair(dataset.roots, pair)
    planes, _ = resize_pair(image, target, dataset.half_size, "bicubic")
    samples = [dataset[Draw(i, (i,))] for i in range(NUM_PAIRS)]
    batch = default_collate(samples)
    half = samples[0].image[:, : CANVAS[0] // 2]

    def crop_resize() -> None:
        top, left, h, w = random_crop_box((image.height, image.width), AugmentConfig().crop_scale, PAIR_RATIO, rng)
        box = (left, top, left + w, top + h)
        resize_pair(image.crop(box), target.crop(box), dataset.half_size, "bicubic")

    def median(work: Callable[[], Any], count: float) -> float:
        return statistics.median(seconds(work) for _ in range(repeats)) * count

    opening = median(lambda: [image_size(root / path) for path in pair[:2]], 2)
    return {
        "open": opening,
        "decode": median(lambda: read_pair(dataset.roots, pair), 2) - opening,
        "crop_resize": median(crop_resize, 2),
        "jitter": median(lambda: jitter_color(planes, rng), 2),
        "stitch": median(lambda: stitch(half, half), 2),
        "mask": median(lambda: block_mask(GRID, round(MASK.ratio * GRID[0] * GRID[1]), MASK.block_size, rng), 1),
        "collate": median(lambda: default_collate(samples), 1 / NUM_PAIRS),
        "finish_on_device": median(lambda: finish(batch), 1 / NUM_PAIRS),
    }
