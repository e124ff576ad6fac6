"""What stands in the scenes: each kind has its shapes, colours and textures, varied from object to object.

A maker returns the parts of one object around the origin of the floor, its front towards the camera (-z).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tools.toy.shapes import Ball, Box, Capsule, Shape, vector
from tools.toy.textures import Colour, Paint, hue, mix

WHITE: Colour = (0.95, 0.95, 0.92)
DARK: Colour = (0.08, 0.08, 0.1)
Generator = np.random.Generator


class Part(NamedTuple):
    """A solid and its paint."""

    shape: Shape
    paint: Paint


class Kind(NamedTuple):
    """A kind of thing or stuff: its index of ADE20K's 150 (from 1) and its category of COCO's 133; 0 = unlabelled."""

    ade: int
    coco: int


KINDS: dict[str, Kind] = {
    "wall": Kind(1, 199),
    "wall-brick": Kind(1, 171),
    "building": Kind(2, 197),
    "sky": Kind(3, 187),
    "floor": Kind(4, 190),
    "floor-wood": Kind(4, 118),
    "tree": Kind(5, 184),
    "ceiling": Kind(6, 186),
    "window": Kind(9, 181),
    "grass": Kind(10, 193),
    "person": Kind(13, 1),
    "door": Kind(15, 112),
    "table": Kind(16, 67),
    "plant": Kind(18, 64),
    "chair": Kind(20, 62),
    "car": Kind(21, 3),
    "couch": Kind(24, 63),
    "ball": Kind(120, 37),
    "clock": Kind(149, 85),
    "clutter": Kind(0, 0),
}


def box(paint: Paint, x: float, y: float, z: float, width: float, height: float, depth: float) -> Part:
    """A box of full sizes, `y` being that of its lower side."""
    return Part(Box(vector(x, y + height / 2, z), vector(width, height, depth) / 2), paint)


def ball(paint: Paint, x: float, y: float, z: float, *half: float) -> Part:
    """An ellipsoid around (x, y, z) with one half axis or three."""
    return Part(Ball(vector(x, y, z), vector(*(half if len(half) == 3 else half * 3))), paint)


def rod(paint: Paint, start: tuple[float, ...], end: tuple[float, ...], radius: float) -> Part:
    """A capsule from start to end."""
    return Part(Capsule(vector(*start), vector(*end), radius), paint)


def put(parts: list[Part], x: float, z: float, yaw: float = 0.0) -> list[Part]:
    """An object at its place on the floor, turned by `yaw` radians."""
    return [Part(part.shape.placed(x, z, yaw), part.paint) for part in parts]


def plain(colour: Colour) -> Paint:
    """One colour, a little uneven."""
    return Paint(colour, mix(colour, DARK, 0.3))


def _legs(paint: Paint, x: float, z: float, height: float, radius: float) -> list[Part]:
    corners = [(i * x, k * z) for i in (-1, 1) for k in (-1, 1)]
    return [rod(paint, (i, radius, k), (i, height - radius, k), radius) for i, k in corners]


def chair(rng: Generator, seat: float = 0.45) -> list[Part]:
    colour = hue(rng, -0.04, 0.05, 0.8, 0.75)
    fabric = Paint(colour, mix(colour, WHITE, 0.6), str(rng.choice(["stripes", "bars"])), 0.08)
    top = seat + rng.uniform(0.45, 0.6)
    back = box(fabric, 0, seat, 0.22, 0.48, top - seat, 0.06)
    return [box(fabric, 0, seat - 0.08, 0, 0.48, 0.08, 0.48), back, *_legs(plain(DARK), 0.2, 0.2, seat, 0.03)]


def table(rng: Generator) -> list[Part]:
    colour = hue(rng, 0.08, 0.11, 0.65, 0.7)
    wood = Paint(colour, mix(colour, DARK, 0.6), "planks", 0.15, int(rng.integers(99)))
    width, depth, height = rng.uniform(1.0, 1.6), rng.uniform(0.7, 0.9), rng.uniform(0.65, 0.8)
    legs = _legs(plain(mix(colour, DARK, 0.4)), width / 2 - 0.1, depth / 2 - 0.1, height - 0.05, 0.045)
    return [box(wood, 0, height - 0.08, 0, width, 0.08, depth), *legs]


def couch(rng: Generator) -> list[Part]:
    colour = hue(rng, 0.48, 0.58, 0.7, 0.6)
    fabric, plainer = Paint(colour, mix(colour, WHITE, 0.35), "checks", 0.14), plain(mix(colour, DARK, 0.25))
    width = rng.uniform(1.3, 1.9)
    arms = [box(plainer, side * (width / 2 - 0.1), 0, 0, 0.2, 0.62, 0.8) for side in (-1, 1)]
    return [box(fabric, 0, 0, 0, width, 0.42, 0.75), box(fabric, 0, 0.4, 0.3, width, 0.45, 0.2), *arms]


def plant(rng: Generator) -> list[Part]:
    pot, green = plain(hue(rng, 0.03, 0.06, 0.7, 0.7)), hue(rng, 0.24, 0.32, 0.8, 0.55)
    leaf = Paint(green, mix(green, (0.9, 1, 0.3), 0.5), "stripes", 0.06)
    size = rng.uniform(0.8, 1.25)
    angles = rng.uniform(0, 2 * np.pi) + np.arange(9) * 2.4
    tips = [(reach * np.cos(a), top, reach * np.sin(a)) for a, reach, top in zip(angles, *_leaf_tips(rng), strict=True)]
    leaves = [rod(leaf, (0, 0.35 * size, 0), tuple(size * t for t in tip), 0.055 * size) for tip in tips]
    return [ball(pot, 0, 0.2 * size, 0, 0.2 * size, 0.2 * size, 0.2 * size), *leaves]


def _leaf_tips(rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.uniform(0.15, 0.42, 9), rng.uniform(0.6, 1.1, 9)


def toy_ball(rng: Generator) -> list[Part]:
    radius = rng.uniform(0.2, 0.34)
    paint = Paint(hue(rng, 0.12, 0.16, 0.9, 0.95), hue(rng, 0.9, 0.97, 0.8, 0.8), "bars", radius * np.pi / 4)
    return [ball(paint, 0, radius, 0, radius)]


def car(rng: Generator) -> list[Part]:
    colour, size = hue(rng, 0.55, 1.1, 0.85, 0.75), rng.uniform(0.85, 1.1)
    paint, glass = plain(colour), Paint((0.15, 0.2, 0.28), (0.6, 0.7, 0.8), "clouds", 0.5)
    wheels = [ball(plain(DARK), i * 0.8, 0.33, k * 1.15, 0.14, 0.33, 0.33) for i in (-1, 1) for k in (-1, 1)]
    hubs = [ball(plain(WHITE), i * 0.9, 0.33, k * 1.15, 0.06, 0.16, 0.16) for i in (-1, 1) for k in (-1, 1)]
    lamps = [ball(plain((1, 0.95, 0.6)), i * 0.55, 0.65, -1.8, 0.17, 0.12, 0.06) for i in (-1, 1)]
    body = [box(paint, 0, 0.28, 0, 1.65, 0.6, 3.6), box(glass, 0, 0.88, 0.25, 1.4, 0.42, 1.9)]
    parts = [*body, box(paint, 0, 1.3, 0.25, 1.42, 0.08, 1.95), *wheels, *hubs, *lamps]
    return [Part(part.shape.scaled(size), part.paint) for part in parts]


def tree(rng: Generator) -> list[Part]:
    green, height = hue(rng, 0.3, 0.38, 0.75, 0.4), rng.uniform(1.0, 1.8)
    leaf = Paint(green, mix(green, (0.5, 0.8, 0.2), 0.6), "leaves", 0.25, int(rng.integers(99)))
    bark = Paint((0.35, 0.24, 0.15), (0.2, 0.13, 0.08), "planks", 0.08)
    crown = [
        ball(leaf, *rng.uniform((-0.5, height + 0.1, -0.3), (0.5, height + 1.3, 0.3)), rng.uniform(0.5, 0.8))
        for _ in range(6)
    ]
    return [rod(bark, (0, 0, 0), (0, height + 0.4, 0), rng.uniform(0.1, 0.18)), *crown]


def building(rng: Generator) -> list[Part]:
    colour, width, height = hue(rng, 0.02, 0.14, 0.25, 0.7), rng.uniform(4, 7), rng.uniform(4, 10)
    facade = Paint(colour, (0.2, 0.24, 0.32), "facade", rng.uniform(1.2, 1.7), int(rng.integers(99)))
    roof = plain(mix(colour, DARK, 0.5))
    return [box(facade, 0, 0, 0, width, height, 4), box(roof, 0, height, 0, width + 0.4, 0.4, 4.4)]


def clutter(rng: Generator) -> list[Part]:
    colour = hue(rng, 0, 1, 0.3, 0.6)
    paint = Paint(colour, mix(colour, DARK, 0.5), "leaves", 0.1, int(rng.integers(99)))
    sizes = rng.uniform(0.3, 0.55, 3)
    return [box(paint, 0, 0, 0, *sizes), box(plain(colour), 0.05, sizes[1], 0, *(0.6 * sizes))]


def door(rng: Generator) -> list[Part]:
    colour = hue(rng, 0.04, 0.08, 0.7, 0.4)
    wood = Paint(colour, mix(colour, DARK, 0.6), "planks", 0.18)
    knob = ball(plain((0.9, 0.8, 0.3)), 0.34, 1.0, -0.06, 0.05)
    return [box(plain(WHITE), 0, 0, 0, 1.05, 2.1, 0.04), box(wood, 0, 0, 0, 0.9, 2.02, 0.07), knob]


def window(rng: Generator) -> list[Part]:
    half = rng.uniform(0.45, 0.7)
    paint = Paint(hue(rng, 0.52, 0.58, 0.3, 1.0), WHITE, "panes", half)
    return [box(paint, 0, 1.0, 0, 2.1 * half, 2.1 * half, 0.06)]


def clock(rng: Generator) -> list[Part]:
    radius, hands = rng.uniform(0.24, 0.34), rng.uniform(0, 2 * np.pi, 2)
    rim, y = plain(hue(rng, 0.0, 1.0, 0.5, 0.3)), 1.9
    face = [ball(rim, 0, y, 0, radius, radius, 0.05), ball(plain(WHITE), 0, y, -0.03, 0.8 * radius, 0.8 * radius, 0.05)]
    ends = [(length * np.sin(a), y + length * np.cos(a), -0.08) for a, length in zip(hands, (0.15, 0.2), strict=True)]
    return [*face, *(rod(plain(DARK), (0, y, -0.08), end, 0.03) for end in ends)]


STANDING: dict[str, tuple[Callable[[Generator], list[Part]], float]] = {  # kind -> (maker, radius on the floor, m)
    "chair": (chair, 0.4),
    "table": (table, 0.8),
    "couch": (couch, 0.95),
    "plant": (plant, 0.4),
    "ball": (toy_ball, 0.35),
    "car": (car, 1.7),
    "tree": (tree, 0.8),
    "building": (building, 3.5),
    "clutter": (clutter, 0.35),
}
HANGING: dict[str, tuple[Callable[[Generator], list[Part]], float]] = {  # kind -> (maker, half width on the wall, m)
    "door": (door, 0.6),
    "window": (window, 0.8),
    "clock": (clock, 0.4),
}
