"""What a scene is: things in front of a camera."""

from typing import NamedTuple

import numpy as np

from tools.toy.objects import Part
from tools.toy.textures import Paint


class Camera(NamedTuple):
    """A pinhole that looks along z from `height` metres above the floor."""

    shape: tuple[int, int]  # h, w of its picture in pixels
    focal: float  # pixels
    centre: tuple[float, float]  # u, v where the axis meets the picture: v is the horizon
    height: float

    def scaled(self, factor: int) -> "Camera":
        """The same view in `factor` times as many pixels."""
        (h, w), (u, v) = self.shape, self.centre
        return Camera((h * factor, w * factor), self.focal * factor, (u * factor, v * factor), self.height)

    def rays(self) -> np.ndarray:
        """Directions (h, w, 3) through the middles of the pixels, with z = 1."""
        v, u = (np.indices(self.shape, np.float32) + 0.5).astype(np.float32)
        x, y = (u - self.centre[0]) / self.focal, (self.centre[1] - v) / self.focal
        return np.stack((x, y, np.ones_like(x)), -1).astype(np.float32)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points (n, 3) in metres -> (n, 2) pixels u, v; the upper left corner of the picture is 0, 0."""
        x, y, z = points[:, 0], points[:, 1] - self.height, points[:, 2]
        return np.stack((self.centre[0] + self.focal * x / z, self.centre[1] - self.focal * y / z), 1)


class Thing(NamedTuple):
    """One object, or one piece of background."""

    kind: str
    parts: list[Part]
    place: tuple[float, float, float] | None = None  # x, z and radius of its footprint; none for background
    joints: np.ndarray | None = None  # (17, 3) metres
    crowd: bool = False


class Scene(NamedTuple):
    """Things in no order under a sky; `light` is the unit vector towards it.

    After `haze` metres half of a colour has given way to a grey, `air`.
    """

    camera: Camera
    things: list[Thing]
    sky: Paint
    light: np.ndarray
    air: float
    haze: float
