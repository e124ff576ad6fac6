"""Where things stand: a room with what hangs on its far wall, or a field in front of houses and trees."""

import numpy as np

from tools.toy.objects import HANGING, STANDING, Generator, box, put
from tools.toy.scene import Thing
from tools.toy.textures import Paint, hue, mix

HUNG = {"door": 0.45, "window": 0.4, "clock": 0.15}  # kinds and how often they are chosen


def make_room(rng: Generator) -> tuple[list[Thing], float]:
    """Walls, floor, ceiling and what hangs on the far wall; the depth of the room in metres."""
    depth, top = rng.uniform(4.5, 8.5), rng.uniform(2.4, 2.9)
    left, right = rng.uniform(-3.2, -1.7), rng.uniform(1.7, 3.2)
    wall, wall_paint = _wall(rng)
    floor, floor_paint = _floor(rng)
    white = hue(rng, 0.1, 0.16, 0.06, 0.95)
    walls = [
        box(wall_paint, 0, 0, depth + 0.5, 12, top, 1),
        box(wall_paint, left - 0.5, 0, depth / 2, 1, top, depth),
        box(wall_paint, right + 0.5, 0, depth / 2, 1, top, depth),
    ]
    ceiling = Thing("ceiling", [box(Paint(white, mix(white, (0.6, 0.6, 0.6), 0.4)), 0, top, 5, 14, 1, 14)])
    background = [Thing(wall, walls), Thing(floor, [box(floor_paint, 0, -1, 5, 14, 1, 14)]), ceiling]
    return background + _hung(rng, left, right, depth), depth


def _wall(rng: Generator) -> tuple[str, Paint]:
    if rng.random() < 0.3:
        brick = hue(rng, 0.01, 0.04, 0.6, 0.65)
        return "wall-brick", Paint(brick, (0.8, 0.76, 0.7), "bricks", 0.35, int(rng.integers(99)))
    colour = hue(rng, 0, 1, 0.22, 0.8)
    return "wall", Paint(colour, mix(colour, (1, 1, 1), 0.35), str(rng.choice(["plain", "bars"])), 0.3)


def _floor(rng: Generator) -> tuple[str, Paint]:
    if rng.random() < 0.6:
        wood = hue(rng, 0.06, 0.09, 0.5, 0.65)
        return "floor-wood", Paint(wood, (0.3, 0.2, 0.12), "planks", 0.3, int(rng.integers(99)))
    colour = hue(rng, 0, 1, 0.08, 0.75)
    return "floor", Paint(colour, mix(colour, (0.25, 0.25, 0.3), 0.55), "checks", rng.uniform(0.4, 0.6))


def _hung(rng: Generator, left: float, right: float, depth: float) -> list[Thing]:
    """Up to three things side by side on the far wall."""
    hung: list[Thing] = []
    edge = left + rng.uniform(0.1, 0.8)
    for kind in chosen(rng, HUNG, int(rng.integers(1, 4))):
        make, half = HANGING[kind]
        if edge + 2 * half < right:
            hung.append(Thing(kind, put(make(rng), edge + half, depth - 0.05)))
        edge += 2 * half + rng.uniform(0.1, 0.7)
    return hung


def make_field(rng: Generator) -> tuple[list[Thing], float]:
    """Grass up to the horizon, with houses or trees far away; how far objects are put, in metres."""
    green = hue(rng, 0.2, 0.27, 0.7, 0.6)
    grass = Paint(green, mix(green, (0.2, 0.3, 0.05), 0.6), "leaves", 0.3, int(rng.integers(99)))
    far: list[Thing] = [Thing("grass", [box(grass, 0, -1, 100, 400, 1, 220)])]
    for x in np.arange(-12, 13, 6) + rng.uniform(-2, 2):
        if rng.random() < 0.75:
            far.append(placed(rng, "building" if rng.random() < 0.6 else "tree", x, rng.uniform(14, 20), 0.2))
    return far, 10.0


def chosen(rng: Generator, shares: dict[str, float], count: int) -> list[str]:
    """`count` kinds, each as often as its share says."""
    weights = np.array(list(shares.values()))
    return [str(kind) for kind in rng.choice(list(shares), count, p=weights / weights.sum())]


def placed(rng: Generator, kind: str, x: float, z: float, turned: float = 0.6) -> Thing:
    """A new object of a kind at (x, z), turned by at most `turned` radians."""
    make, radius = STANDING[kind]
    yaw = rng.uniform(-turned, turned) + (np.pi / 2 if kind == "car" else 0)  # a car is seen from its side
    return Thing(kind, put(make(rng), x, z, yaw), (x, z, radius))
