"""The measurement of the loader, on few small pairs: rows and stages; it would see a canvas that differs."""

from pathlib import Path

import pytest

from tools import plain_loader, speed_loader
from tools.speed_world import KINDS, write_pairs

SMALL = ("nyuv2_depth", "coco_instance")


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(speed_loader, "KINDS", {name: KINDS[name] for name in SMALL})
    monkeypatch.setattr(speed_loader, "write_pairs", lambda *args: write_pairs(*args, size=(60, 80)))
    monkeypatch.setattr(speed_loader, "CANVAS", (96, 48))
    monkeypatch.setattr(speed_loader, "GRID", (56, 28))


def test_rows_compare_equal_canvases():
    rows = speed_loader.rows(quick=True)
    assert [row.work for row in rows] == [f"loader_{name}" for name in SMALL]
    for row in rows:
        assert row.rel_error == 0
        assert row.ratio == pytest.approx(row.baseline_s / row.ours_s)
        assert row.extra["samples_per_s"] == pytest.approx(1 / row.ours_s)
        finished = row.ours_s + row.extra["finish_s"]
        assert row.extra["ratio_with_finish"] == pytest.approx(row.baseline_s / finished)


def test_the_first_row_tells_the_stages():
    first, second = speed_loader.rows(quick=True)
    assert {"stage_open_s", "stage_decode_s", "stage_jitter_s"} <= first.extra.keys()
    assert not any(key.startswith("stage") for key in second.extra)


def test_errors_are_seen(monkeypatch):
    monkeypatch.setattr(plain_loader, "MEAN", plain_loader.MEAN + 0.01)
    assert all(0.001 < row.rel_error < 1 for row in speed_loader.rows(quick=True))
    monkeypatch.setattr(plain_loader, "block_mask", lambda *args: ~speed_loader.block_mask(*args))
    assert {row.rel_error for row in speed_loader.rows(quick=True)} == {float("inf")}


def test_stages_are_those_of_a_sample():
    stages = speed_loader.stages(quick=True)
    assert list(stages) == [
        *("open", "decode", "crop_resize", "jitter", "stitch", "mask", "collate", "finish_on_device")
    ]
    assert all(seconds > 0 for seconds in stages.values())


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_of_every_kind_have_their_size_and_differ(tmp_path: Path, kind: str):
    pairs = write_pairs(tmp_path, kind, 2)
    assert all((tmp_path / path).is_file() for pair in pairs for path in pair[:2])
    images = [plain_loader._open(tmp_path / pair.image_path) for pair in pairs]
    assert images[0].tobytes() != images[1].tobytes()
    expected = (1024, 1024) if kind.endswith("files") else KINDS[kind].size
    assert {image.size for image in images} == {expected[::-1]}
