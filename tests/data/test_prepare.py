"""Preparation: what misses is made, whole or not at all, once; what is broken is named and stops nothing else."""

import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from data import prepare as module
from data.prepare import Counts, encode, make_files, prepare
from data.roots import Roots
from data.tasks import SOURCES, Entry, Job, Task
from util.files import write

ADE = SOURCES["ade20k_semantic"]
LIST = ADE.lists["train"]
PAINTED = "ade20k/annotations_with_color/training"
NAMES = [f"ADE_train_0000000{i}" for i in range(1, 6)]


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    """Five annotations of ADE20K."""
    for i, name in enumerate(NAMES):
        for kind, suffix, pixels in (
            ("images", "jpg", np.zeros((6, 6, 3))),
            ("annotations", "png", np.full((6, 6), i)),
        ):
            file = tmp_path / f"ade20k/{kind}/training/{name}.{suffix}"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(file)
    return tmp_path


def state(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file, with what changes when it is written again."""
    files = (file for file in root.rglob("*") if file.is_file())
    return {
        str(file.relative_to(root)): (file.stat().st_mtime_ns, file.stat().st_ino, file.read_bytes()) for file in files
    }


def run(root: Path, **options) -> Counts | None:
    return prepare(ADE, [root], root, "train", num_workers=2, **options)


def test_a_download_becomes_targets_and_a_list(downloads):
    assert run(downloads) == Counts(made=5, there=0, listed=5, broken=0, left_out=0)
    assert [entry["target_path"] for entry in json.loads((downloads / LIST).read_text())] == [
        f"{PAINTED}/{name}.png" for name in NAMES
    ]
    assert json.loads((downloads / LIST).read_text())[1] == {
        "image_path": f"ade20k/images/training/{NAMES[1]}.jpg",
        "target_path": f"{PAINTED}/{NAMES[1]}.png",
        "type": "ade20k_image2semantic",
    }
    colors = [np.unique(np.array(Image.open(downloads / f"{PAINTED}/{name}.png"))).tolist() for name in NAMES]
    assert colors[0] == [0]
    assert colors[1] == [255]
    assert len({str(color) for color in colors}) == 5


def test_a_second_run_changes_nothing(downloads):
    run(downloads)
    before = state(downloads)
    assert run(downloads) == Counts(made=0, there=5, listed=5, broken=0, left_out=0)
    assert state(downloads) == before


@pytest.mark.parametrize("missing", [f"{PAINTED}/{NAMES[3]}.png", LIST])
def test_only_what_misses_is_made_again(downloads, missing):
    run(downloads)
    before = state(downloads)
    (downloads / missing).unlink()
    counts = run(downloads)
    after = state(downloads)
    assert counts.made == (missing != LIST)
    assert {path for path in after if after[path] != before[path]} == {missing}
    assert after[missing][2] == before[missing][2]


def test_targets_may_live_apart_from_downloads(downloads, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    before = state(downloads)
    prepare(ADE, [downloads], out, "train")
    assert state(downloads) == before
    assert set(state(out)) == {LIST, *(f"{PAINTED}/{name}.png" for name in NAMES)}
    assert prepare(ADE, [downloads, out], downloads, "train").made == 0  # found in a root that is not written to


def test_a_broken_download_is_named_and_all_others_are_made(downloads, capsys):
    broken = downloads / f"ade20k/annotations/training/{NAMES[2]}.png"
    broken.write_bytes(b"text")
    assert run(downloads) == Counts(made=4, there=0, listed=0, broken=1, left_out=1)
    assert capsys.readouterr().out == f"{broken} is not an image in a known format; replace it\n"
    assert not (downloads / LIST).exists()
    assert run(downloads, skip_broken=True) == Counts(made=0, there=4, listed=4, broken=1, left_out=1)
    assert len(json.loads((downloads / LIST).read_text())) == 4
    Image.fromarray(np.full((6, 6), 9, np.uint8)).save(broken)
    assert run(downloads) == Counts(made=1, there=4, listed=5, broken=0, left_out=0)


class Stub(Task):
    """A task with given jobs."""

    name, type, lists = "stub", "stub_type", {"train": "stub.json"}

    def __init__(self, *jobs: Job) -> None:
        self.jobs = jobs

    def sources(self, roots: Roots, split: str, offline: bool = False) -> list[Job]:
        return list(self.jobs)


PIXELS = np.full((4, 4, 3), 9, np.uint8)


def yielding(*paths: str):
    for path in paths:
        if path == "error":
            raise RuntimeError("codec gave up")
        yield path, PIXELS


def stub(*paths: str, error: bool = False) -> Job:
    """A job for a.png and b.png that makes `paths`."""
    return Job([Entry("a.png", "b.png")], partial(yielding, *paths, *["error"] * error))


def test_pairs_with_nothing_to_show_are_left_out(tmp_path):
    jobs = [stub(), Job([Entry("c.png", "d.png", {"box": [1, 2]})], partial(yielding, "c.png", "d.png"))]
    assert prepare(Stub(*jobs), [tmp_path], tmp_path, "train") == Counts(2, 0, 1, 0, 1)
    assert json.loads((tmp_path / "stub.json").read_text()) == [
        {"image_path": "c.png", "target_path": "d.png", "type": "stub_type", "label": {"box": [1, 2]}}
    ]


def test_a_list_is_never_empty(tmp_path):
    with pytest.raises(ValueError, match=r"stub.json would list no pair"):
        prepare(Stub(stub("a.png")), [tmp_path], tmp_path, "train")
    assert not (tmp_path / "stub.json").exists()


def test_listed_downloads_have_to_be_there(tmp_path, capsys):
    write(tmp_path / "a.png", b"")
    assert prepare(Stub(Job([Entry("a.png", "b.png")])), [tmp_path], tmp_path, "train").broken == 1
    assert f"b.png is not under {tmp_path}; download it again" in capsys.readouterr().out


def test_an_unforeseen_error_is_one_more_broken_job(tmp_path, capsys):
    assert prepare(Stub(stub("a.png", error=True)), [tmp_path], tmp_path, "train").broken == 1
    assert capsys.readouterr().out == "a.png: RuntimeError('codec gave up'); download again what it is made of\n"


def test_a_pair_cut_in_half_is_made_whole_and_its_other_half_kept(tmp_path):
    task = Stub(stub("a.png", "b.png"))
    assert prepare(task, [tmp_path], tmp_path, "train").made == 2
    before = state(tmp_path)
    (tmp_path / "b.png").unlink()
    assert prepare(task, [tmp_path], tmp_path, "train").made == 1
    assert state(tmp_path)["a.png"] == before["a.png"]
    (tmp_path / "b.png").unlink()


def test_a_half_of_another_making_is_not_overwritten(tmp_path, capsys):
    write(tmp_path / "a.png", b"of another making")  # would not fit the new half
    counts = prepare(Stub(stub("a.png", "b.png")), [tmp_path], tmp_path, "train")
    assert (counts.made, counts.broken, counts.listed) == (0, 1, 0)
    assert "a.png is there with other pixels; remove it to have it made again" in capsys.readouterr().out
    assert (tmp_path / "a.png").read_bytes() == b"of another making"


def test_a_broken_reader_ends_only_its_job(tmp_path, capsys):
    def breaking() -> Iterator[tuple[str, np.ndarray]]:
        raise OSError("could not read bytes")
        yield

    whole = Job([Entry("c.png", "d.png")], partial(yielding, "c.png", "d.png"))
    jobs = [Job([Entry("a.png", "b.png")], breaking), whole]
    counts = prepare(Stub(*jobs), [tmp_path], tmp_path, "train", num_workers=1)
    assert (counts.made, counts.broken) == (2, 1)
    assert "a.png: OSError('could not read bytes'); download again" in capsys.readouterr().out


def test_whole_pairs_of_a_job_stay_as_they_are(tmp_path):
    paths = ("a.png", "b.png", "c.png", "d.png")
    for path in paths[:2]:
        write(tmp_path / path, b"of another making")
    job = Job([Entry(*paths[:2]), Entry(*paths[2:])], partial(yielding, *paths))
    assert prepare(Stub(job), [tmp_path], tmp_path, "train") == Counts(2, 1, 2, 0, 0)
    assert [(tmp_path / path).read_bytes() for path in paths[:2]] == [b"of another making"] * 2


def test_a_file_is_whole_or_not_there(tmp_path, monkeypatch):
    (tmp_path / ".a.png.part").write_bytes(b"of a run that was killed")
    assert write(tmp_path / "a.png", b"whole")
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]

    def fail(*_):
        raise OSError("No space left on device")

    for name in ("os.replace", "pathlib.Path.write_bytes"):
        with monkeypatch.context() as patch:
            patch.setattr(name, fail)
            with pytest.raises(OSError, match="No space left"):
                write(tmp_path / "a.png", b"other")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a.png", b"whole")]
    seen = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda part, path: seen.append((Path(part).read_bytes(), Path(path).read_bytes())))
        write(tmp_path / "a.png", b"other")
    assert seen == [(b"other", b"whole")]


def test_a_disk_that_is_full_ends_the_run(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(module, "write", fail)
    with pytest.raises(OSError, match="No space left"):
        prepare(Stub(stub("a.png", "b.png")), [tmp_path], tmp_path, "train")


def test_a_job_stops_between_files(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "stopping", lambda: (tmp_path / "a.png").exists())
    result = make_files(tmp_path, module.Unmade(stub("a.png", "b.png").make, frozenset({"a.png", "b.png"})))
    assert result == (["a.png"], 1, None)
    assert not (tmp_path / "b.png").exists()


def test_encodings(tmp_path):
    photo = cv2.resize(np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8), (64, 48))
    cv2.imwrite(str(tmp_path / "a.jpg"), photo[..., ::-1])  # the original's writer, with its default quality
    assert encode("a.jpg", photo) == (tmp_path / "a.jpg").read_bytes()
    for pixels in (photo, photo[..., 0], photo[..., 1].astype(np.uint16) * 250):
        (tmp_path / "a.png").write_bytes(encode("a.png", pixels))
        with Image.open(tmp_path / "a.png") as image:
            assert np.array_equal(np.asarray(image).astype(int), pixels)
            assert (image.mode == "I;16") == (pixels.dtype == np.uint16)


@pytest.mark.parametrize("split", ["train", "val"])
def test_real_targets_are_the_original_s_pixel_by_pixel(samples, tmp_path, split):
    prepare(ADE, samples[:1], tmp_path, split)
    painted = {file.relative_to(tmp_path) for file in tmp_path.rglob("*.png")}
    common = [path for path in painted if (samples[1] / path).is_file()]
    assert len(common) == 5
    for path in common:
        assert np.array_equal(Image.open(tmp_path / path), Image.open(samples[1] / path))


def test_real_test_images_are_taken_out_of_the_mat(samples, tmp_path):
    """The sample's .mat holds the official images 468 and 473 as its first two."""
    source = samples[0] / "nyu_depth_v2"
    (tmp_path / "nyu_depth_v2").mkdir()
    for name in ("nyu_depth_v2_labeled.mat", "splits.mat"):
        (tmp_path / f"nyu_depth_v2/{name}").symlink_to(source / name)
    assert prepare(SOURCES["nyuv2_depth"], [tmp_path], tmp_path, "val").listed == 2
    for made, original in ((0, 468), (1, 473)):
        a, b = tmp_path / "nyu_depth_v2/official_splits/test/study", source / "official_splits/test/study"
        depths = [np.array(Image.open(f"{x}/sync_depth_{i:05}.png")) for x, i in ((a, made), (b, original))]
        images = [np.array(Image.open(f"{x}/rgb_{i:05}.jpg")).astype(int) for x, i in ((a, made), (b, original))]
        assert np.array_equal(*depths)
        assert np.abs(images[0] - images[1]).mean() < 1  # the sample's image was a JPEG before


def test_real_blocks_are_taken_out_of_the_mat(samples, tmp_path):
    source, folder = samples[0] / "denoise/val", tmp_path / "denoise/val"
    folder.mkdir(parents=True)
    for file in source.glob("*.mat"):
        (folder / file.name).symlink_to(file)
    assert prepare(SOURCES["denoise"], [tmp_path], tmp_path, "val").listed == 3
    for side in ("input", "groundtruth"):
        pairs = zip(sorted((folder / side).iterdir()), sorted((source / side).iterdir()), strict=True)
        assert all(np.array_equal(Image.open(a), Image.open(b)) for a, b in pairs)
