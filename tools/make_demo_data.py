"""Four small sources of real photographs, made from what the scikit-image wheel ships: no download.

    python tools/make_demo_data.py --root demo/data --seed 0

Expected: 145 training and 21 validation pairs, 54 MB, in about 5 s; at once where they are there already.

* denoise, derain, enhance: the degradation is synthetic, the target is the photograph. Whole photographs are
  held out: `chelsea` and `coffee` are the validation of all three sources and never appear in training.
* depth: measured, from the Middlebury 2014 motorcycle. It is ONE scene: training sees crops of its left two
  thirds (x < 494), validation crops of the rest. No pixel is shared, but the room, the motorcycle and the
  light are, so the depth score shows that training works and says nothing about other scenes. Restoration
  trains on the same left part only.
"""
import io
import json
import os
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import skimage
import tyro
from PIL import Image
from scipy.ndimage import gaussian_filter
from tqdm import tqdm

FORMAT = 2  # raise it whenever the files change, so that older data sets are made again
STAMP = "demo_data.json"
LONG_SIDE = {"train": 128, "val": 96}  # of a restoration photograph; a half canvas of the demo is 96 x 96
NUM_DRAWS = 2

FOCAL_PX, BASELINE_MM, OFFSET_PX = 994.978, 193.001, 31.086  # calibration of the shipped motorcycle
SPLIT_X = 494
DEPTH_CROPS = {  # (x, y, size) in pixels of the 741 x 500 left view
    "train": [(x, y, 384) for x in (0, 110) for y in (0, 116)]
    + [(x, y, 247) for x in (0, 123, 247) for y in (0, 126, 253)],
    "val": [(SPLIT_X, y, 247) for y in (0, 126, 253)],
}

Box = tuple[float, float, float, float]  # left, top, right, bottom, as shares of width and height
WHOLE: Box = (0, 0, 1, 1)
QUARTERS: dict[str, Box] = {f"_{x}{y}": (x / 2, y / 2, (x + 1) / 2, (y + 1) / 2) for y in (0, 1) for x in (0, 1)}
TRAIN = ("astronaut.png", "brick.png", "camera.png", "coins.png", "grass.png", "gravel.png", "ihc.png", "moon.png",
         "motorcycle_left.png", "retina.jpg", "rocket.jpg")

View = tuple[str, Box]  # photograph and its part
VIEWS: dict[str, dict[str, View]] = {
    "train": {Path(name).stem + part: (name, box)
              for name in TRAIN for part, box in {"": WHOLE, **QUARTERS}.items()},
    "val": {  # squares
        "chelsea_left": ("chelsea.png", (0, 0, 300 / 451, 1)),
        "chelsea_right": ("chelsea.png", (151 / 451, 0, 1, 1)),
        "chelsea_face": ("chelsea.png", (120 / 451, 60 / 300, 320 / 451, 260 / 300)),
        "coffee_left": ("coffee.png", (0, 0, 2 / 3, 1)),
        "coffee_right": ("coffee.png", (1 / 3, 0, 1, 1)),
        "coffee_cup": ("coffee.png", (150 / 600, 0, 430 / 600, 280 / 400)),
    },
}


def add_noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of standard deviation .15 to .25 on (h, w, 3) in 0..1; the result is not clipped."""
    return image + rng.normal(0, rng.uniform(0.15, 0.25), image.shape)


def add_rain(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bright parallel streaks, up to 27 degrees off the vertical, on (h, w, 3) in 0..1; not clipped."""
    slope, length = rng.uniform(-0.5, 0.5), int(rng.integers(8, 20))
    drops = (rng.random(image.shape[:2]) < 0.15 / length) * rng.uniform(0.5, 1, image.shape[:2])
    streaks = sum(np.roll(drops, (step, round(step * slope)), axis=(0, 1)) for step in range(length))
    return image + gaussian_filter(streaks, 0.4)[..., None]


def darken(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Low light: gamma 1.4 to 2, gain .2 to .35, sensor noise .01 on (h, w, 3) in 0..1; not clipped."""
    gamma, gain = rng.uniform(1.4, 2.0), rng.uniform(0.2, 0.35)
    return gain * image**gamma + rng.normal(0, 0.01, image.shape)


def depth_mm(disparity: np.ndarray) -> np.ndarray:
    """Disparity in pixels (h, w) -> uint16 distance in millimetres; 0 where it is unknown (inf, nan)."""
    known = np.isfinite(disparity)
    depth = FOCAL_PX * BASELINE_MM / (np.where(known, disparity, 0) + OFFSET_PX)
    return np.where(known, np.round(depth), 0).astype(np.uint16)


RESTORATIONS = {  # list -> (pair type, degradation)
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
    pairs = [p for split in VIEWS for p in (*_restoration_pairs(split, seed), *_depth_pairs(split))]
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
    draws = [f"_{n}" for n in range(NUM_DRAWS)] if split == "train" else [""]
    for list_stem, (pair_type, degrade) in RESTORATIONS.items():
        folder = f"{Path(list_stem).parent}/{split}"
        for name, view in VIEWS[split].items():
            for draw in draws:
                image_path = f"{folder}/input/{name}{draw}.png"
                key = (seed, zlib.crc32(image_path.encode()))  # a stream of its own: order does not matter
                yield Pair(f"{list_stem}_{split}.json", image_path, f"{folder}/target/{name}.png", pair_type,
                           partial(_degraded, view, LONG_SIDE[split], degrade, key))


def _depth_pairs(split: str) -> Iterator[Pair]:
    for x, y, size in DEPTH_CROPS[split]:
        folder, name = f"nyu_depth_v2/{split}", f"motorcycle_x{x}_y{y}_{size}.png"
        yield Pair(f"nyu_depth_v2/nyuv2_{split}_image_depth.json", f"{folder}/input/{name}",
                   f"{folder}/target/{name}", "nyuv2_image2depth", partial(_depth_crop, x, y, size))


def _degraded(view: View, long_side: int, degrade: Callable,
              key: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    target = _photograph(view, long_side)
    image = degrade(target / 255, np.random.default_rng(key))
    return np.round(image.clip(0, 1) * 255).astype(np.uint8), target


def _depth_crop(x: int, y: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    crop = np.s_[y : y + size, x : x + size]
    image = np.asarray(Image.open(_shipped("motorcycle_left.png")).convert("RGB"))
    return image[crop], depth_mm(np.load(_shipped("motorcycle_disp.npz"))["arr_0"])[crop]


@lru_cache
def _photograph(view: View, long_side: int) -> np.ndarray:
    name, (left, top, right, bottom) = view
    photograph = Image.open(_shipped(name)).convert("RGB")
    width, height = SPLIT_X if name.startswith("motorcycle") else photograph.width, photograph.height
    box = (round(left * width), round(top * height), round(right * width), round(bottom * height))
    photograph = photograph.crop(box)  # first: nothing outside may leak in
    photograph.thumbnail((long_side, long_side), Image.Resampling.LANCZOS, reducing_gap=None)
    return np.asarray(photograph)


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
    written = set()  # the draws of a photograph share their target
    for pair in tqdm(pairs, desc="demo data", unit="pair"):
        for path, pixels in zip((pair.image_path, pair.target_path), pair.make(), strict=True):
            if path not in written:
                Image.fromarray(pixels).save(png := io.BytesIO(), "PNG", compress_level=3)
                _write(root / path, png.getvalue())
                written.add(path)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_bytes(content)
    os.replace(part, path)  # whole or not at all


if __name__ == "__main__":
    tyro.cli(make_demo_data)
