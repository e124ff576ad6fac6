"""Four small sources of real photographs, made from what the scikit-image wheel ships: no download.

    python tools/make_demo_data.py --root demo/data --seed 0

Expected: 1440 training and 21 validation pairs of 64 x 64 pixels in about 5 s; at once where they are there.

* denoise, derain, enhance: the degradation is synthetic, the target is the photograph. Whole photographs are
  held out: `chelsea` and `coffee` are the validation of all three sources and never appear in training.
* depth: measured, from the Middlebury 2014 motorcycle. It is ONE scene: training sees squares of its left two
  thirds (x < 494), validation three of the rest. No pixel is shared, but the room, the motorcycle and the
  light are, so the depth score shows that training works and says nothing about other scenes. Restoration
  trains on the same left part only.
"""

import io
import json
import os
import zlib
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import skimage
import tyro
from PIL import Image
from scipy.ndimage import gaussian_filter
from tqdm import tqdm

FORMAT = 6  # raise it whenever the files change, so that older data sets are made again
STAMP = "demo_data.json"
SIDE = 64  # pixels of every picture: half a canvas of the demo, so that nothing is resized again
CROPS = 40  # of a training photograph, for each source

FOCAL_PX, BASELINE_MM, OFFSET_PX = 994.978, 193.001, 31.086  # calibration of the shipped motorcycle
SPLIT_X = 494  # of its 741 columns: training sees those before, validation of depth those from here on

View = tuple[str, float, float, float]  # photograph, place of a square in it (0 left, top .. 1 right, bottom), its
TRAIN = (  # side as a share of the photograph's shorter one
    "astronaut.png",
    "brick.png",
    "camera.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
)
VAL: dict[str, View] = {
    "chelsea_eye": ("chelsea.png", 0.35, 0.3, 0.3),
    "chelsea_nose": ("chelsea.png", 0.47, 0.8, 0.3),
    "chelsea_face": ("chelsea.png", 0.4, 0.4, 0.5),
    "coffee_rim": ("coffee.png", 0.35, 0.15, 0.3),
    "coffee_spoon": ("coffee.png", 0.66, 0.75, 0.35),
    "coffee_cup": ("coffee.png", 0.45, 0, 0.6),
}


Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def recolour(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The photograph (h, w, 3) in 0..1 in other colours: channels swapped, brighter or darker.

    Eleven photographs show few colours; a network that has seen no other paints a brown cat red.
    """
    return (image[..., rng.permutation(3)] * rng.uniform(0.65, 1.05) * rng.uniform(0.9, 1.1, 3)).clip(0, 1)


def add_noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of standard deviation .15 to .25 on (h, w, 3) in 0..1; the result is not clipped."""
    return image + rng.normal(0, rng.uniform(0.15, 0.25), image.shape)


def add_rain(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bright parallel streaks, up to 20 degrees off the vertical, on (h, w, 3) in 0..1; not clipped."""
    slope, length = rng.uniform(-0.35, 0.35), int(rng.integers(6, 14))
    drops = (rng.random(image.shape[:2]) < 0.09 / length) * rng.uniform(0.5, 1, image.shape[:2])
    streaks = sum(np.roll(drops, (step, round(step * slope)), axis=(0, 1)) for step in range(length))
    return image + gaussian_filter(streaks, 0.4)[..., None]


def darken(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Low light: gamma 1.7, gain .25, sensor noise .01 on (h, w, 3) in 0..1; not clipped."""
    return 0.25 * image**1.7 + rng.normal(0, 0.01, image.shape)


def depth_mm(disparity: np.ndarray) -> np.ndarray:
    """Disparity in pixels (h, w) -> uint16 distance in millimetres; 0 where it is unknown (inf, nan)."""
    known = np.isfinite(disparity)
    depth = FOCAL_PX * BASELINE_MM / (np.where(known, disparity, 0) + OFFSET_PX)
    return np.where(known, np.round(depth), 0).astype(np.uint16)


RESTORATIONS: dict[str, tuple[str, Change]] = {  # list -> (pair type, degradation)
    "denoise/denoise_ssid": ("ssid_image2denoise", add_noise),
    "derain/derain": ("derain_image2derain", add_rain),
    "light_enhance/enhance_lol": ("lol_image2enhance", darken),
}


class Pair(NamedTuple):
    """One entry of a list, and the function that makes its uint8 image (h, w, 3) and its target."""

    list_path: str
    image_path: str
    target_path: str
    type: str
    make: Callable[[], tuple[np.ndarray, np.ndarray]]


def make_demo_data(root: Path = Path("demo/data"), seed: int = 0) -> None:
    """Write the four sources under `root`, unless its stamp says that they are there for this seed.

    The same seed gives the same bytes. Raises ValueError on a negative seed, where `root` holds lists of
    other data, and where the installed scikit-image lacks a photograph.
    """
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, got {seed}")
    stamp, finished = root / STAMP, json.dumps({"seed": seed, "format": FORMAT})
    if stamp.is_file() and stamp.read_text() == finished:
        return
    pairs = [
        pair for split in ("train", "val") for pair in (*_restoration_pairs(split, seed), *_depth_pairs(split, seed))
    ]
    lists = _lists(pairs)
    there = [name for name in lists if (root / name).is_file() and not stamp.is_file()]
    if other := [name for name in there if (root / name).read_text() != lists[name]]:
        raise ValueError(f"{root / other[0]} lists other data; choose an empty root for the demo data")
    _write(stamp, b"unfinished")
    _write_images(root, pairs)
    for name, text in lists.items():
        _write(root / name, text.encode())
    _write(stamp, finished.encode())


def _restoration_pairs(split: str, seed: int) -> Iterator[Pair]:
    names = [f"{Path(name).stem}_{i:02}" for name in TRAIN for i in range(CROPS)] if split == "train" else list(VAL)
    for list_stem, (pair_type, degrade) in RESTORATIONS.items():
        folder = f"{Path(list_stem).parent}/{split}"
        for name in names:
            image_path = f"{folder}/input/{name}.png"
            make = partial(_degraded, name, degrade, (seed, zlib.crc32(image_path.encode())))
            yield Pair(f"{list_stem}_{split}.json", image_path, f"{folder}/target/{name}.png", pair_type, make)


def _depth_pairs(split: str, seed: int) -> Iterator[Pair]:
    folder = f"nyu_depth_v2/{split}"
    for x, y, side in _depth_squares(split, seed):
        name = f"motorcycle_x{x}_y{y}_{side}.png"
        yield Pair(
            f"nyu_depth_v2/nyuv2_{split}_image_depth.json",
            f"{folder}/input/{name}",
            f"{folder}/target/{name}",
            "nyuv2_image2depth",
            partial(_depth_crop, x, y, side),
        )


def _depth_squares(split: str, seed: int) -> list[tuple[int, int, int]]:
    """Random squares (x, y, side) of the training part; three below each other of the part behind it."""
    width, height = _open("motorcycle_left.png").size
    if split == "val":
        side = width - SPLIT_X
        return [(SPLIT_X, number * (height - side) // 2, side) for number in range(3)]
    rng = np.random.default_rng(seed)
    sides = rng.integers(SPLIT_X * 2 // 5, SPLIT_X * 9 // 10, 3 * CROPS)
    return [(int(rng.integers(SPLIT_X - side + 1)), int(rng.integers(height - side + 1)), int(side)) for side in sides]


def _degraded(name: str, degrade: Change, key: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A held-out square as it is, or a random one of a training photograph, two thirds of them recoloured."""
    rng = np.random.default_rng(key)  # a stream of its own for each pair: their order does not matter
    if name in VAL:
        target = _square(VAL[name])
    else:
        stem, number = name.rsplit("_", 1)
        photograph = next(file for file in TRAIN if Path(file).stem == stem)
        target = _square((photograph, *rng.random(2), rng.uniform(0.1, 0.4)))
        target = recolour(target, rng) if int(number) % 3 else target
    return _bytes(degrade(target, rng)), _bytes(target)


def _bytes(image: np.ndarray) -> np.ndarray:
    return np.round(image.clip(0, 1) * 255).astype(np.uint8)


def _depth_crop(x: int, y: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    image = _open("motorcycle_left.png").crop((x, y, x + side, y + side))
    depth = depth_mm(np.load(_shipped("motorcycle_disp.npz"))["arr_0"])
    pick = ((np.arange(SIDE) + 0.5) * side / SIDE).astype(int)  # nearest: no distance is made up at an edge
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)), depth[np.ix_(y + pick, x + pick)]


def _square(view: View) -> np.ndarray:
    """(SIDE, SIDE, 3) in 0..1."""
    name, x, y, share = view
    photograph = _open(name)
    width = SPLIT_X if name.startswith("motorcycle") else photograph.width  # what depth validates on stays unseen
    side = round(share * min(width, photograph.height))
    left, top = round(x * (width - side)), round(y * (photograph.height - side))
    square = photograph.crop((left, top, left + side, top + side))  # first: nothing outside may leak in
    return np.asarray(square.resize((SIDE, SIDE), Image.Resampling.LANCZOS)) / 255


@cache
def _open(name: str) -> Image.Image:
    with Image.open(_shipped(name)) as image:
        return image.convert("RGB")


def _shipped(name: str) -> Path:
    path = Path(skimage.__file__).parent / "data" / name
    if not path.is_file():
        raise ValueError(f"the installed scikit-image ships no {name}; version 0.26.0 does")
    return path


def _lists(pairs: list[Pair]) -> dict[str, str]:
    lists: dict[str, list[dict[str, str]]] = {}
    for pair in pairs:
        entry = {key: getattr(pair, key) for key in ("image_path", "target_path", "type")}
        lists.setdefault(pair.list_path, []).append(entry)
    return {path: json.dumps(entries, indent=1) for path, entries in lists.items()}


def _write_images(root: Path, pairs: list[Pair]) -> None:
    for pair in tqdm(pairs, desc="demo data", unit="pair"):
        for path, pixels in zip((pair.image_path, pair.target_path), pair.make(), strict=True):
            Image.fromarray(pixels).save(png := io.BytesIO(), "PNG", compress_level=3)
            _write(root / path, png.getvalue())


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_bytes(content)
    os.replace(part, path)  # whole or not at all


if __name__ == "__main__":
    tyro.cli(make_demo_data)
