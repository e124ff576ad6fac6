"""Batches: errors arrive as sentences, whatever process they happen in; a source that hangs is one of them."""

import gc
import multiprocessing
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.data import _utils

from data.canvas import finish
from data.pair_dataset import PairDataset
from engine.config import RunConfig
from engine.loaders import read_lists, train_batches, val_batches
from engine.validate import to_device
from util.dist import join_world

ALONE = join_world("cpu")


@pytest.fixture
def own_root(data_root: Path, tmp_path: Path) -> Path:
    """A data root that a test may break."""
    return Path(shutil.copytree(data_root, tmp_path / "own"))


def with_data(config: RunConfig, **changes) -> RunConfig:
    return replace(config, data=replace(config.data, **changes))


def batches_of(config: RunConfig):
    return train_batches(config, read_lists(config.data), ALONE, range(4))


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_name_their_sources(config, workers):
    batches = list(batches_of(with_data(config, num_workers=workers)))
    assert len(batches) == 4 * 4
    assert {name for batch in batches for name in batch.source} == {"derain.json", "depth.json"}
    for batch in batches:
        assert [files.partition(",")[0] for files in batch.files] == list(batch.source)
        assert list(batch.broken) == ["", ""]
        assert batch.image.shape == batch.target.shape == (2, 3, 64, 32)
        assert batch.image.dtype == batch.target.dtype == torch.uint8


def test_a_batch_becomes_canvases_on_the_device(config):
    batch = next(batches_of(config))
    canvas = to_device(batch, torch.device("cpu"))
    assert torch.equal(canvas.image, finish(batch).image)
    assert canvas.image.shape == canvas.target.shape == canvas.weight.shape == (2, 3, 64, 32)
    assert torch.equal(canvas.mask, batch.mask)
    far = to_device(batch, torch.device("meta"))  # values that nobody may ask for
    assert {x.device.type for x in far} == {"meta"}


@pytest.mark.parametrize("workers", [0, 2])
def test_validation_takes_each_pair_once(config, workers):
    config = with_data(config, num_workers=workers)
    batches = val_batches(config, read_lists(config.data), "derain", ALONE)
    above = [files.partition(" (")[0] for batch in batches for files in batch.files]
    assert above == [f"derain.json, entry {i}" for i in range(5)]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", ["train", "val"])
def test_what_cannot_be_read_is_one_sentence(config, own_root, workers, kind):
    (own_root / "depth/1.png").write_bytes(b"junk")
    before = multiprocessing.active_children()  # of other tests
    config = with_data(config, roots=(own_root,), num_workers=workers)
    lists = read_lists(config.data)
    batches = batches_of(config) if kind == "train" else val_batches(config, lists, "depth", ALONE)
    with pytest.raises(ValueError, match=r"^depth.json, entry 1: \S+/depth/1.png is not an image [^\n]*$") as caught:
        list(batches)
    del batches, caught
    assert not set(multiprocessing.active_children()) - set(before)


def test_a_source_that_hangs_is_a_sentence(config, monkeypatch):
    monkeypatch.setattr(PairDataset, "__getitem__", lambda *_: time.sleep(1000))
    monkeypatch.setattr(_utils, "MP_STATUS_CHECK_INTERVAL", 0.1)  # how long PyTorch asks a process to end
    config = replace(with_data(config, num_workers=1), timeout_minutes=0.01)
    started, root, before = time.monotonic(), config.data.roots[0], multiprocessing.active_children()
    sentence = rf"^rank 0 on \S+ waited 0.01 minutes for data of {root}; [^\n]* or raise --timeout_minutes$"
    with pytest.raises(ValueError, match=sentence):
        next(batches_of(config))
    assert 0.6 <= time.monotonic() - started < 5
    gc.collect()
    assert not set(multiprocessing.active_children()) - set(before)


def test_a_loader_process_that_dies_is_a_sentence(config, monkeypatch):
    monkeypatch.setattr(PairDataset, "__getitem__", lambda *_: os._exit(1))
    with pytest.raises(ValueError, match=r"^a loader's process died, [^\n]* give a smaller --data.num_workers$"):
        next(batches_of(with_data(config, num_workers=1)))


def test_an_error_that_is_not_the_users_keeps_its_type(config, monkeypatch):
    monkeypatch.setattr(PairDataset, "__getitem__", lambda *_: torch.ones(2) @ torch.ones(3))
    with pytest.raises(RuntimeError, match="inconsistent tensor size"):
        next(batches_of(config))


def test_loader_processes_start_with_the_call(config):
    batches = batches_of(with_data(config, num_workers=2))
    assert len(multiprocessing.active_children()) == 2
    del batches
    assert not multiprocessing.active_children()
