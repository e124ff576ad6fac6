"""The weights in assets/: whole, small, and good at what they were trained for, on a toy world that is all new."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from configs.demo import config as demo
from engine.config import RunConfig
from engine.infer import Predictor
from engine.pretrained import PLACES, SHIPPED, load_painter, weights_of
from eval import command
from eval.paper import METRICS, TITLES
from eval.run import benchmark_of, source_prompts
from tools.demo import Look, look, make_data
from tools.web_paint import bank_choices, banked

SEED, SCENES = 7, 48  # of a world that the weights have not seen
BANK = SHIPPED.with_name("prompts")
LIMIT = 8  # queries of a benchmark
ATLEAST = {  # what a benchmark's metrics reach, or, of errors, stay below
    "nyuv2_depth": {"rms": 0.85, "abs_rel": 0.2, "d1": 0.7},
    "ade20k_semantic": {"mIoU": 40.0},
    "coco_panoptic": {"mIoU": 40.0},
    "coco_pose": {"AP": 3.0},
    "sidd": {"psnr": 21.5},
    "derain": {"psnr": 24.0},
    "lol": {"psnr": 21.0},
}
ANOTHER = {  # the prompt of another task; of the two damages that look alike, the other one
    **{"nyuv2_depth": "coco_semantic", "ade20k_semantic": "coco_semantic", "coco_instance": "enhance"},
    **{"coco_semantic": "ade20k_semantic", "coco_pose": "nyuv2_depth"},
    **{"denoise": "derain", "derain": "denoise", "enhance": "coco_instance"},
}


@pytest.fixture(scope="session")
def config(tmp_path_factory) -> RunConfig:
    """Of the world, made and prepared."""
    root = tmp_path_factory.mktemp("unseen") / "data"
    config = replace(demo, data=replace(demo.data, roots=(root,), num_workers=0), seed=SEED)
    make_data(config, SCENES)
    return config


@pytest.fixture(scope="session")
def right(config) -> dict[str, Look]:
    """What is painted below the paper's prompts."""
    return look(load_painter(SHIPPED)[0], config, source_prompts(config.data.roots))


@pytest.fixture(scope="session")
def wrong(config) -> dict[str, Look]:
    """What is painted below those of other tasks."""
    prompts = source_prompts(config.data.roots)
    return look(load_painter(SHIPPED)[0], config, {name: prompts[ANOTHER[name]] for name in prompts})


def test_the_file_is_small_and_the_canvas_is_not():
    painter, config = load_painter(SHIPPED)
    assert weights_of(SHIPPED).stat().st_size <= 16e6
    assert 6e6 <= sum(parameter.numel() for parameter in painter.parameters()) <= 12e6
    assert painter.config.img_size >= (256, 128)
    assert {key.split(".")[2] for key in config if key.startswith("data.sources.")} == ANOTHER.keys()
    assert not config.keys() & set(PLACES)


def test_found_from_any_folder_by_the_name_that_it_has_in_the_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (SHIPPED, "assets/painter_toy", Path("assets/painter_toy")):
        assert Predictor.from_pretrained(name).size >= (128, 128)
    (tmp_path / "assets/painter_toy").mkdir(parents=True)
    with pytest.raises(ValueError, match="assets/painter_toy is a directory"):  # one's own comes first
        Predictor.from_pretrained("assets/painter_toy")


def test_the_bank_has_a_prompt_for_each_task():
    choices = bank_choices(BANK)
    assert sorted(choice.split(": ")[1] for choice in choices) == sorted(ANOTHER)
    assert len(banked(BANK, choices)) == len(ANOTHER)


@pytest.mark.parametrize("source", ANOTHER)
def test_it_does_the_task_better_than_no_network(source, right):
    painted, copied, coloured = right[source]
    assert painted.psnr > max(copied, coloured)


@pytest.mark.parametrize("source", ANOTHER)
def test_it_does_what_the_prompt_shows(source, right, wrong):
    assert right[source].painted.psnr > wrong[source].painted.psnr


@pytest.mark.parametrize("name", TITLES)
def test_benchmarks_as_users_call_them(name, config, tmp_path, monkeypatch, capsys):
    flags = {"ckpt": SHIPPED, "data_root": config.data.roots[0], "out_dir": tmp_path, "limit": LIMIT, "num_workers": 0}
    arguments = [str(part) for key, value in flags.items() for part in (f"--{key}", value)]
    monkeypatch.setattr(sys, "argv", [f"eval.{name}", *arguments])
    command.main(benchmark_of(name), None)
    assert capsys.readouterr().out.startswith(f"{name}: ")
    metrics = json.loads((tmp_path / "results.json").read_text())["metrics"]
    lower = {metric.name for metric in METRICS if metric.benchmark == name and metric.lower}
    for metric, value in ATLEAST[name].items():
        assert metrics[metric] < value if metric in lower else metrics[metric] > value
