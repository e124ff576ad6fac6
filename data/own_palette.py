"""The palette of somebody's own classes: DIR/palette.json says how many there are, or their colours."""

import json
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.palette import Distance, Palette
from data.roots import Roots, find, has

PALETTE = "palette.json"
MOST = 255  # classes; the last number of a byte means unlabelled
NEAR = 16  # two colours whose differences add up to less are taken for each other
TEACH = 'how many classes there are, such as 4, or their colours, such as {"sky": [120, 180, 255], "sea": [0, 60, 120]}'

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Colors(Palette):
    """A palette of any colours: `chosen` are those of the numbers 0 .. num - 1, and digits tell nothing."""

    chosen: tuple[Color, ...]

    @classmethod
    def of(cls, chosen: tuple[Color, ...]) -> "Colors":
        """Of red, green and blue, 0..255, of each class."""
        return cls(len(chosen), (256,) * 3, (1,) * 3, chosen)

    @cached_property
    def colors(self) -> NDArray[np.uint8]:
        """(num, 3)."""
        return np.array(self.chosen, np.uint8)

    def nearest(self, image: Tensor, distance: Distance = "abs") -> tuple[Tensor, Tensor]:
        """As of any palette, one colour after the other."""
        number = torch.zeros_like(image[..., 0], dtype=torch.int32)
        least = torch.full_like(number, torch.iinfo(torch.int32).max)
        for k, color in enumerate(torch.from_numpy(self.colors).to(image.device).int()):
            d = (image.int() - color).abs()
            far = {"abs": d, "square": d**2, "mean": d + d**2}[distance].sum(-1, dtype=torch.int32)
            number, least = number.masked_fill(far < least, k), torch.minimum(far, least)
        return number, least


def read_palette(roots: Roots) -> Palette:
    """What palette.json says: a number of classes, whose colours are made up, or the colours of 0, 1, ... in order.

    Raises ValueError: one sentence that names the file and the cure.
    """
    if not has(roots, PALETTE):
        raise ValueError(f"{roots[0] / PALETTE} is missing; write into it {TEACH}")
    file = find(roots, PALETTE)
    try:
        content = json.loads(file.read_bytes(), object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is no palette ({error}); write {TEACH}") from None
    if type(content) is int and 1 <= content <= MOST:
        return Palette.of_base(content, next(base for base in range(2, 8) if base**3 >= content))
    if not isinstance(content, dict | list) or not 1 <= len(content) <= MOST:
        raise ValueError(f"{file} must hold 1 to {MOST} classes, but is {content!r:.60}; write {TEACH}")
    return Colors.of(_checked(file, content if isinstance(content, dict) else dict(enumerate(content))))


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """ValueError on names that come twice, or on numbers that are not those of the order."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names) or (all(map(str.isdecimal, names)) and names != [*map(str, range(len(names)))]):
        raise ValueError(
            f"its names {names} must differ, and numbers count from 0: classes are in the order of the file"
        )
    return dict(pairs)


def _checked(file: Path, classes: dict[Any, Any]) -> tuple[Color, ...]:
    """The colours of classes by name or number; ValueError on one that is none, black, or near another."""
    for name, color in classes.items():
        is_triple = isinstance(color, list) and len(color) == 3 and all(type(value) is int for value in color)
        if not is_triple or not all(0 <= value <= 255 for value in color):
            raise ValueError(f"{file}: class {name!r} is {color!r:.60}; give red, green and blue of 0..255")
        if not any(color):
            raise ValueError(f"{file}: class {name!r} is black, which means unlabelled; give it another colour")
    for (name, color), (other, its) in combinations(classes.items(), 2):
        if sum(abs(a - b) for a, b in zip(color, its, strict=True)) < NEAR:
            raise ValueError(
                f"{file}: classes {name!r} {color} and {other!r} {its} are too near to be told apart; "
                f"let their differences add up to {NEAR} or more"
            )
    return tuple((r, g, b) for r, g, b in classes.values())
