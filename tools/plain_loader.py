"""Loading spelled out, as Pillow and torchvision are mostly used: floats from the first resize on, a pair at a time.

Its draws are those of `PairDataset`, whose finished canvases must equal these.
"""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from PIL import Image, ImageEnhance
from torch import Tensor
from torch.utils.data import default_collate

from data.canvas import Canvas
from data.masking import block_mask
from data.pair_dataset import PairDataset
from data.pairs import Pair
from data.prompt import half_mask
from data.sampler import Draw
from data.scale_jitter import SIDE, View, draw_view
from data.tasks import task_of
from data.transforms import CANVAS_RATIO, PAIR_RATIO, random_crop_box

MEAN, STD = (torch.tensor(x)[:, None, None] for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
Pictures = tuple[Image.Image, Image.Image]
RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "nearest": Image.Resampling.NEAREST}


def batch(dataset: PairDataset, draws: list[Draw]) -> Canvas:
    """The finished canvases of these draws."""
    return default_collate([sample(dataset, draw) for draw in draws])


def sample(dataset: PairDataset, draw: Draw) -> Canvas:
    """One canvas, without the dimension N."""
    rng = np.random.default_rng(draw.seed)
    first = dataset.pairs[draw.index]
    alike = dataset.by_type[first.type]
    pairs = first, dataset.pairs[alike[rng.integers(len(alike))]]
    task = task_of(first.type)
    interp = dataset.target_interp.get(first.type, task.target_interp)
    halves = [_half(dataset, pair, interp, rng) for pair in pairs]
    image, target = (torch.cat(both, dim=1) for both in zip(*halves, strict=True))
    half_masked = not dataset.train or rng.random() < dataset.mask.half_ratio
    if task.canvas_crop and not half_masked:
        height, width = image.shape[1:]
        top, left, h, w = random_crop_box((height, width), dataset.augment.crop_scale, CANVAS_RATIO, rng)
        window = np.s_[None, :, top : top + h, left : left + w]
        image = F.interpolate(image[window], size=(height, width), mode="bicubic", align_corners=False)[0]
        align = {} if interp == "nearest" else {"align_corners": False}
        target = F.interpolate(target[window], size=(height, width), mode=interp, **align)[0]
    num_hidden = round(dataset.mask.ratio * dataset.grid[0] * dataset.grid[1])
    mask = (
        half_mask(dataset.grid) if half_masked else block_mask(dataset.grid, num_hidden, dataset.mask.block_size, rng)
    )
    return Canvas((image - MEAN) / STD, (target - MEAN) / STD, mask, task.loss_weight(target))


def _half(dataset: PairDataset, pair: Pair, interp: str, rng: Generator) -> tuple[Tensor, Tensor]:
    image, target = _read(dataset, pair, rng if dataset.train else None)
    augment, config = dataset.train and task_of(pair.type).augment, dataset.augment
    if augment:
        top, left, h, w = random_crop_box(image.size[::-1], config.crop_scale, PAIR_RATIO, rng)
        image, target = (x.crop((left, top, left + w, top + h)) for x in (image, target))
    image, target = _resize(image, dataset.half_size, "bicubic"), _resize(target, dataset.half_size, interp)
    if augment and rng.random() < config.jitter:
        image = _jitter(image, rng)
    if augment and rng.random() < config.flip:
        image, target = (x.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for x in (image, target))
    return _tensor(image), _tensor(target)


def _tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def _read(dataset: PairDataset, pair: Pair, rng: Generator | None) -> Pictures:
    photo, target = (next(root / path for root in dataset.roots if (root / path).is_file()) for path in pair[:2])
    label = None if pair.label is None else json.loads(pair.label)
    if label and "segments" in label:
        return _instances(_open(photo), _open(target), label["segments"], rng)
    if label:
        return task_of(pair.type).read_pair(photo, target, label, rng)  # a person: nothing to restate
    if pair.type == "nyuv2_image2depth":
        return _open(photo), Image.fromarray(np.array(Image.open(target)) / 10000.0 * 255).convert("RGB")
    return _open(photo), _open(target)


def _open(path: Path) -> Image.Image:
    return Image.open(path).convert("RGB")


def _instances(photo: Image.Image, panoptic: Image.Image, segments: list[int], rng: Generator | None) -> Pictures:
    """Mask after mask in a view of 1024 x 1024."""
    ids = np.array(panoptic) @ np.array([1, 256, 65536])
    index = sum(
        ((ids == segment) * np.uint8(i) for i, segment in enumerate(segments, 1)), np.zeros(ids.shape, np.uint8)
    )
    for attempt in range(11):
        view = View() if rng is None or attempt == 10 else _draw(rng)
        if (seen := _view(index, view, cv2.INTER_NEAREST)).any():
            break
    painted = np.zeros((SIDE, SIDE, 3), np.uint8)
    for mask in (seen == i for i in range(1, len(segments) + 1) if (seen == i).any()):
        y, x = (int(where.mean() / SIDE * 79) for where in np.nonzero(mask))
        painted[mask] = 255 - 15 * (y // 20 * 4 + x // 20), 255 - 13 * (y % 20), 255 - 13 * (x % 20)
    return Image.fromarray(_view(np.array(photo), view, cv2.INTER_LINEAR)), Image.fromarray(painted)


def _draw(rng: Generator) -> View:
    """Of 32 copies a plain one, a flipped one, or a jittered one."""
    copy = rng.integers(32)
    return View(flip=bool(copy)) if copy < 2 else draw_view(rng)


def _view(pixels: np.ndarray, view: View, interp: int) -> np.ndarray:
    whole = cv2.resize(
        np.ascontiguousarray(pixels[:, ::-1]) if view.flip else pixels, (view.side,) * 2, interpolation=interp
    )
    shown = whole[view.top : view.top + SIDE, view.left : view.left + SIDE]
    square = np.zeros((SIDE, SIDE, *pixels.shape[2:]), np.uint8)
    square[: len(shown), : len(shown)] = shown
    return square


def _resize(image: Image.Image, size: tuple[int, int], interp: str) -> Image.Image:
    """Columns, then rows: the order of all Pillows but the newest, at no cost."""
    return image.resize((size[1], image.height), RESAMPLING[interp]).resize(size[::-1], RESAMPLING[interp])


def _jitter(image: Image.Image, rng: Generator) -> Image.Image:
    """torchvision's ColorJitter(.4, .4, .2, .1) of Pillow images."""

    def hue(image: Image.Image, turn: float) -> Image.Image:
        h, s, v = image.convert("HSV").split()
        turned = np.array(h) + np.array(int(turn * 255)).astype(np.uint8)
        return Image.merge("HSV", (Image.fromarray(turned), s, v)).convert("RGB")

    changes: list[tuple[Callable[[Image.Image, float], Image.Image], float, float]] = [
        (lambda image, factor: ImageEnhance.Brightness(image).enhance(factor), 0.6, 1.4),
        (lambda image, factor: ImageEnhance.Contrast(image).enhance(factor), 0.6, 1.4),
        (lambda image, factor: ImageEnhance.Color(image).enhance(factor), 0.8, 1.2),
        (hue, -0.1, 0.1),
    ]
    for i in rng.permutation(4):
        change, low, high = changes[i]
        image = change(image, rng.uniform(low, high))
    return image
