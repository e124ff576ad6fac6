"""Broken images of a run: with quarantine, the same stand-ins whatever the ranks, the loaders and the interruptions."""

import os
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
import torch
from PIL import Image

from engine.config import RunConfig
from engine.loaders import read_lists, train_batches, val_batches
from tests.engine.conftest import write_source
from util.dist import World, join_world

ALONE = join_world("cpu")
STEPS = range(6)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def widen(path: Path) -> None:
    with Image.open(path) as image:
        image.resize((50, 36)).save(path)


SPOILS = {"truncated": truncate, "empty": empty, "of another size": widen, "missing": Path.unlink}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_source(tmp_path, "derain", "derain_image2derain", 5)
    write_source(tmp_path, "depth", "nyuv2_image2depth", 6, depth=True)
    return tmp_path


@pytest.fixture
def bearing(config: RunConfig, root: Path) -> RunConfig:
    """The run with quarantine, on files that a test may break."""
    return replace(config, data=replace(config.data, roots=(root,), broken="quarantine", check_files=False))


def sample_by_place(config: RunConfig, size: int = 1, steps: range = STEPS) -> dict[tuple[int, int], tuple]:
    """Every sample by its step and its place in the global batch: the tensors as bytes, then the words."""
    found = {}
    for rank in range(size):
        world = World(rank, size, size, torch.device("cpu"))
        batches = list(train_batches(config, read_lists(config.data), world, steps))
        accumulation = len(batches) // len(steps)
        for i, batch in enumerate(batches):
            for j in range(2):
                sample = tuple(x[j].numpy().tobytes() if isinstance(x, torch.Tensor) else x[j] for x in batch)
                found[steps[i // accumulation], 2 * ((i % accumulation) * size + rank) + j] = sample
    return found


def broken_of(samples: dict[tuple[int, int], tuple]) -> list[str]:
    return list(chain.from_iterable(sample[-1].splitlines() for sample in samples.values()))


@pytest.mark.parametrize("spoil", SPOILS)
def test_only_samples_of_the_broken_pair_change(bearing, root, spoil):
    whole = sample_by_place(bearing)
    SPOILS[spoil](root / "depth/2.png")
    found = sample_by_place(bearing)
    assert whole.keys() == found.keys()
    assert len(whole) == 6 * 8
    for place, sample in found.items():
        files = whole[place][6]
        assert (sample == whole[place]) == ("depth.json, entry 2 " not in files)
        assert "depth.json, entry 2 " not in sample[6]
        assert sample[5] == whole[place][5]  # of the same source: weights are kept
        assert len(sample[-1].splitlines()) == files.count("depth.json, entry 2 ")
    assert len(broken_of(found)) > 3
    assert all(line.startswith("depth.json, entry 2: ") for line in broken_of(found))


@pytest.mark.parametrize("change", ["two ranks", "four ranks", "two loaders", "resumed"])
def test_stand_ins_do_not_depend_on_ranks_loaders_and_interruptions(bearing, root, change):
    for path in ("depth/2.png", "depth/4_target.png", "derain/0.png"):
        truncate(root / path)
    due = sample_by_place(bearing)
    assert {line.partition(":")[0] for line in broken_of(due)} == {
        "depth.json, entry 2",
        "depth.json, entry 4",
        "derain.json, entry 0",
    }
    if change == "two loaders":
        found = sample_by_place(replace(bearing, data=replace(bearing.data, num_workers=2)))
    elif change == "resumed":
        found = {**sample_by_place(bearing, steps=range(2)), **sample_by_place(bearing, steps=range(2, 6))}
    else:
        found = sample_by_place(bearing, size=2 if change == "two ranks" else 4)
    assert found == due


@pytest.mark.parametrize("workers", [0, 2])
def test_a_source_whose_files_are_all_gone_stops(bearing, root, workers):
    for path in (root / "depth").iterdir():
        path.unlink()
    config = replace(bearing, data=replace(bearing.data, num_workers=workers))
    with pytest.raises(ValueError, match=r"^depth.json: no pair [^\n]*: depth.json, entry \d: [^\n]* is not under "):
        sample_by_place(config)


def test_validation_bears_a_broken_pair(bearing, root):
    truncate(root / "derain/3.png")
    lists = read_lists(bearing.data)
    batches = list(val_batches(bearing, lists, "derain", ALONE))
    lines = [line for batch in batches for text in batch.broken for line in text.splitlines()]
    assert sum(len(batch.files) for batch in batches) == 5
    assert lines
    assert all(line.startswith("derain.json, entry 3: ") for line in lines)


def test_a_disk_that_fails_is_a_broken_pair(bearing, root, monkeypatch):
    original = os.access

    def access(path, mode):
        if str(path).endswith("depth/2.png"):
            raise OSError(5, "Input/output error", str(path))
        return original(path, mode)

    monkeypatch.setattr(os, "access", access)
    lines = broken_of(sample_by_place(bearing))
    assert {*lines} == {
        f"depth.json, entry 2: {root}/depth/2.png cannot be read (Input/output error); check its disk or mount"
    }


def test_without_quarantine_the_first_broken_pair_stops(bearing, root):
    truncate(root / "depth/2.png")
    with pytest.raises(ValueError, match=r"^depth.json, entry 2: \S+depth/2.png is truncated or broken"):
        sample_by_place(replace(bearing, data=replace(bearing.data, broken="error")))
