"""Pair lists: a JSON array of {"image_path", "target_path", "type"}, paths relative to the data roots.

A fourth key, "label", holds what the task paints while loading; without it the target file shows the label.
Everything that can be known without decoding an image is checked when a list is read.
"""

import json
import os
from collections.abc import Iterable
from functools import cache, partial
from typing import Any, NamedTuple

from numpy.random import Generator
from PIL import Image

from data.roots import Roots, check_inside, find, listing, places
from data.tasks import task_of


class Pair(NamedTuple):
    """One entry of a pair list."""

    image_path: str
    target_path: str
    type: str
    listed_in: str
    entry: int
    label: str | None = None
    """JSON text: millions of parsed labels would fill the memory"""

    def __str__(self) -> str:
        return f"{self.listed_in}, entry {self.entry}"


def read_pairs(roots: Roots, list_path: str) -> list[Pair]:
    """The entries of one list; ValueError names the list, the entry and the cure."""
    content = find(roots, list_path).read_bytes()
    try:
        entries = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"pair list {list_path} is not JSON ({error}); prepare it again") from None
    if not isinstance(entries, list):
        raise ValueError(f"pair list {list_path} holds a {type(entries).__name__}; it must be a JSON array of pairs")
    if not entries:
        raise ValueError(f"pair list {list_path} is empty; prepare it again or leave the source out")
    return [_read_entry(value, list_path, i) for i, value in enumerate(entries)]


def _read_entry(value: Any, list_path: str, entry: int) -> Pair:
    keys = ("image_path", "target_path", "type")
    if not isinstance(value, dict) or not all(isinstance(value.get(key), str) for key in keys):
        raise ValueError(f"{list_path}, entry {entry}: need the strings {', '.join(keys)}; got {value!r:.120}")
    label = json.dumps(value["label"], separators=(",", ":")) if value.get("label") is not None else None
    pair = Pair(value["image_path"], value["target_path"], value["type"], list_path, entry, label)
    try:
        task_of(pair.type)
        check_inside(pair.image_path)
        check_inside(pair.target_path)
    except ValueError as error:
        raise ValueError(f"{pair}: {error}") from None
    return pair


def check_files(roots: Roots, pairs: Iterable[Pair]) -> None:
    """ValueError names the first pair with a missing file, and how many miss; lists folders, opens no file."""
    names = cache(partial(listing, roots))
    missing = [
        (pair, path)
        for pair in pairs
        for path in (pair.image_path, pair.target_path)
        if os.path.basename(path) not in names(os.path.dirname(path))
    ]
    if missing:
        pair, path = missing[0]
        more = f"; {len(missing)} files are missing in all" if len(missing) > 1 else ""
        raise ValueError(
            f"{pair}: {path} is not under {places(roots)}{more}; name the root that holds it, or prepare the data"
        )


def read_pair(roots: Roots, pair: Pair, rng: Generator | None = None) -> tuple[Image.Image, Image.Image]:
    """Image and painted target of one size, RGB or gray (L); ValueError names list, entry, file and cure.

    `rng` draws the augmentation of pairs that are painted while loading; None paints them plainly.
    """
    task = task_of(pair.type)
    label = None if pair.label is None else json.loads(pair.label)
    try:
        image, target = task.read_pair(find(roots, pair.image_path), find(roots, pair.target_path), label, rng)
        if image.size != target.size:
            raise ValueError(
                f"image {pair.image_path} is {image.width} x {image.height} but target "
                f"{pair.target_path} is {target.width} x {target.height}; prepare the pair again"
            )
    except ValueError as error:
        raise ValueError(f"{pair}: {error}") from None
    return image, target
