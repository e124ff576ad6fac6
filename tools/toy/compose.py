"""Composing scenes: a theme follows from the number, so that even few hold figures, crowds and empty images."""

from typing import NamedTuple

import numpy as np

from tools.toy.background import chosen, make_field, make_room, placed
from tools.toy.figures import POSES, SITTING, make_figure
from tools.toy.objects import STANDING, Generator, chair, put
from tools.toy.scene import Camera, Scene, Thing
from tools.toy.shapes import turn, vector
from tools.toy.textures import Paint, hue

FURNITURE = {"chair": 0.3, "table": 0.22, "plant": 0.18, "couch": 0.12, "ball": 0.12, "clutter": 0.14}  # indoors
OUTDOORS = {"tree": 0.35, "car": 0.3, "ball": 0.15, "chair": 0.1, "plant": 0.05, "clutter": 0.12}


class Theme(NamedTuple):
    """How many of each there are at most; those without a free place are left out."""

    figures: tuple[int, int]  # at least, at most
    objects: int
    crowd: bool = False
    portrait: bool = False  # one more figure, in the middle and in full

    @property
    def empty(self) -> bool:
        return self == Theme((0, 0), 0)


THEMES = (  # of scenes 0 .. 7, 8 .. 15, ...
    Theme((0, 0), 0, portrait=True),
    Theme((0, 0), 4),
    Theme((0, 0), 0),
    Theme((1, 1), 1, crowd=True),
    Theme((1, 3), 1),
    Theme((0, 2), 3),
    Theme((2, 3), 1),
    Theme((1, 2), 3),
)


def make_scene(rng: Generator, number: int, shape: tuple[int, int], indoors: bool) -> Scene:
    """Scene `number` of a split, seen in (h, w) pixels; only its theme depends on the number."""
    return compose(rng, THEMES[number % len(THEMES)], shape, indoors)


def compose(rng: Generator, theme: Theme, shape: tuple[int, int], indoors: bool) -> Scene:
    """A scene of a theme, seen in (h, w) pixels."""
    camera = _camera(rng, shape)
    background, depth = make_room(rng) if indoors else make_field(rng)
    if theme.empty:
        background = [thing for thing in background if thing.kind != "clock"]  # the one thing among what hangs
    things = _people(rng, theme, camera, depth)
    for _ in range(theme.objects):
        _add_object(rng, camera, things, FURNITURE if indoors else OUTDOORS, depth - 0.8)
    sky = Paint(hue(rng, 0.54, 0.6, 0.5, 0.95), (0.97, 0.97, 0.97), "clouds", 0.35, int(rng.integers(99)))
    light = vector(rng.uniform(-0.8, 0.8), rng.uniform(0.6, 1), rng.uniform(-1, -0.4))
    air, haze = (0.1, 14) if indoors else (0.85, 60)
    return Scene(camera, background + things, sky, light / np.linalg.norm(light), air, haze)


def _people(rng: Generator, theme: Theme, camera: Camera, depth: float) -> list[Thing]:
    things: list[Thing] = []
    if theme.portrait:
        pose = str(rng.choice([pose for pose in POSES if pose not in ("reaching", SITTING)]))
        place = (rng.uniform(-0.3, 0.3), 1.05 * _whole_from(camera))
        things += _figure(rng, pose, *place, yaw=rng.normal(0, 0.2), height=1.6)
    if theme.crowd:
        things += _crowd(rng, min(depth - 1, rng.uniform(4.5, 5.5)))
    for _ in range(rng.integers(theme.figures[0], theme.figures[1] + 1)):
        _add_figure(rng, camera, things, min(depth - 0.7, 5.0))
    return things


def _whole_from(camera: Camera) -> float:
    """From this depth on (metres), 2.1 m above the floor is in the picture, and the floor too."""
    above, below = camera.centre[1], camera.shape[0] - camera.centre[1]
    return camera.focal * max((2.1 - camera.height) / above, camera.height / below)


def _camera(rng: Generator, shape: tuple[int, int]) -> Camera:
    focal = max(shape) * rng.uniform(0.8, 0.95)
    centre = (shape[1] * rng.uniform(0.42, 0.58), shape[0] * rng.uniform(0.38, 0.48))
    return Camera(shape, focal, centre, rng.uniform(1.1, 1.4))


def _free(
    rng: Generator, camera: Camera, things: list[Thing], radius: float, near: float, far: float
) -> tuple[float, float] | None:
    """A place (x, z) in view, clear of the other things; none where twenty tries find none."""
    for _ in range(20):
        z = near + (far - near) * rng.random() ** 1.5  # rather near than far: large in the picture
        half = 0.42 * z * camera.shape[1] / camera.focal
        x = rng.uniform(-half, half)
        taken = [thing.place for thing in things if thing.place]
        if all(np.hypot(x - a, z - b) > radius + r for a, b, r in taken):
            return x, z
    return None


def _add_object(rng: Generator, camera: Camera, things: list[Thing], shares: dict[str, float], far: float) -> None:
    (kind,) = chosen(rng, shares, 1)
    radius = STANDING[kind][1]
    if place := _free(rng, camera, things, radius, 1.3 + radius, max(far, 3.5 + radius)):
        things.append(placed(rng, kind, *place))


def _add_figure(rng: Generator, camera: Camera, things: list[Thing], far: float) -> None:
    pose, yaw = str(rng.choice(list(POSES))), rng.normal(0, 0.6) + (np.pi if rng.random() < 0.12 else 0)
    if place := _free(rng, camera, things, 0.45, 2.2, max(far, 3.2)):
        things += _figure(rng, pose, *place, yaw, rng.uniform(1.45, 1.85))


def _figure(
    rng: Generator, pose: str, x: float, z: float, yaw: float, height: float, crowd: bool = False
) -> list[Thing]:
    """A figure, turned by `yaw` from facing the camera, and the chair it sits on."""
    figure = make_figure(rng, pose, height)
    joints = turn(figure.joints, yaw) + vector(x, 0, z)
    things = [Thing("person", put(figure.parts, x, z, yaw), (x, z, 0.4), joints, crowd)]
    if figure.seat is not None:
        things.append(Thing("chair", put(chair(rng, figure.seat), x, z, yaw), (x, z, 0.4)))
    return things


def _crowd(rng: Generator, z: float) -> list[Thing]:
    """Six to nine small figures close together."""
    things: list[Thing] = []
    middle = rng.uniform(-0.7, 0.7)
    standing = [pose for pose in POSES if pose != SITTING]
    for number in range(int(rng.integers(6, 10))):
        x = middle + 0.33 * (number - 3.5) + rng.uniform(-0.1, 0.1)
        pose, away, yaw = str(rng.choice(standing)), z + rng.uniform(-0.4, 0.4), rng.normal(0, 0.6)
        things += _figure(rng, pose, x, away, yaw, rng.uniform(1.0, 1.3), crowd=True)
    return things
