"""The way of checkpointing that fits: the fastest, the same for all ranks, and told to the user."""

import re
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from PIL import Image

from engine import fit
from engine.cost import sample_cost
from engine.inpaint import Inpainter
from engine.train import run
from models import Painter, PainterConfig
from tests.engine.test_train import losses, with_optim
from util.dist import World

ONE, TWO = (World(0, size, size, torch.device("cpu")) for size in (1, 2))


def needed(config, way, ranks=1):
    """Bytes of a rank by arithmetic of our own: 16 of a parameter, and those of micro_batch samples."""
    cost = known_cost(replace(config.model, checkpointing=way), config.optim.precision, ONE.device)
    return 16 * cost.num_parameters / ranks + config.optim.micro_batch * cost.saved_bytes + cost.shared_bytes


known_cost = cache(sample_cost)


@pytest.fixture
def deep(config, monkeypatch):
    """Deep enough that computing blocks again saves memory."""
    monkeypatch.setattr(fit, "sample_cost", known_cost)
    return replace(config, model=replace(config.model, depth=12))


@pytest.fixture
def room(monkeypatch):
    """Sets the bytes that a rank finds free."""
    return lambda size: monkeypatch.setattr(fit, "free_memory", lambda world: size)


@pytest.mark.parametrize("more", [1, -1])
@pytest.mark.parametrize(("way", "next_way"), [("none", "selective"), ("selective", "full"), ("full", "full")])
def test_the_first_that_fits_is_taken(deep, room, way, next_way, more):
    room((needed(deep, way) + more) / 0.9)
    assert fit.fit(deep, ONE).checkpointing == (way if more > 0 else next_way)


def test_what_the_user_names_is_taken(deep, room):
    for way, size in {"none": 0, "full": 1e18}.items():
        room(size)
        named = replace(deep, model=replace(deep.model, checkpointing=way))
        assert fit.fit(named, ONE) == known_cost(named.model, "fp32", ONE.device)


def test_fsdp_needs_less_of_each_rank(deep, room):
    room((needed(deep, "none", ranks=2) + 1) / 0.9)
    assert fit.fit(replace(deep, parallel="fsdp"), TWO).checkpointing == "none"
    assert fit.fit(deep, TWO).checkpointing != "none"


def test_larger_micro_batches_need_more(deep, room):
    room((needed(deep, "none") + 1) / 0.9)
    assert fit.fit(with_optim(deep, micro_batch=4), ONE).checkpointing != "none"


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="another source of the number: /proc")
def test_ranks_of_a_machine_share_its_memory():
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    least, most = (int(lines[name].split()[0]) * 1024 for name in ("MemFree", "MemTotal"))
    assert least / 3 < fit.free_memory(TWO) < most / 2
    assert fit.free_memory(ONE) == pytest.approx(2 * fit.free_memory(TWO), rel=0.05)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device")
def test_a_gpu_tells_what_is_free():
    device = torch.device("cuda", 0)
    before = fit.free_memory(replace(ONE, device=device))
    kept = torch.empty(2**30, dtype=torch.uint8, device=device)
    assert before - fit.free_memory(replace(ONE, device=device)) == pytest.approx(kept.nbytes, rel=0.5)


@pytest.mark.parametrize(("size", "way"), [(1e12, "none"), (0, "full")])
def test_a_run_trains_so_and_says_so(config, tmp_path, room, capsys, caplog, size, way):
    """And learns the same; the record keeps what was asked for, so that another machine may choose otherwise."""
    named = replace(config, out_dir=tmp_path / "named", model=replace(config.model, checkpointing="selective"))
    run(named)
    room(size)
    run(config)
    assert f"checkpointing {way}, chosen by memory" in capsys.readouterr().out.replace("\n        ", "")
    assert losses(config.out_dir) == losses(named.out_dir)
    assert '"model.checkpointing": "auto"' in (config.out_dir / "config.json").read_text()
    run(replace(with_optim(config, steps=7), model=named.model))
    assert "model.checkpointing" not in caplog.text


@pytest.mark.parametrize(("limit", "expected"), [("max", 100), ("70", 60), ("1000", 100), (None, 100)])
def test_a_container_has_what_its_limit_leaves(tmp_path, monkeypatch, limit, expected):
    monkeypatch.setattr(fit, "GROUP", tmp_path)
    if limit:
        (tmp_path / "memory.max").write_text(f"{limit}\n")
        (tmp_path / "memory.current").write_text("10\n")
    assert min(100, fit._free_in_container(100)) == expected


WIDE_HEAD = PainterConfig((256, 128), 16, 32, 4, 2, pretrain_img_size=128)
SHAPES = WIDE_HEAD, replace(WIDE_HEAD, embed_dim=512, num_heads=8, decoder_embed_dim=4)  # the latter of wide blocks


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of a process is another number there")
def test_a_prompt_takes_about_what_is_reckoned(monkeypatch):
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")  # a tensor that nobody keeps is given back at once
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for config, taken in zip(SHAPES, pool.map(taken_by_a_prompt, SHAPES), strict=True):
            assert 0.9 < fit.inference_bytes(config, (128, 128)) / taken < 3


def taken_by_a_prompt(config):
    """Bytes by which each further prompt of an ensemble raises the most that this process holds while it paints."""
    size, most = (config.img_size[0] // 2, config.img_size[1]), {}
    model, image = Painter(config).eval(), Image.new("RGB", size[::-1])
    for num in (1, 2, 6):  # the first loads what stays
        inpainter = Inpainter(model, [(image, image)] * num, size)
        query = inpainter.prepare(image)[None]
        Path("/proc/self/clear_refs").write_text("5")  # the most is now what it holds
        before = most_held()
        inpainter.paint(query)
        most[num] = most_held() - before
    return (most[6] - most[2]) / 4


def most_held():
    return int(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
