"""SIDD, derain and LoL: photographs as the targets, degraded ones as the inputs."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tools.toy.files import write_image
from tools.toy.photographs import add_large_rain, add_noise, add_rain, as_bytes, darken, recoloured, view
from tools.toy.world import World
from tools.toy.write_nyu import mat_bytes
from util.files import write

SIDD_SIDE, BLOCK = 512, 256  # pixels, whatever the size of the world: patches of 256 are cut from them
STAYS = 0.5  # share of the training pairs for noise, and for rain, on which the other damage lies and stays
BLOCKS = 4  # a validation picture of SIDD; the real one has 32
FIRST = 100  # number of the first training pair of derain and LoL: 100 is the benchmarks' prompt
RAIN = {"Rain100L": 0.04, "Rain100H": 0.2, "Test100": 0.09, "Test1200": 0.12, "Test2800": 0.07}  # share under streaks

Degrade = Callable[[np.ndarray, np.random.Generator], np.ndarray]
Pair = tuple[np.ndarray, np.ndarray]  # degraded and clean picture, (h, w, 3) uint8


def write_restoration(root: Path, world: World) -> None:
    """All three; the number of SIDD's pictures grows slowly, as each gives many patches."""
    _write_sidd(root / "denoise", world)
    for split, folder in (("train", "our485"), ("val", "eval15")):
        for name, pair in _pairs(world, folder, split, darken):
            _write(root / "light_enhance" / folder, ("low", "high"), f"{name}.png", pair)
    h, w = world.landscape()
    large = (2 * h, 2 * w)  # as SIDD's patches, so that neither picture nor grain tells which damage is to go
    for name, pair in _pairs(world, "derain", "train", add_large_rain, add_noise, large):
        _write(root / "derain/train", ("input", "target"), f"{name}.jpg", pair)
    for test, density in RAIN.items():
        for name, pair in _pairs(world, test, "val", partial(add_rain, density=density)):
            _write(root / "derain/test" / test, ("input", "target"), f"{name}.png", pair)


def _write(folder: Path, sides: tuple[str, str], name: str, pair: Pair) -> None:
    for side, pixels in zip(sides, pair, strict=True):
        write_image(folder / side / name, pixels)


def _pairs(
    world: World,
    source: str,
    split: str,
    degrade: Degrade,
    stays: Degrade | None = None,
    shape: tuple[int, int] | None = None,
) -> Iterator[tuple[int, Pair]]:
    for number in tqdm(range(world.count(split)), desc=source, unit="pair"):
        pair = _pair(world, (source, split), number, degrade, stays, shape)
        yield number + (FIRST if split == "train" else 1), pair


def _pair(
    world: World,
    source: tuple[str, str],
    number: int,
    degrade: Degrade,
    stays: Degrade | None = None,
    shape: tuple[int, int] | None = None,
) -> Pair:
    """A view of a photograph, and what `degrade` makes of it.

    Two thirds are in other colours. A share `STAYS` bears the damage `stays` in both pictures, and its own in any
    strength from none: where every noisy input wants its noise removed, a network learns to look at the query alone
    and not at the prompt. Never the first one, which the benchmarks show as their prompt: it is to show its own task.
    """
    rng, strength = world.rng(source, number), 1.0
    target = view(rng, source[1], number).pixels(shape or world.landscape())
    if source[1] == "train" and number % 3:
        target = recoloured(target, rng)
    if stays and rng.random() < STAYS and number:
        target, strength = stays(target, rng).clip(0, 1), rng.random()
    return as_bytes(target + strength * (degrade(target, rng) - target)), as_bytes(target)


def _write_sidd(folder: Path, world: World) -> None:
    """Scenes of the Medium set, and the two .mat files of blocks to validate on."""
    for number in tqdm(range(max(10, world.scenes // 10)), desc="sidd", unit="pair"):
        noisy, clean = _pair(world, ("sidd", "train"), number, add_noise, add_large_rain, (SIDD_SIDE, SIDD_SIDE))
        scene = folder / f"SIDD_Medium_Srgb/Data/{number + 1:04}_001_S6_00100_00060_3200_L"
        write_image(scene / f"{number + 1:04}_NOISY_SRGB_010.PNG", noisy)
        write_image(scene / f"{number + 1:04}_GT_SRGB_010.PNG", clean)
    pictures, shape = max(2, world.count("val") // 5), (BLOCK, BLOCK)
    pairs = [_pair(world, ("sidd", "val"), number, add_noise, shape=shape) for number in range(pictures * BLOCKS)]
    for side, stem in enumerate(("ValidationNoisyBlocksSrgb", "ValidationGtBlocksSrgb")):
        array = np.stack([pair[side] for pair in pairs]).reshape(pictures, BLOCKS, BLOCK, BLOCK, 3)
        write(folder / f"val/{stem}.mat", mat_bytes({stem: array}))
