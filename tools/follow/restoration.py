"""Restorations that no training pair shows, and pictures with two damages of which the prompt removes one."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from PIL import Image
from scipy.ndimage import gaussian_filter
from tqdm import tqdm

from data.tasks import Task
from data.tasks.base import Picture
from data.tasks.restoration import DENOISE, DERAIN, ENHANCE
from data.transforms import Size, resize
from engine.inpaint import Prompt
from eval.metrics.restoration import psnr
from tools.follow.queries import Floats, Paint, noise_of, photograph, rain_of
from tools.toy.photographs import as_bytes, darken

Damage = Callable[[Floats, Generator], Floats]

HOLE, HOLES = 28, 8  # side in pixels and number of missing squares
SPOT, SPOTTED = 2, 0.12  # side in pixels of a grain of salt or pepper; share of the picture under them
BLUR = 4.0  # standard deviation in pixels


def blur(clean: Floats, rng: Generator) -> Floats:
    """Out of focus."""
    return np.asarray(gaussian_filter(clean, (BLUR, BLUR, 0)))


def salt_and_pepper(clean: Floats, rng: Generator) -> Floats:
    """White and black grains."""
    h, w = clean.shape[:2]
    drawn = np.kron(rng.random((h // SPOT, w // SPOT)), np.ones((SPOT, SPOT)))[..., None]
    return np.where(drawn < SPOTTED / 2, 0.0, np.where(drawn < SPOTTED, 1.0, clean))


def holes(clean: Floats, rng: Generator) -> Floats:
    """Black squares where the picture is missing."""
    image = clean.copy()
    for _ in range(HOLES):
        top, left = rng.integers((clean.shape[0] - HOLE, clean.shape[1] - HOLE))
        image[top : top + HOLE, left : left + HOLE] = 0
    return image


TRAINED: dict[Task, Damage] = {
    DENOISE: lambda clean, rng: clean + noise_of(clean, rng),
    DERAIN: lambda clean, rng: clean + rain_of(clean, rng),
    ENHANCE: darken,
}
UNSEEN: dict[str, Damage] = {"blur": blur, "salt and pepper": salt_and_pepper, "missing squares": holes}


class Restored(NamedTuple):
    """Mean PSNR in dB to the clean photographs."""

    own: float
    """below prompts that show this damage go"""
    copied: float
    """of the queries themselves"""
    other: float
    """below the prompts of the best of the (other) trained restorations"""
    other_name: str


class Separated(NamedTuple):
    """Means over paintings of photographs below noise and rain."""

    noise_repaired: float
    """share of the noise that went"""
    rain_repaired: float
    photograph_kept: float
    """share of it: where it went too, nothing was repaired"""
    psnr_denoise: float
    """dB, to the photograph with the rain alone"""
    psnr_derain: float
    """with the noise alone"""


class Mixed(NamedTuple):
    """A photograph (H, W, 3) in 0..1, and what rain and noise add to it; the sum of all three is in 0..1."""

    clean: Floats
    noise: Floats
    rain: Floats

    @property
    def query(self) -> Picture:
        return as_bytes(self.clean + self.noise + self.rain)

    @property
    def truths(self) -> dict[Task, Picture]:
        """With noise, or rain, alone removed."""
        return {DENOISE: as_bytes(self.clean + self.rain), DERAIN: as_bytes(self.clean + self.noise)}


def unseen_prompts(damage: Damage, num: int, rng: Generator) -> list[Prompt]:
    """Training photographs with a damage, and without."""
    clean = [photograph(rng, int(number), "train") for number in rng.integers(1000, size=num)]
    return [(Image.fromarray(as_bytes(damage(x, rng))), Image.fromarray(as_bytes(x))) for x in clean]


def restored(
    paint: Paint,
    pairs: Sequence[tuple[Picture, Picture]],
    own: Sequence[Prompt],
    others: Mapping[Task, Sequence[Prompt]],
) -> Restored:
    """Degraded and clean photographs, painted below prompts of their damage and of others."""
    images, clean = zip(*pairs, strict=True)

    def quality(prompts: Sequence[Prompt]) -> float:
        return _mean_psnr([output for prompt in prompts for output in paint(prompt, images)], clean * len(prompts))

    found = {task.name: quality(prompts) for task, prompts in others.items()}
    best = max(found, key=lambda name: found[name])
    return Restored(quality(own), _mean_psnr(images, clean), found[best], best)


def degraded(damage: Damage, num: int, rng: Generator) -> list[tuple[Picture, Picture]]:
    """Held-out photographs with a damage, and clean."""
    clean = [photograph(rng, number) for number in range(num)]
    return [(as_bytes(damage(x, rng)), as_bytes(x)) for x in clean]


def mixed(rng: Generator, number: int) -> Mixed:
    """A held-out photograph below noise and rain; what clipping takes away belongs to neither."""
    clean = photograph(rng, number)
    rainy = (clean + rain_of(clean, rng)).clip(0, 1)
    return Mixed(clean, (rainy + noise_of(clean, rng)).clip(0, 1) - rainy, rainy - clean)


def repaired(output: Picture, photo: Mixed) -> tuple[float, float, float]:
    """Shares of the noise that went, of the rain that went, and of the photograph that stayed.

    The query has 0, 0, 1, the clean photograph 1, 1, 1, a gray surface 1, 1, 0. The output is fitted, by least
    squares, as a sum of noise, rain, photograph and a constant; the shares are the coefficients, of a damage less
    than 1 by it. So another brightness or contrast is not taken for a repair.
    """
    parts = np.stack([*(x.ravel() for x in (photo.noise, photo.rain, photo.clean)), np.ones(photo.clean.size)], axis=1)
    noise, rain, kept, _ = np.linalg.lstsq(parts, output.ravel() / 255, rcond=None)[0].tolist()
    return 1 - noise, 1 - rain, kept


def separated(
    paint: Paint, photos: Sequence[Mixed], prompts: Mapping[Task, Sequence[Prompt]], size: Size
) -> dict[str, Separated]:
    """By the name of the prompted task; `copied`: of the queries themselves.

    `TASK at best`: of the truths once they were as small as `size`, the half canvas, which takes fine noise away from
    all that is painted.
    """
    images = [photo.query for photo in photos]
    outputs = {"copied": [images]}
    for task in tqdm((DENOISE, DERAIN), "noise and rain", unit="task"):
        outputs[task.name] = [list(paint(prompt, images)) for prompt in prompts[task]]
        outputs[f"{task.name} at best"] = [[_seen(photo.truths[task], size) for photo in photos]]
    return {
        name: _mean([one for x in of_prompts for one in zip(x, photos, strict=True)])
        for name, of_prompts in outputs.items()
    }


def _seen(picture: Picture, size: Size) -> Picture:
    """Made as small as `size`, and as large as it was."""
    return np.asarray(resize(resize(Image.fromarray(picture), size, "bicubic"), picture.shape[:2], "bicubic"))


def _mean(pairs: Sequence[tuple[Picture, Mixed]]) -> Separated:
    rows = [
        (*repaired(output, photo), *(psnr(output, x, 255) for x in photo.truths.values())) for output, photo in pairs
    ]
    return Separated(*np.mean(rows, axis=0).tolist())


def _mean_psnr(outputs: Sequence[Picture], truths: Sequence[Picture]) -> float:
    return float(np.mean([psnr(output, truth, 255) for output, truth in zip(outputs, truths, strict=True)]))
