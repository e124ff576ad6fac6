"""The three solids everything is built of, and where rays meet them.

Metres, seen from the camera: x to the right, y up from the floor, z away. A solid offers
* `depth(origin, rays)`: where along each ray (.., 3) it begins; inf = missed. Rays have z = 1, so this is the depth,
* `surface(points)`: unit normals (n, 3) and texture coordinates (n, 2) in metres,
* `bound()`: centre and radius of a sphere around it,
* `placed(x, z, yaw)` and `scaled(factor)`: copies of it.
"""

from functools import reduce
from typing import NamedTuple

import numpy as np

NEAR = 0.3  # metres: what is closer is not seen


def vector(*numbers: float) -> np.ndarray:
    """(3,) float32."""
    return np.array(numbers, np.float32)


def turn(points: np.ndarray, yaw: float) -> np.ndarray:
    """Points (..., 3) turned by `yaw` radians about the vertical."""
    sine, cosine = np.float32(np.sin(yaw)), np.float32(np.cos(yaw))
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    return np.stack((x * cosine + z * sine, y, z * cosine - x * sine), -1)


class Box(NamedTuple):
    """A cuboid of half sizes `half` (3,) around `centre` (3,)."""

    centre: np.ndarray
    half: np.ndarray
    yaw: float = 0.0

    def depth(self, origin: np.ndarray, rays: np.ndarray) -> np.ndarray:
        start, rays = turn(origin - self.centre, -self.yaw), turn(rays, -self.yaw)
        rays = np.where(np.abs(rays) < 1e-7, np.float32(1e-7), rays)
        one, other = (-self.half - start) / rays, (self.half - start) / rays
        enter = reduce(np.maximum, np.moveaxis(np.minimum(one, other), -1, 0))  # ten times as fast as max(-1)
        leave = reduce(np.minimum, np.moveaxis(np.maximum(one, other), -1, 0))
        return np.where((enter <= leave) & (enter > NEAR), enter, np.inf)

    def surface(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        local = turn(points - self.centre, -self.yaw)
        rows, axis = np.arange(len(local)), np.argmax(np.abs(local) - self.half, axis=1)  # the face that was hit
        normals = np.zeros_like(local)
        normals[rows, axis] = np.sign(local[rows, axis])
        across = np.where(axis == 0, local[:, 2], local[:, 0])
        return turn(normals, self.yaw), np.stack((across, np.where(axis == 1, local[:, 2], local[:, 1])), 1)

    def bound(self) -> tuple[np.ndarray, float]:
        return self.centre, float(np.linalg.norm(self.half))

    def placed(self, x: float, z: float, yaw: float) -> "Box":
        return Box(turn(self.centre, yaw) + vector(x, 0, z), self.half, self.yaw + yaw)

    def scaled(self, factor: float) -> "Box":
        return Box(self.centre * np.float32(factor), self.half * np.float32(factor), self.yaw)


class Ball(NamedTuple):
    """An ellipsoid of half axes `half` (3,) around `centre` (3,)."""

    centre: np.ndarray
    half: np.ndarray
    yaw: float = 0.0

    def depth(self, origin: np.ndarray, rays: np.ndarray) -> np.ndarray:
        start, rays = turn(origin - self.centre, -self.yaw) / self.half, turn(rays, -self.yaw) / self.half
        return _nearer_root(_dot(rays, rays), rays @ start, start @ start - 1)

    def surface(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        local = turn(points - self.centre, -self.yaw)
        around = np.arctan2(local[:, 0], -local[:, 2]) * self.half[0]
        return turn(_unit(local / self.half**2), self.yaw), np.stack((around, local[:, 1]), 1)

    def bound(self) -> tuple[np.ndarray, float]:
        return self.centre, float(self.half.max())

    def placed(self, x: float, z: float, yaw: float) -> "Ball":
        return Ball(turn(self.centre, yaw) + vector(x, 0, z), self.half, self.yaw + yaw)

    def scaled(self, factor: float) -> "Ball":
        return Ball(self.centre * np.float32(factor), self.half * np.float32(factor), self.yaw)


class Capsule(NamedTuple):
    """All within `radius` of the line from `start` (3,) to `end` (3,), which differ."""

    start: np.ndarray
    end: np.ndarray
    radius: float

    def depth(self, origin: np.ndarray, rays: np.ndarray) -> np.ndarray:
        axis, offset = self.end - self.start, origin - self.start
        length2, along, ahead = axis @ axis, rays @ axis, offset @ axis
        sides = _nearer_root(
            length2 * _dot(rays, rays) - along**2,
            length2 * (rays @ offset) - ahead * along,
            length2 * (offset @ offset - self.radius**2) - ahead**2,
        )
        height = ahead + np.where(np.isfinite(sides), sides, 0) * along  # 0 at the start .. length2 at the end
        sides = np.where((height > 0) & (height < length2), sides, np.inf)
        return np.minimum(sides, np.minimum(*(ball.depth(origin, rays) for ball in self._ends())))

    def surface(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        axis = self.end - self.start
        share = np.clip((points - self.start) @ axis / (axis @ axis), 0, 1)
        normals = _unit(points - self.start - share[:, None] * axis)
        around = np.arctan2(normals[:, 0], -normals[:, 2]) * self.radius
        return normals, np.stack((around, share * np.linalg.norm(axis)), 1)

    def bound(self) -> tuple[np.ndarray, float]:
        return (self.start + self.end) / 2, float(np.linalg.norm(self.end - self.start)) / 2 + self.radius

    def placed(self, x: float, z: float, yaw: float) -> "Capsule":
        move = vector(x, 0, z)
        return Capsule(turn(self.start, yaw) + move, turn(self.end, yaw) + move, self.radius)

    def scaled(self, factor: float) -> "Capsule":
        return Capsule(self.start * np.float32(factor), self.end * np.float32(factor), self.radius * factor)

    def _ends(self) -> tuple[Ball, Ball]:
        size = np.full(3, self.radius, np.float32)
        return Ball(self.start, size), Ball(self.end, size)


Shape = Box | Ball | Capsule


def _dot(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.einsum("...i,...i->...", one, other)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _nearer_root(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """The smaller t of a t^2 + 2 b t + c = 0; inf where there is none or it is not in front of the camera."""
    discriminant = b * b - a * c
    root = (-b - np.sqrt(np.maximum(discriminant, 0))) / np.maximum(a, 1e-12)
    return np.where((discriminant > 0) & (root > NEAR), root, np.inf)
