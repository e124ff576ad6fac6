"""Files that are whole or not there: written once, and never half."""

import os

import numpy as np
import pytest
from PIL import Image

from util.files import write, write_png


def test_a_file_is_written_once(tmp_path):
    path = tmp_path / "a/b/c.json"
    assert write(path, b"{}")
    before = path.stat().st_mtime_ns
    assert not write(path, b"{}")
    assert path.stat().st_mtime_ns == before
    assert write(path, b"[]")
    assert path.read_bytes() == b"[]"


def test_a_full_disk_is_named_with_the_file(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", fail)
    with pytest.raises(OSError, match=r"No space left on device: '.*/a'"):
        write(tmp_path / "a", b"x")


def test_a_write_that_breaks_off_leaves_what_was_there(tmp_path, monkeypatch):
    write(tmp_path / "a", b"old")

    def full(source, target):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "a", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


@pytest.mark.parametrize("pixels", [np.arange(12, dtype=np.uint8).reshape(2, 2, 3), np.array([[0, 9000]], np.uint16)])
def test_pixels_come_back_from_a_name_with_a_dot(tmp_path, pixels):
    write_png(tmp_path / "folder" / "1.5 m", pixels)
    with Image.open(tmp_path / "folder/1.5 m.png") as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)
