"""The newcomer's first command, made short: data, training, table, pictures; and a second call that trains nothing."""

import re

import numpy as np
import pytest
from PIL import Image

from configs.sources import EIGHT_SOURCES
from engine.load_config import load_config
from engine.loaders import read_lists
from tools import demo
from tools.make_toy_datasets import make_toy_datasets


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    """A demo of three steps on a small data set."""
    folder = tmp_path_factory.mktemp("demo")
    make_toy_datasets(folder / "data", scenes=8, size=48)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "make_toy_datasets", lambda *_, **__: None)
        yield [
            "--data.roots",
            str(folder / "data"),
            "--out_dir",
            str(folder / "run"),
            "--optim.steps",
            "3",
            "--data.num_workers",
            "0",
            "--model.embed_dim",
            "32",
            "--optim.warmup",
            "1",
        ]


def test_demo_trains_paints_and_is_found_again(arguments, capsys, monkeypatch):
    demo.main(arguments)
    first = capsys.readouterr().out
    rows = {
        line.split()[0]: [float(x) for x in line.split()[1:]]
        for line in first.splitlines()
        if re.search(r"^\w+( +\d+\.\d\d){3}$", line)
    }
    assert rows.keys() == EIGHT_SOURCES.keys()
    assert all(0 < value < 60 for row in rows.values() for value in row)
    pictures = re.search(r"look at (.*)/demo\.png", first)[1]
    for name in ("demo", *rows):
        with Image.open(f"{pictures}/{name}.png") as picture:
            assert picture.width > 4 * 128
    monkeypatch.setattr("engine.train.Run.step", lambda *_: pytest.fail("trained again"))
    demo.main(arguments)
    assert results_of(capsys.readouterr().out) == results_of(first)


def results_of(printed: str) -> str:
    """What is printed after the summary of the run, which tells how much of it is done."""
    return printed[printed.rindex("coco_pose", 0, printed.index("benchmark")) :]


def test_copying_the_input_is_scored_on_the_pictures_themselves(arguments):
    config = load_config(["demo", *arguments], "")
    scores = []
    for pair in read_lists(config.data).val["denoise"]:
        with (
            Image.open(config.data.roots[0] / pair.image_path) as a,
            Image.open(config.data.roots[0] / pair.target_path) as b,
        ):
            squared = np.square(np.asarray(a) / 255 - np.asarray(b) / 255).mean()
        scores.append(-10 * np.log10(squared))
    copied, _ = demo.trivial_answers(config)["denoise"]
    assert min(scores) <= copied <= max(scores)  # the query of a pair is another pair of the source


def test_a_wrong_option_is_one_sentence(arguments):
    with pytest.raises(SystemExit, match=r"error: optim\.global_batch 7 must be a multiple"):
        demo.main([*arguments, "--optim.global_batch", "7"])
