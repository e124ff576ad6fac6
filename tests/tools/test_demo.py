"""The newcomer's first command, made short: data, weights of any kind or a run, table, pictures, benchmarks."""

import os
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from configs.demo import config as usual
from configs.sources import EIGHT_SOURCES
from engine.loaders import read_lists, val_batches
from engine.validate import below
from eval.run import source_prompts
from models import Painter
from tools import demo
from tools.make_toy_datasets import make_toy_datasets
from util.dist import join_world


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With a small toy world, and no other made in its place."""
    folder = tmp_path_factory.mktemp("demo")
    make_toy_datasets(folder / "data", scenes=8, size=48)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "make_toy_datasets", lambda *_, **__: None)
        yield folder


@pytest.fixture
def call(monkeypatch, capsys):
    """The command in this process; returns what it prints."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["tools/demo.py", *map(str, arguments)])
        demo.main()
        return capsys.readouterr().out

    return call


@pytest.fixture(scope="module")
def run(folder):
    """The options of three steps."""
    short = {"optim.steps": 3, "optim.warmup": 1, "data.num_workers": 0, "model.embed_dim": 32}
    options = {"data.roots": folder / "data", "out_dir": folder / "run", **short}
    return ["train", *(part for key, value in options.items() for part in (f"--{key}", value))]


def check_shown(printed, folder):
    """A line of PSNRs for each source, its picture, the report, and what to do next with these weights."""
    rows = {
        line.split()[0]: [float(x) for x in line.split()[1:]]
        for line in printed.splitlines()
        if re.search(r"^\w+( +\d+\.\d\d){3}$", line)
    }
    assert rows.keys() == EIGHT_SOURCES.keys()
    assert all(0 < value < 60 for row in rows.values() for value in row)
    for name in ("demo", *rows):
        with Image.open(folder / f"pictures/{name}.png") as picture:
            assert picture.width > 4 * 128
    assert (folder / "report.html").stat().st_size > 100_000
    assert printed.index("coco_pose") < printed.index("COCO pose") < printed.index("what next")


def test_a_run_is_looked_at_and_found_again_and_so_are_its_weights(folder, run, call, monkeypatch):
    first = call(*run)
    check_shown(first, folder / "run")
    monkeypatch.setattr("engine.train.Run.step", lambda *_: pytest.fail("trained again"))
    assert tables(call(*run)) == tables(first)
    options = "--ckpt", folder / "run/last", "--data_root", folder / "data", "--out_dir", folder / "shown"
    other = call(*options)
    check_shown(other, folder / "shown")
    assert tables(other) == tables(first)
    assert f"--ckpt {os.path.relpath(folder / 'run/last')} --prompt" in other


def tables(printed: str) -> list[str]:
    """PSNRs and metrics."""
    return re.findall(r"^.*(?: +\d+\.\d{2,3}){3}$", printed, re.MULTILINE)


@pytest.fixture
def config(folder):
    config = replace(usual, data=replace(usual.data, roots=(folder / "data",), num_workers=0))
    demo.make_data(config)
    return config


@pytest.mark.parametrize("source", ["denoise", "coco_semantic"])
def test_queries_are_the_lists_pairs_below_the_papers_prompt(config, source):
    pairs, prompt = read_lists(config.data).val[source], source_prompts(config.data.roots)[source]
    batches = [below(prompt, x) for x in val_batches(config, read_lists(config.data), source, join_world("cpu"))]
    images = torch.cat([batch.image for batch in batches]).permute(0, 2, 3, 1).numpy()
    assert len(images) == len(pairs)
    for canvas, pair in zip(images, pairs, strict=True):
        with Image.open(config.data.roots[0] / pair.image_path) as query:
            due = [np.asarray(x.convert("RGB").resize((48, 48), Image.Resampling.BICUBIC)) for x in (prompt[0], query)]
        assert np.array_equal(canvas, np.concatenate(due))


def test_trivial_answers_are_scored_on_the_pictures_themselves(config):
    """SIDD's blocks, shrunk: as Pillow and NumPy see them."""
    lists = read_lists(config.data)
    batches = list(val_batches(config, lists, "denoise", join_world("cpu")))
    world = [np.concatenate([getattr(b, x).numpy()[:, :, 48:] for b in batches]) / 255 for x in ("image", "target")]
    image, target = world
    colour = target.mean((0, 2, 3), keepdims=True)
    due = [-10 * np.log10(np.square(x - target).mean((1, 2, 3))).mean() for x in (image, colour)]
    assert demo.trivial_answers(batches) == pytest.approx(due, abs=1e-3)


def test_prompts_matter(config):
    """The look at a source is below the prompt that is given."""
    painter, prompts = Painter(config.model), source_prompts(config.data.roots)
    other = prompts | {"denoise": prompts["enhance"]}
    first, second = (demo.look(painter, config, some) for some in (prompts, other))
    assert first["derain"].painted.psnr == second["derain"].painted.psnr
    assert first["denoise"].painted.psnr != second["denoise"].painted.psnr
    assert first["denoise"][1:] == second["denoise"][1:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--optim.global_batch", "7"], r"error: optim\.global_batch 7 must be a multiple"),
        (["--ckpt", "nobody.safetensors"], r"error: nobody.safetensors does not exist"),
    ],
)
def test_a_wrong_option_is_one_sentence(folder, run, call, arguments, message):
    given = [*run, *arguments[1:]] if arguments[0] == "train" else ["--data_root", folder / "data", *arguments]
    with pytest.raises(SystemExit, match=message):
        call(*given)
