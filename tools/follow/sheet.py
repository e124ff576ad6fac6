"""Pictures in a table, each in a square of its own, with names of rows and columns."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from data.tasks.base import Picture

SIDE, GAP, LETTERS = 144, 6, 15  # pixels of a cell, between cells, of letters
INK = "#1d2733"


def sheet(columns: Sequence[str], rows: Sequence[tuple[str, Sequence[Picture | None]]]) -> Picture:
    """Rows (name, pictures of any size) below the names of the columns; None leaves a cell empty."""
    font = ImageFont.load_default(LETTERS)
    left, top = round(max(font.getlength(name) for name, _ in rows)) + 2 * GAP, LETTERS + 2 * GAP
    pitch = SIDE + GAP
    page = Image.new("RGB", (left + pitch * len(columns), top + pitch * len(rows)), "white")
    draw = ImageDraw.Draw(page)
    for x, name in enumerate(columns):
        draw.text((left + x * pitch + SIDE / 2, top / 2), name, INK, font, "mm")
    for y, (name, pictures) in enumerate(rows):
        draw.text((left - GAP, top + y * pitch + SIDE / 2), name, INK, font, "rm")
        for x, picture in enumerate(pictures):
            if picture is not None:
                page.paste(_cell(picture), (left + x * pitch, top + y * pitch))
    return np.asarray(page)


def _cell(picture: Picture) -> Image.Image:
    return ImageOps.pad(Image.fromarray(picture), (SIDE, SIDE), Image.Resampling.BICUBIC, "white")
