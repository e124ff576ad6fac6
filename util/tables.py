"""Tables of text: as Markdown, and drawn as a picture."""

import textwrap
from collections.abc import Sequence
from functools import cache
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

TITLE, BODY, SMALL = 34, 26, 19  # sizes of letters, pixels
MARGIN, PAD, ROW, LINE = 48, 20, 68, 28
BAND, RULE, SHADE, INK, FAINT = "#22384f", "#d5dce4", "#e8f1fa", "#1d2733", "#8592a0"
GAIN, LOSS = "#1b7f4b", "#b3402f"
NOTHING = "\N{EN DASH}"  # the text of a cell without a number
FALLBACK = str.maketrans({NOTHING: "-", "δ": "d"})  # Pillow's own font lacks them; arrows are drawn


class Cell(NamedTuple):
    """A table's cell; the first of a row is its name."""

    text: str
    strong: bool = False
    """stands out: a result of our own"""
    delta: str = ""
    """its difference from the number it should reach, such as +0.12"""
    better: bool | None = None
    """whether that is a gain; None: neither"""


class Table(NamedTuple):
    """Plain text, not escaped for any format."""

    title: str
    header: tuple[str, ...]
    """a newline in it parts a group's name, shared by neighbours, from the column's own"""
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...]
    """below the table, a line each"""


def markdown(table: Table) -> str:
    """A heading, the table with numbers to the right and what stands out in bold, the notes."""
    header = [name.replace("\n", " ") for name in table.header]
    rule = ["---", *["---:"] * (len(header) - 1)]
    rows = [[f"**{escaped(c.text)}**" if c.strong else escaped(c.text) for c in row] for row in table.rows]
    lines = [f"| {' | '.join(row)} |" for row in (header, rule, *rows)]
    notes = [f"\n{escaped(note)}" for note in table.notes]
    return "\n".join([f"## {table.title}", "", *lines, *notes]) + "\n"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    return text.replace("*", r"\*").replace("|", r"\|")


def picture(tables: Sequence[Table]) -> NDArray[np.uint8]:
    """The tables below each other, of one width, (h, w, 3); deltas stand below their numbers."""
    widths = [_widths(table) for table in tables]
    inside = max(map(sum, widths))
    heights = [_height(table, inside) for table in tables]
    sheet = Image.new("RGB", (inside + 2 * MARGIN, sum(heights) + MARGIN), "white")
    draw, top = ImageDraw.Draw(sheet), MARGIN
    for table, width, height in zip(tables, widths, heights, strict=True):
        _draw_table(draw, table, _edges(width, inside), top)
        top += height
    return np.asarray(sheet)


def _draw_table(draw: ImageDraw.ImageDraw, table: Table, edges: Sequence[int], top: int) -> None:
    _write(draw, edges[0], top, table.title, TITLE, INK, "lt", strong=True)
    top += TITLE + PAD
    _draw_header(draw, table.header, edges, top)
    top += ROW
    for row in table.rows:
        _draw_row(draw, row, edges, top)
        top += ROW
    for i, line in enumerate(_lines(table.notes, edges[-1] - edges[0])):
        _write(draw, edges[0], top + PAD + i * LINE, line, SMALL, FAINT, "lt")


def _draw_header(draw: ImageDraw.ImageDraw, header: Sequence[str], edges: Sequence[int], top: int) -> None:
    draw.rounded_rectangle((edges[0], top, edges[-1], top + ROW), 8, BAND, corners=(True, True, False, False))
    _write(draw, edges[0] + PAD, top + 22, header[0], SMALL, "white", "lm", strong=True)
    groups = [name.partition("\n")[0] for name in header]
    for group, columns in groupby(range(1, len(header)), groups.__getitem__):
        members = list(columns)
        left, right = edges[members[0]], edges[members[-1] + 1]
        _write(draw, (left + right) / 2, top + 22, group, SMALL, "white", "mm", strong=True)
        draw.line((left + PAD, top + 36, right - PAD, top + 36), "#7f93a8")
        for i in members:
            name = header[i].partition("\n")[2]
            _write(draw, (edges[i] + edges[i + 1]) / 2, top + 52, name, SMALL, "#c9d6e3", "mm")


def _draw_row(draw: ImageDraw.ImageDraw, row: Sequence[Cell], edges: Sequence[int], top: int) -> None:
    if row[0].strong:
        draw.rectangle((edges[0], top, edges[-1], top + ROW), SHADE)
    draw.line((edges[0], top + ROW, edges[-1], top + ROW), RULE, 2)
    middle = top + ROW // 2
    _write(draw, edges[0] + PAD, middle, row[0].text, BODY, INK, "lm", strong=row[0].strong)
    for cell, (left, right) in zip(row[1:], pairwise(edges[1:]), strict=True):
        number, spread, delta = _parts(cell)
        center, color = (left + right) / 2, FAINT if number == NOTHING else INK
        _write(draw, center, middle - 12 * bool(spread + delta), number, BODY, color, "mm", strong=cell.strong)
        start = center - _font(SMALL).getlength(spread + delta) / 2
        _write(draw, start, middle + 18, spread, SMALL, FAINT, "lm")
        color = FAINT if cell.better is None else GAIN if cell.better else LOSS
        _write(draw, start + _font(SMALL).getlength(spread), middle + 18, delta, SMALL, color, "lm")


def _write(
    draw: ImageDraw.ImageDraw,
    x: float,
    y: float,
    text: str,
    size: int,
    color: str,
    anchor: str,
    strong: bool = False,
) -> None:
    """Text at an anchor of Pillow's; strong: twice, a pixel apart; a last ↓ is drawn behind it."""
    plain = text.removesuffix(" ↓").translate(FALLBACK)
    for shift in range(1 + strong):
        draw.text((x + shift, y), plain, color, _font(size), anchor)
    if text.endswith("↓"):
        x += _font(size).getlength(plain) / 2 + 9
        draw.line((x, y - 7, x, y + 6), color, 2)
        draw.polygon([(x - 4, y + 2), (x + 4, y + 2), (x, y + 8)], color)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _widths(table: Table) -> list[int]:
    """The least width of each column."""
    result, groups = [], [name.split("\n")[0] for name in table.header]
    for i, (name, group) in enumerate(zip(table.header, groups, strict=True)):
        cells = [row[i] for row in table.rows]
        large = [_parts(cell)[0] if i else cell.text for cell in cells]
        small = ["".join(_parts(cell)[1:]) for cell in cells] if i else []
        widths = [_font(BODY).getlength(text) for text in large]
        widths += [_font(SMALL).getlength(text) for text in (*small, *name.split("\n")[1:])]
        widths.append(_font(SMALL).getlength(group) / groups.count(group))
        result.append(round(max(widths)) + 2 * PAD)
    return result


def _parts(cell: Cell) -> tuple[str, str, str]:
    """The number, and what stands below it: its spread and its delta."""
    number, _, spread = cell.text.partition(" ")
    return number, spread + "  " * bool(spread and cell.delta), cell.delta


def _edges(widths: Sequence[int], inside: int) -> list[int]:
    """Where columns begin, and the last ends; those of numbers share the room that is left."""
    spare = (inside - sum(widths)) / (len(widths) - 1)
    return [MARGIN + round(x) for x in np.cumsum([0, widths[0], *(width + spare for width in widths[1:])])]


def _height(table: Table, inside: int) -> int:
    return TITLE + PAD + ROW * (1 + len(table.rows)) + LINE * len(_lines(table.notes, inside)) + 2 * PAD + MARGIN


def _lines(notes: Sequence[str], inside: int) -> list[str]:
    """Notes broken into lines of this width, about."""
    num = int(inside / _font(SMALL).getlength("n"))
    return [line for note in notes for line in textwrap.wrap(note, num)]
