"""The picture of pairs: plain first, then augmented; unknown sources and missing lists in one sentence."""

import numpy as np
import pytest
from PIL import Image

from data.tasks import SOURCES
from tools.show_pairs import GAP, main


@pytest.fixture
def listed_root(tiny_root):
    """The tiny root with its lists where the sources expect them."""
    for task in SOURCES.values():
        for path in task.lists.values():
            (tiny_root / path).parent.mkdir(parents=True, exist_ok=True)
            (tiny_root / path).write_text((tiny_root / f"{task.type}.json").read_text())
    return tiny_root


@pytest.mark.parametrize("name", SOURCES)
def test_rows_of_cells(listed_root, tmp_path, name):
    main(name, (listed_root,), rows=2, draws=3, side=32, out=tmp_path / "out.png")
    sheet = np.asarray(Image.open(tmp_path / "out.png"))
    assert sheet.shape == (2 * (64 + GAP), 4 * (32 + GAP), 3)
    plain, drawn = sheet[:64, :32], sheet[:64, 32 + GAP : 64 + GAP]
    assert (plain == drawn).all() == (not SOURCES[name].augment)


def test_errors(tmp_path):
    with pytest.raises(SystemExit, match="unknown source lol; it must be one of"):
        main("lol")
    with pytest.raises(SystemExit, match=r"nyuv2_sync_image_depth.json is not under .*prepare the data"):
        main("nyuv2_depth", (tmp_path,))
    with pytest.raises(SystemExit, match="rows 0 and side 224 must be 1 or more"):
        main("nyuv2_depth", (tmp_path,), rows=0)
