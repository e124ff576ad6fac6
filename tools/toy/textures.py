"""Procedural textures: a pattern blends two colours over a surface measured in metres."""

import colorsys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Colour = tuple[float, float, float]  # red, green, blue in 0..1


class Paint(NamedTuple):
    """Two colours and the pattern that mixes them; `scale` is the size of the pattern in metres."""

    first: Colour
    second: Colour
    pattern: str = "plain"
    scale: float = 0.1
    seed: int = 0

    def at(self, places: np.ndarray) -> np.ndarray:
        """Texture coordinates (n, 2) in metres -> colours (n, 3) in 0..1."""
        share = PATTERNS[self.pattern](places / self.scale, self.seed)[:, None]
        return (1 - share) * np.array(self.first) + share * np.array(self.second)


def hue(rng: np.random.Generator, low: float, high: float, saturation: float = 0.6, value: float = 0.7) -> Colour:
    """A colour of hue low..high (share of the circle), its saturation and value varied by a fifth."""
    varied = (min(1.0, level * rng.uniform(0.8, 1.2)) for level in (saturation, value))
    return colorsys.hsv_to_rgb(rng.uniform(low, high) % 1, *varied)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`share` of the second colour in the first."""
    red, green, blue = ((1 - share) * a + share * b for a, b in zip(first, second, strict=True))
    return red, green, blue


def _hashed(cells: np.ndarray, seed: int) -> np.ndarray:
    """Integer cells (n, 2) -> (n,) in 0..1, as if random."""
    number = (cells[:, 0] * 374761393 + cells[:, 1] * 668265263 + seed * 974711) & 0xFFFFFFFF
    number = ((number ^ (number >> 13)) * 1274126177) & 0xFFFFFFFF
    return (number ^ (number >> 16)) / 2**32


def _noise(places: np.ndarray, seed: int) -> np.ndarray:
    """Smooth noise (n,) in 0..1 with a grain of one."""
    cells = np.floor(places).astype(np.int64)
    within = places - cells
    within = within * within * (3 - 2 * within)
    u, v = within[:, 0], within[:, 1]
    corner = [_hashed(cells + np.array(step), seed) for step in ((0, 0), (1, 0), (0, 1), (1, 1))]
    return (corner[0] * (1 - u) + corner[1] * u) * (1 - v) + (corner[2] * (1 - u) + corner[3] * u) * v


def _clouds(places: np.ndarray, seed: int) -> np.ndarray:
    return np.clip(1.6 * (0.65 * _noise(places, seed) + 0.35 * _noise(places * 2.7, seed + 1)) - 0.3, 0, 1)


def _leaves(places: np.ndarray, seed: int) -> np.ndarray:
    return 0.6 * (_noise(places, seed) > 0.5) + 0.4 * _noise(places * 3, seed + 1)


def _bricks(places: np.ndarray, seed: int) -> np.ndarray:
    row = np.floor(places[:, 1] * 2)
    shifted = np.stack((places[:, 0] + row % 2 / 2, places[:, 1] * 2), 1)
    mortar = ((shifted % 1) < (0.1, 0.2)).any(1)
    return np.where(mortar, 1, 0.4 * _hashed(np.floor(shifted).astype(np.int64), seed))


def _planks(places: np.ndarray, seed: int) -> np.ndarray:
    plank = np.floor(places[:, 0]).astype(np.int64)
    tone = _hashed(np.stack((plank, plank), 1), seed)
    grain = _noise(places * (7, 0.8), seed)
    return np.where(places[:, 0] % 1 < 0.1, 1, 0.5 * tone + 0.25 * grain)


def _panes(places: np.ndarray, seed: int) -> np.ndarray:
    return (np.abs(places - np.round(places)) < 0.1).any(1).astype(float)


def _facade(places: np.ndarray, seed: int) -> np.ndarray:
    inside = (np.abs(places % 1 - 0.5) < (0.22, 0.3)).all(1)
    return inside * (0.6 + 0.4 * _hashed(np.floor(places).astype(np.int64), seed))


PATTERNS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {  # places in units of the scale -> share (n,)
    "plain": lambda places, seed: 0.3 * _noise(places, seed),
    "stripes": lambda places, seed: np.floor(places[:, 1]) % 2,
    "bars": lambda places, seed: np.floor(places[:, 0]) % 2,
    "checks": lambda places, seed: np.floor(places).sum(1) % 2,
    "clouds": _clouds,
    "leaves": _leaves,
    "bricks": _bricks,
    "planks": _planks,
    "panes": _panes,
    "facade": _facade,
}
