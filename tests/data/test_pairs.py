"""Pair lists and their files: whatever is wrong is said in one sentence that names list, entry and cure."""

import io
import json
import os
import re
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data.pairs import Pair, check_files, read_pair, read_pairs
from data.roots import check_inside, find

RGB, DEPTH = "derain_image2derain", "nyuv2_image2depth"  # what we break: pairs listed in TYPE.json
IMAGE, TARGET = "image_1.png", "target_1.png"
SIZE = (48, 40)  # (w, h) of the tiny root's files


def read_all(root: Path, name: str) -> list[Pair]:
    """As a run does: the list, then whether its files are there, then every pair."""
    pairs = read_pairs([root], f"{name}.json")
    check_files([root], pairs)
    for pair in pairs:
        image, target = read_pair([root], pair)
        assert (image.mode, target.mode) == ("RGB", "L" if "depth" in name else "RGB")
        assert image.size == target.size == SIZE
    return pairs


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    image.save(file := io.BytesIO(), kind, **options)
    return file.getvalue()


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(dtype)


PHOTO = Image.fromarray(noise(40, 48, 3))
GRAY16 = Image.fromarray(noise(40, 48, dtype=np.uint16) * 100)
GRAY32 = Image.fromarray(noise(40, 48, dtype=np.int32) * 1000)


def chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def claim(width: int, height: int, header_bytes: int = 13) -> bytes:
    """A PNG of a few bytes whose header claims any size."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)[:header_bytes])
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def overwritten(content: bytes) -> bytes:
    return content[:1000] + bytes(100) + content[1100:]


# Ways to break a root; each gets (root, name of the source)

Break = Callable[[Path, str], object]


def list_is(content: bytes) -> Break:
    return lambda root, name: (root / f"{name}.json").write_bytes(content)


def no_list(root: Path, name: str) -> None:
    (root / f"{name}.json").unlink()


def entry_is(value: Any) -> Break:
    def break_it(root: Path, name: str) -> None:
        entries = json.loads((root / f"{name}.json").read_text())
        entries[1] = value
        (root / f"{name}.json").write_text(json.dumps(entries))

    return break_it


def entry_with(**changes: Any) -> Break:
    return lambda root, name: entry_is(
        {"image_path": f"{name}/{IMAGE}", "target_path": f"{name}/{TARGET}", "type": name, **changes}
    )(root, name)


def no_file(file: str) -> Break:
    return lambda root, name: (root / name / file).unlink()


def file_is(file: str, content: bytes) -> Break:
    return lambda root, name: (root / name / file).write_bytes(content)


AGAIN, PREPARE, MISSING = (
    "copy or download it again",
    "prepare it again",
    "name the root that holds it, or prepare the data",
)
ROOTED, EIGHT_BIT = "give it relative to the root, without '..'", "save it as 8-bit RGB"

BAD_LISTS: dict[str, tuple[Break, tuple[str, ...]]] = {
    "missing": (no_list, ("is not under", MISSING)),
    "empty list": (list_is(b"[]"), ("is empty", "prepare it again or leave the source out")),
    "empty file": (list_is(b""), ("is not JSON", PREPARE)),
    "dict": (list_is(b'{"a": 1}'), ("holds a dict", "must be a JSON array of pairs")),
    "cut off": (list_is(b'[{"image_path":'), ("is not JSON", "line 1", PREPARE)),
    "binary": (list_is(bytes(range(255, 0, -1))), ("is not JSON", PREPARE)),
    "too deep": (list_is(b"[" * 200_000), ("is not JSON", PREPARE)),
    "endless digits": (list_is(b"[" + b"1" * 5000 + b"]"), ("is not JSON", PREPARE)),
}
BAD_ENTRIES: dict[str, tuple[Break, tuple[str, ...]]] = {
    "number": (entry_is(5), ("need the strings image_path, target_path, type; got 5",)),
    "list": (entry_is(["a", "b", RGB]), ("need the strings image_path",)),
    "lacks a key": (entry_is({"image_path": "a.png", "type": RGB}), ("need the strings", "a.png")),
    "path is no string": (entry_with(target_path=None), ("need the strings", "'target_path': None")),
    "huge": (entry_is({"image_path": "x" * 5000}), ("need the strings",)),
    "unknown type": (entry_with(type="derain_image2drain"), (f"did you mean {RGB}",)),
    "absolute path": (entry_with(image_path="/etc/passwd"), ("'/etc/passwd' leaves", ROOTED)),
    "path goes up": (entry_with(target_path="a/../../x.png"), ("'a/../../x.png' leaves", ROOTED)),
    "path goes up as on Windows": (entry_with(image_path="a\\..\\..\\x.png"), ("x.png' leaves", ROOTED)),
    "empty path": (entry_with(image_path=""), ("''", ROOTED)),
    "null byte in path": (entry_with(image_path=f"{RGB}/a\0b.png"), ("is not under", MISSING)),
    "folder too long": (entry_with(image_path=f"{'a' * 300}/x.png"), ("aaa/x.png is not under", MISSING)),
    "path too long": (entry_with(image_path=f"{RGB}/{'a' * 300}.png"), ("aaa.png is not under", MISSING)),
}
BAD_FILES: dict[str, tuple[Break, tuple[str, ...]]] = {
    "missing image": (no_file(IMAGE), (f"{RGB}/{IMAGE} is not under", MISSING)),
    "missing target": (no_file(TARGET), (f"{RGB}/{TARGET} is not under", MISSING)),
    "0 bytes": (file_is(IMAGE, b""), (IMAGE, "is empty (0 bytes)", AGAIN)),
    "truncated JPEG": (file_is(IMAGE, encode(PHOTO, "JPEG")[:-600]), (IMAGE, "is truncated or broken", AGAIN)),
    "truncated PNG": (file_is(TARGET, encode(PHOTO)[:-600]), (TARGET, "is truncated or broken", AGAIN)),
    "overwritten PNG": (file_is(TARGET, overwritten(encode(PHOTO))), (TARGET, "is truncated or broken", AGAIN)),
    "short PNG header": (file_is(IMAGE, claim(48, 40, 7)), (IMAGE, "is truncated or broken", AGAIN)),
    "text": (file_is(TARGET, b"<html>404</html>"), (TARGET, "is not an image in a known format; replace it")),
    "CMYK": (file_is(IMAGE, encode(PHOTO.convert("CMYK"), "JPEG")), (IMAGE, "is CMYK; convert it to RGB")),
    "16 bit": (file_is(TARGET, encode(GRAY16)), (TARGET, "16 or more bits a channel where 8 are due", EIGHT_BIT)),
    "float": (file_is(IMAGE, encode(PHOTO.convert("F"), "TIFF")), (IMAGE, "where 8 are due", EIGHT_BIT)),
    "64 megapixels": (file_is(IMAGE, claim(8001, 8000)), (IMAGE, "8001 x 8000 pixels", "shrink it")),
    "100 megapixels": (file_is(IMAGE, claim(10_000, 10_000)), (IMAGE, "pixels", "shrink it")),
    "900 megapixels": (file_is(IMAGE, claim(30_000, 30_000)), (IMAGE, "pixels", "shrink it")),
    "sizes differ": (
        file_is(TARGET, encode(PHOTO.resize((40, 48)))),
        (IMAGE, "is 48 x 40", TARGET, "is 40 x 48", "prepare the pair again"),
    ),
}
BAD_DEPTH: dict[str, tuple[Break, tuple[str, ...]]] = {
    "8 bit": (file_is(TARGET, encode(PHOTO.convert("L"))), (TARGET, "8-bit L image where 16-bit gray is due")),
    "colour": (file_is(TARGET, encode(PHOTO)), (TARGET, "8-bit RGB image where 16-bit gray is due")),
    "32 bit": (file_is(TARGET, encode(GRAY32, "TIFF")), (TARGET, "outside 0..65535")),
    "0 bytes": (file_is(TARGET, b""), (TARGET, "is empty (0 bytes)", AGAIN)),
    "sizes differ": (file_is(TARGET, encode(GRAY16.resize((24, 20)))), ("is 24 x 20", "prepare the pair again")),
}
BAD_INPUT = [
    pytest.param(name, break_it, (where, *expected), id=f"{kind}: {case}")
    for kind, name, where, table in (
        ("list", RGB, f"{RGB}.json", BAD_LISTS),
        ("entry", RGB, f"{RGB}.json, entry 1: ", BAD_ENTRIES),
        ("file", RGB, f"{RGB}.json, entry 1: ", BAD_FILES),
        ("depth", DEPTH, f"{DEPTH}.json, entry 1: ", BAD_DEPTH),
    )
    for case, (break_it, expected) in table.items()
]


@pytest.mark.parametrize(("name", "break_it", "expected"), BAD_INPUT)
def test_bad_input_is_named_at_once(name, break_it, expected, tiny_root, monkeypatch):
    break_it(tiny_root, name)
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("waits for a file to mend itself"))
    with pytest.raises(ValueError, match=name) as caught:
        read_all(tiny_root, name)
    message = str(caught.value)
    for part in expected:
        assert part in message
    assert "\n" not in message
    assert len(message) < 700


@pytest.mark.parametrize("path", ["../other.json", "/etc/other.json", "lists/../../other.json", "..\\other.json"])
def test_a_list_outside_the_root_is_refused(tmp_path, path):
    (tmp_path / "root").mkdir()
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(ValueError, match=r"other\.json' leaves the data root; give it relative"):
        read_pairs([tmp_path / "root"], path)


@pytest.mark.parametrize("path", ["a.png", "a/b.png", "a..b/..c.png", "./a.png", "a b/ü.png"])
def test_paths_inside_the_root_are_accepted(path):
    check_inside(path)


@pytest.mark.parametrize("name", [RGB, DEPTH])
def test_good_pairs_are_read(tiny_root, name):
    pairs = read_all(tiny_root, name)
    assert [(pair.listed_in, pair.entry, pair.type) for pair in pairs] == [(f"{name}.json", i, name) for i in range(3)]
    image, _ = read_pair([tiny_root], pairs[2])
    with Image.open(tiny_root / name / "image_2.png") as expected:
        np.testing.assert_array_equal(image, expected)


def test_a_list_may_hold_more_than_we_read(tiny_root):
    entry_with(caption="rain", score=1.5)(tiny_root, RGB)
    assert len(read_all(tiny_root, RGB)) == 3


FEW_COLOURS, HALF = PHOTO.convert("P", palette=Image.Palette.ADAPTIVE), bytes(range(0, 250, 10))


def palette(transparency: int | bytes) -> bytes:
    return encode(FEW_COLOURS, transparency=transparency)


def corrupt_exif() -> bytes:
    """A photograph whose pixels are fine and whose metadata points beyond its end."""
    exif = Image.Exif()
    exif[0x010E] = "a description"
    content = encode(PHOTO, "JPEG", exif=exif)
    length = re.search(rb"\x01\x0e\0\x02|\x0e\x01\x02\0", content).end()  # after tag and type, in either byte order
    return content[:length] + b"\xff\xff\xff\xff" + content[length + 4 :]


@pytest.mark.parametrize(
    "content",
    [
        *(pytest.param(encode(PHOTO, kind), id=kind) for kind in ("JPEG", "WEBP", "BMP", "TIFF")),
        *(pytest.param(encode(PHOTO.convert(mode)), id=mode) for mode in ("L", "LA", "1", "RGBA", "P")),
        pytest.param(palette(transparency=3), id="palette, one colour transparent"),
        pytest.param(palette(transparency=HALF), id="palette, half transparent"),
        pytest.param(corrupt_exif(), id="corrupt metadata"),
    ],
)
def test_every_usual_8_bit_file_is_accepted_without_a_warning(tiny_root, content):
    file_is(IMAGE, content)(tiny_root, RGB)
    file_is(TARGET, content)(tiny_root, RGB)
    read_all(tiny_root, RGB)


def test_palette_colours_survive(tiny_root):
    file_is(TARGET, palette(HALF))(tiny_root, RGB)
    _, target = read_pair([tiny_root], read_pairs([tiny_root], f"{RGB}.json")[1])
    np.testing.assert_array_equal(target, FEW_COLOURS.convert("RGB"))


# Roots


def test_roots_are_searched_in_order(tmp_path):
    for root, files in (("a", ["x", "both"]), ("b", ["y", "both"])):
        (tmp_path / root / "dir").mkdir(parents=True)
        for file in files:
            (tmp_path / root / "dir" / file).touch()
    roots = (tmp_path / "a", tmp_path / "b")
    assert [find(roots, f"dir/{name}").parts[-3] for name in ("x", "y", "both")] == ["a", "b", "a"]
    check_files(roots, [Pair("dir/x", "dir/y", RGB, "list", 0), Pair("dir/both", "dir/both", RGB, "list", 1)])
    for nowhere in ("dir", "z", "z" * 300):  # a folder is no file
        with pytest.raises(ValueError, match=rf"^{nowhere} is not under .*a or .*b; name the root that holds it"):
            find(roots, nowhere)


def test_missing_files_are_counted_and_no_file_is_opened(tiny_root, monkeypatch):
    pairs = read_pairs([tiny_root], f"{RGB}.json")
    for file in ("image_1.png", "image_2.png", "target_2.png"):
        (tiny_root / RGB / file).unlink()
    listed, listdir = [], os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: listed.append(folder) or listdir(folder))
    monkeypatch.setattr(Image, "open", lambda *_: pytest.fail("opened a file"))
    with pytest.raises(ValueError, match=rf"{RGB}.json, entry 1: {RGB}/image_1.png is not .*; 3 files are missing"):
        check_files([tiny_root], pairs)
    assert len(listed) == 1
