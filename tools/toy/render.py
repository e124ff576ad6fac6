"""Scene -> picture, depth, owner of each pixel and normals, by casting a ray through every pixel."""

from typing import NamedTuple

import numpy as np

from tools.toy.objects import Part
from tools.toy.scene import Camera, Scene, Thing
from tools.toy.shapes import NEAR, vector

FINE = 2  # rays per pixel and direction: colours are their mean, everything else is that of the first
SKY = -1  # the owner of a pixel where no ray meets anything


class Rendering(NamedTuple):
    """What the camera sees, all (h, w)."""

    scene: Scene
    image: np.ndarray  # (h, w, 3) uint8
    depth: np.ndarray  # float32, metres along the axis; inf: sky
    owner: np.ndarray  # int, index of the thing; SKY
    normals: np.ndarray  # (h, w, 3) float32 unit vectors; 0: sky


def render(scene: Scene, rng: np.random.Generator) -> Rendering:
    """The scene through its camera; `rng` gives the noise of the sensor."""
    canvas = _Canvas(scene.camera.scaled(FINE))
    for index, thing in enumerate(scene.things):
        for part in thing.parts:
            canvas.draw(part, index)
    light = _shaded(canvas, scene)
    h, w = scene.camera.shape
    colours = light.reshape(h, FINE, w, FINE, 3).mean((1, 3)) + rng.normal(0, 0.008, (h, w, 3))
    image = np.round(colours.clip(0, 1) * 255).astype(np.uint8)
    return Rendering(scene, image, *(layer[::FINE, ::FINE] for layer in (canvas.depth, canvas.owner, canvas.normals)))


class _Canvas:
    """The nearest surface so far along each ray."""

    def __init__(self, camera: Camera) -> None:
        self.camera, self.rays = camera, camera.rays()
        self.origin = vector(0, camera.height, 0)
        self.depth = np.full(camera.shape, np.inf, np.float32)
        self.owner = np.full(camera.shape, SKY)
        self.normals = np.zeros((*camera.shape, 3), np.float32)
        self.colours = np.zeros((*camera.shape, 3), np.float32)

    def draw(self, part: Part, index: int) -> None:
        window = self._window(*part.shape.bound())
        rays = self.rays[window]
        if not rays.size:
            return
        depth = part.shape.depth(self.origin, rays).astype(np.float32)
        nearer = depth < self.depth[window]
        normals, places = part.shape.surface(self.origin + rays[nearer] * depth[nearer, None])
        self.depth[window][nearer], self.owner[window][nearer] = depth[nearer], index
        self.normals[window][nearer], self.colours[window][nearer] = normals, part.paint.at(places)

    def _window(self, centre: np.ndarray, radius: float) -> tuple[slice, slice]:
        """Rows and columns that a ball of this radius (metres) can cover."""
        h, w = self.camera.shape
        if centre[2] - radius < NEAR:
            return slice(0, h), slice(0, w)
        corners = [centre + vector(i, j, k) * radius for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)]
        places = self.camera.project(np.stack(corners))
        (left, top), (right, bottom) = np.floor(places.min(0)), np.ceil(places.max(0))
        return slice(_within(top, h), _within(bottom, h)), slice(_within(left, w), _within(right, w))


def _within(place: float, size: int) -> int:
    return int(min(max(place, 0), size))


def _shaded(canvas: _Canvas, scene: Scene) -> np.ndarray:
    """Colours (h, w, 3) in 0..1 under the light: darker where a surface turns away, is far or stands in a shadow."""
    solid = np.isfinite(canvas.depth)
    depth = np.where(solid, canvas.depth, 0)
    light = 0.55 + 0.6 * np.maximum(canvas.normals @ scene.light, 0)
    light *= _shadow(canvas.origin + canvas.rays * depth[..., None], scene.things)
    colours = canvas.colours * light[..., None]
    colours = scene.air + (colours - scene.air) * 0.5 ** (depth / scene.haze)[..., None]
    colours[~solid] = scene.sky.at(canvas.rays[~solid][:, :2])
    return colours


def _shadow(points: np.ndarray, things: list[Thing]) -> np.ndarray:
    """Light (h, w) in 0..1 that reaches points (h, w, 3) on the floor beside what stands there."""
    light = np.ones(points.shape[:2], np.float32)
    floor = np.abs(points[..., 1]) < 0.01
    x, z = points[floor][:, 0], points[floor][:, 2]
    for a, b, radius in (thing.place for thing in things if thing.place):
        light[floor] *= 1 - 0.5 * np.exp(-1.5 * ((x - a) ** 2 + (z - b) ** 2) / radius**2)
    return light
