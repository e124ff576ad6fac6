"""The contact sheet: what is on disk of each data set, inputs beside their labels in readable colours."""

import colorsys
import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tools.toy.annotate import Json
from tools.toy.files import write_image
from tools.toy.write_coco import SKELETON

TILE, CAPTION, GAP = (150, 168), 24, 6  # h, w of a picture, height of a caption, pixels between
PAIRS = 4  # of each data set
LEFT, RIGHT, MIDDLE = (255, 150, 30), (60, 130, 255), (255, 255, 255)

Pair = tuple[Image.Image, Image.Image]


def write_sheet(root: Path) -> None:
    """`contact_sheet.png`: a row a data set, pairs of input and label. Reads only the files under `root`."""
    h, w = TILE
    sheet = Image.new("RGB", (2 * PAIRS * (w + GAP) + GAP, len(ROWS) * (h + CAPTION + GAP) + GAP), (24, 24, 28))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for row, (caption, pairs) in enumerate(ROWS.items()):
        top = GAP + row * (h + CAPTION + GAP)
        draw.text((GAP, top + 3), caption, (235, 235, 235), font)
        tiles = [tile for pair in islice(pairs(root), PAIRS) for tile in pair]
        for column, tile in enumerate(tiles):
            sheet.paste(_fitted(tile), (GAP + column * (w + GAP), top + CAPTION))
    write_image(root / "contact_sheet.png", np.asarray(sheet))


def _fitted(image: Image.Image) -> Image.Image:
    h, w = TILE
    scale = min(w / image.width, h / image.height)
    small = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    tile = Image.new("RGB", (w, h), (24, 24, 28))
    tile.paste(small, ((w - small.width) // 2, (h - small.height) // 2))
    return tile


def _open(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def _nyu(root: Path) -> Iterator[Pair]:
    for path in sorted((root / "nyu_depth_v2/sync").glob("*/rgb_*.jpg")):
        with Image.open(path.with_name(path.name.replace("rgb", "sync_depth").replace("jpg", "png"))) as image:
            depth = np.asarray(image).astype(float)
        colours = cv2.applyColorMap((255 - depth / 10000 * 255).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
        yield _open(path), _enlarged(np.where(depth[..., None] > 0, colours, 0))


def _ade(root: Path) -> Iterator[Pair]:
    palette = [colorsys.hsv_to_rgb(n * 0.382 % 1, 0.5 + 0.5 * (n % 2), 1 - 0.15 * (n % 3)) for n in range(256)]
    colours = np.round(np.array([(0, 0, 0), *palette[1:]]) * 255).astype(np.uint8)
    for path in sorted((root / "ade20k/images/training").glob("*.jpg")):
        with Image.open(root / f"ade20k/annotations/training/{path.stem}.png") as image:
            yield _open(path), _enlarged(colours[np.asarray(image)])


def _enlarged(label: np.ndarray) -> Image.Image:
    """Labels keep hard edges."""
    image = Image.fromarray(label.astype(np.uint8))
    return image.resize((4 * image.width, 4 * image.height), Image.Resampling.NEAREST)


def _panoptic(root: Path) -> Iterator[Pair]:
    for path in sorted((root / "coco/train2017").glob("*.jpg")):
        label = _open(root / f"coco/annotations/panoptic_train2017/{path.stem}.png")
        yield _open(path), _enlarged(np.asarray(label))


def _annotated(root: Path, name: str, paint: Callable[[ImageDraw.ImageDraw, Json], None]) -> Iterator[Pair]:
    content = json.loads((root / f"coco/annotations/{name}_train2017.json").read_text())
    for image_id in sorted({entry["image_id"] for entry in content["annotations"]}):
        picture = _open(root / f"coco/train2017/{image_id:012}.jpg")
        over = picture.resize((4 * picture.width, 4 * picture.height))
        for entry in content["annotations"]:
            if entry["image_id"] == image_id:
                paint(ImageDraw.Draw(over, "RGBA"), entry)
        yield picture, over


def _paint_instance(draw: ImageDraw.ImageDraw, entry: Json) -> None:
    colour = tuple(round(255 * v) for v in colorsys.hsv_to_rgb(entry["id"] * 0.382 % 1, 0.9, 1))
    if entry["iscrowd"]:
        _paint_box(draw, entry, (255, 255, 255))
    for outline in [] if entry["iscrowd"] else entry["segmentation"]:
        draw.polygon([4 * v for v in outline], (*colour, 90), colour, 4)


def _paint_box(draw: ImageDraw.ImageDraw, entry: Json, colour: tuple[int, int, int]) -> None:
    x, y, w, h = (4 * v for v in entry["bbox"])
    draw.rectangle((x, y, x + w, y + h), outline=colour, width=3)


def _paint_skeleton(draw: ImageDraw.ImageDraw, entry: Json) -> None:
    """Seen joints filled, hidden ones as rings; left orange, right blue."""
    joints = [[4 * x + 2, 4 * y + 2, v] for x, y, v in np.reshape(entry["keypoints"], (17, 3)).tolist()]
    _paint_box(draw, entry, (255, 255, 255) if entry["iscrowd"] else (250, 230, 60))
    for bone in SKELETON.split(","):
        (x, y, v), (a, b, w) = (joints[int(end) - 1] for end in bone.split())
        if v and w:
            draw.line((x, y, a, b), (255, 255, 255), 4)
    for number, (x, y, v) in enumerate(joints):
        colour = MIDDLE if number == 0 else (LEFT if number % 2 else RIGHT)
        if v:
            draw.ellipse((x - 8, y - 8, x + 8, y + 8), colour if v == 2 else None, colour, 3)


def _restored(pattern: str, degraded: str, clean: str) -> Callable[[Path], Iterator[Pair]]:
    """Pairs whose paths differ in one word."""

    def pairs(root: Path) -> Iterator[Pair]:
        for path in sorted(root.glob(pattern)):
            yield _open(path), _open(root / str(path.relative_to(root)).replace(degraded, clean))

    return pairs


ROWS: dict[str, Callable[[Path], Iterator[Pair]]] = {
    "NYU Depth V2: depth, near red .. far blue (10 m), black = not measured": _nyu,
    "ADE20K: classes, black = unlabelled": _ade,
    "COCO panoptic: one colour a segment, black = unlabelled": _panoptic,
    "COCO instances: outlines; white box = crowd": partial(_annotated, name="instances", paint=_paint_instance),
    "COCO keypoints: left orange, right blue, rings = hidden; white box = crowd": partial(
        _annotated, name="person_keypoints", paint=_paint_skeleton
    ),
    "SIDD: noisy, clean": _restored("denoise/SIDD_Medium_Srgb/Data/*/*NOISY*.PNG", "NOISY", "GT"),
    "derain: rainy, clean": _restored("derain/train/input/*.jpg", "/input/", "/target/"),
    "LoL: low light, normal light": _restored("light_enhance/our485/low/*.png", "/low/", "/high/"),
}
