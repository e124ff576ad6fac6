"""COCO's categories and its panoptic files: what several tasks share."""

from pathlib import PurePosixPath
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from data.roots import Roots, find, names, read_json


class Category(NamedTuple):
    """One of the 133 panoptic categories."""

    id: int
    name: str
    is_thing: bool


_THINGS = """
1 person, 2 bicycle, 3 car, 4 motorcycle, 5 airplane, 6 bus, 7 train, 8 truck, 9 boat, 10 traffic light,
11 fire hydrant, 13 stop sign, 14 parking meter, 15 bench, 16 bird, 17 cat, 18 dog, 19 horse, 20 sheep, 21 cow,
22 elephant, 23 bear, 24 zebra, 25 giraffe, 27 backpack, 28 umbrella, 31 handbag, 32 tie, 33 suitcase, 34 frisbee,
35 skis, 36 snowboard, 37 sports ball, 38 kite, 39 baseball bat, 40 baseball glove, 41 skateboard, 42 surfboard,
43 tennis racket, 44 bottle, 46 wine glass, 47 cup, 48 fork, 49 knife, 50 spoon, 51 bowl, 52 banana, 53 apple,
54 sandwich, 55 orange, 56 broccoli, 57 carrot, 58 hot dog, 59 pizza, 60 donut, 61 cake, 62 chair, 63 couch,
64 potted plant, 65 bed, 67 dining table, 70 toilet, 72 tv, 73 laptop, 74 mouse, 75 remote, 76 keyboard,
77 cell phone, 78 microwave, 79 oven, 80 toaster, 81 sink, 82 refrigerator, 84 book, 85 clock, 86 vase, 87 scissors,
88 teddy bear, 89 hair drier, 90 toothbrush
"""

_STUFF = """
92 banner, 93 blanket, 95 bridge, 100 cardboard, 107 counter, 109 curtain, 112 door-stuff, 118 floor-wood,
119 flower, 122 fruit, 125 gravel, 128 house, 130 light, 133 mirror-stuff, 138 net, 141 pillow, 144 platform,
145 playingfield, 147 railroad, 148 river, 149 road, 151 roof, 154 sand, 155 sea, 156 shelf, 159 snow, 161 stairs,
166 tent, 168 towel, 171 wall-brick, 175 wall-stone, 176 wall-tile, 177 wall-wood, 178 water-other,
180 window-blind, 181 window-other, 184 tree-merged, 185 fence-merged, 186 ceiling-merged, 187 sky-other-merged,
188 cabinet-merged, 189 table-merged, 190 floor-other-merged, 191 pavement-merged, 192 mountain-merged,
193 grass-merged, 194 dirt-merged, 195 paper-merged, 196 food-other-merged, 197 building-other-merged,
198 rock-merged, 199 wall-other-merged, 200 rug-merged
"""


def _read(table: str, is_thing: bool) -> list[Category]:
    entries = (entry.split(maxsplit=1) for entry in table.replace("\n", " ").split(","))
    return [Category(int(number), name.strip(), is_thing) for number, name in entries]


CATEGORIES = _read(_THINGS, True) + _read(_STUFF, False)
"""in the order of their ids, which is that of the colours: 80 things, 53 kinds of stuff"""
NUMBERS = {category.id: number for number, category in enumerate(CATEGORIES)}
"""the place of each id in CATEGORIES"""
SEGMENT_KEYS = ("id", "category_id", "iscrowd")


def panoptic_ids(image: NDArray[np.uint8]) -> NDArray[np.int32]:
    """A panoptic file (H, W, 3) -> the segment's id of each pixel (H, W): R + 256 G + 65536 B; 0 is unlabelled."""
    padded = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2RGBA), np.uint8)  # the bytes of a number, but for the fourth
    return padded.view("<i4")[..., 0] & 0xFFFFFF


class Panoptic(NamedTuple):
    """A photograph, its panoptic file (both below a data root), and its segments as COCO describes them."""

    image_path: str
    png_path: str
    segments: list[dict[str, int]]
    """each with `id`, `category_id` and `iscrowd`; none if nothing is labelled"""


def read_panoptic(roots: Roots, split: str) -> list[Panoptic]:
    """The panoptic annotations of `train` or `val` 2017, in the order of the download; opens no picture.

    Raises ValueError on a category that COCO does not have, and where a file of an annotation is missing.
    """
    path = f"coco/annotations/panoptic_{split}2017"
    entries = [_panoptic(entry, path, split) for entry in _annotations(roots, f"{path}.json")]
    there = {f"{folder}/{name}" for folder in (path, f"coco/{split}2017") for name in names(roots, folder)}
    if missing := [file for entry in entries for file in entry[:2] if file not in there]:
        raise ValueError(
            f"{path}.json lists {missing[0]}, which is not there ({len(missing)} files); download them again"
        )
    return entries


def _annotations(roots: Roots, path: str) -> list[Any]:
    content = read_json(roots, path)
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise ValueError(f"{find(roots, path)} has no list `annotations`; download COCO's panoptic annotations again")
    return content["annotations"]


def _panoptic(entry: Any, path: str, split: str) -> Panoptic:
    try:
        stem = PurePosixPath(entry["file_name"]).stem
        segments = [{key: int(segment[key]) for key in SEGMENT_KEYS} for segment in entry["segments_info"]]
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{path}.json: {entry!r:.120} is no panoptic annotation; download the file again") from None
    for segment in segments:
        if segment["category_id"] not in NUMBERS:
            raise ValueError(
                f"{path}.json, {stem}.png: segment {segment['id']} is of category {segment['category_id']}, "
                "which COCO does not have; use the file of COCO 2017"
            )
    return Panoptic(f"coco/{split}2017/{stem}.jpg", f"{path}/{stem}.png", segments)
