"""How large a toy world is, and the renderings of each data set's splits."""

import zlib
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from tools.toy.compose import make_scene
from tools.toy.render import Rendering, render
from util.parallel import results

WINDOW = 64  # scenes that are on their way at once


class World(NamedTuple):
    """`scenes` training scenes a data set, pictures of `size` pixels on their longer side."""

    scenes: int
    size: int
    seed: int

    def count(self, split: str) -> int:
        """Scenes of "train" or "val"."""
        return self.scenes if split == "train" else max(4, self.scenes // 6)

    def rng(self, *key: object) -> np.random.Generator:
        """A stream of its own for each key, so that nothing depends on the order of writing."""
        return np.random.default_rng((self.seed, zlib.crc32(repr(key).encode())))

    def landscape(self) -> tuple[int, int]:
        """(h, w) of 3 to 4."""
        return self.size * 3 // 4, self.size


def renderings(world: World, dataset: str, split: str, indoors_only: bool = False) -> Iterator[tuple[int, Rendering]]:
    """The numbered scenes of a split, by a process a core; half outdoors and of three shapes unless `indoors_only`."""
    numbers = range(world.count(split))
    draw = partial(_rendering, world, dataset, split, indoors_only)
    return zip(numbers, results(draw, numbers, None, "scene", WINDOW, title=f"{dataset} {split}"), strict=True)


def _rendering(world: World, dataset: str, split: str, indoors_only: bool, number: int) -> Rendering:
    rng = world.rng(dataset, split, number)
    h, w = world.landscape()
    shape = (h, w) if indoors_only else [(h, w), (h, w), (w, h), (w, w)][rng.integers(4)]
    indoors = indoors_only or rng.random() < 0.5
    return render(make_scene(rng, number, shape, indoors), rng)
