"""The evidence: who beats whom, by metrics that hang on one source's painting each; the command and its files."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from configs.sources import EIGHT_SOURCES
from data.tasks import SOURCES
from engine.config import flatten
from engine.inpaint import half
from engine.prompts import save_prompt
from eval.benchmark import Case
from eval.painters import Constant, Copy, Oracle
from eval.paper import TITLES
from eval.run import benchmark_of, source_prompts
from eval.sidd import BENCHMARK as SIDD
from tests.eval.conftest import run_config, save_run, tiny_painter
from tools import evidence
from tools.evidence import JUDGES, TRIVIAL, Options, Verdict, main, make_trial, mean_target, read_painter

SIZE = (48, 48)


@pytest.fixture(scope="module")
def options(toy_world: Path, tmp_path_factory) -> Options:
    folder = tmp_path_factory.mktemp("run")
    ckpt = save_run(folder, tiny_painter(), flatten(run_config(toy_world, folder)))
    return Options(ckpt, (toy_world,), folder / "evidence", limit=2)


def scores(trial, paints) -> dict[str, float]:
    places = range(len(trial.queries))
    return trial.sum_up("", trial.judge(paints, places), places).metrics


# --- who beats whom ---


def verdict(own: float, copied: float, wrong: dict[str, float], source: str = "denoise") -> Verdict:
    return Verdict(source, JUDGES[source], own, (copied, 0.0 if source == "denoise" else 9.0, math.nan), wrong)


def test_more_is_better_but_for_errors():
    assert verdict(20, 19, {"derain": 18, "enhance": 19.5}).unbeaten == []
    assert verdict(20, 19, {"derain": 18, "enhance": 19.5}).best_wrong == "enhance"
    assert verdict(20, 20, {"derain": 21, "enhance": 19}).unbeaten == ["query copied", "the prompt of derain"]
    assert verdict(0.5, 0.6, {"derain": 0.7, "enhance": 2}, "nyuv2_depth").unbeaten == []
    assert verdict(0.5, 0.6, {"derain": 0.7, "enhance": 2}, "nyuv2_depth").best_wrong == "derain"


def test_what_is_not_defined_beats_nothing_and_is_beaten():
    assert verdict(math.nan, 19, {"derain": math.nan}).unbeaten == [*TRIVIAL, "the prompt of derain"]
    assert verdict(1, 0, {"derain": math.nan}).unbeaten == []


# --- answers that need no network ---


def test_copying_and_constants():
    pixels = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    copy = Copy(SIDD, SIZE)
    case = Case("a", [Image.fromarray(pixels)], None)
    ((painted,),) = copy.paint([copy.prepare(case)])
    np.testing.assert_allclose(painted.permute(1, 2, 0) * 255, pixels, atol=1e-3)


def test_constants_follow_the_tasks_of_the_views():
    benchmark = benchmark_of("coco_panoptic")
    a, b = (half(Image.new("RGB", SIZE, color), SIZE) for color in ("red", "blue"))
    paintings = Constant(benchmark, [a, b], SIZE).paint([torch.zeros(2, 3, *SIZE)] * 3)
    assert len(paintings) == 3
    for instances, classes in paintings:
        np.testing.assert_allclose(instances.mean(dim=(1, 2)), (1, 0, 0), atol=1e-6)
        np.testing.assert_allclose(classes.mean(dim=(1, 2)), (0, 0, 1), atol=1e-6)


def test_the_mean_target_is_that_of_the_listed_pairs(toy_world):
    task = SOURCES["enhance"]
    files = [pair["target_path"] for pair in json.loads((toy_world / task.lists["train"]).read_text())]
    halves = [half(Image.open(toy_world / file), SIZE) for file in files]
    torch.testing.assert_close(mean_target(task, [toy_world], SIZE), sum(halves) / len(halves))


# --- the metrics ---


def test_each_source_has_a_metric_of_a_benchmark_that_paints_it():
    assert JUDGES.keys() == EIGHT_SOURCES.keys()
    for source, metric in JUDGES.items():
        assert SOURCES[source] in benchmark_of(metric.benchmark).tasks


@pytest.mark.parametrize("source", ["coco_instance", "coco_semantic"])
def test_a_metric_hangs_on_the_painting_of_its_source_alone(source, options):
    trial = make_trial(benchmark_of("coco_panoptic"), read_painter(options), options)
    truth, metric = Oracle(trial.benchmark, trial.size), JUDGES[source].name
    mine = trial.benchmark.views.index(SOURCES[source])

    class Half(Oracle):
        """The truth of one view, and black for the other."""

        def paint(self, batch):
            return [[x if (i == mine) == self.right else 0 * x for i, x in enumerate(views)] for views in batch]

    found = {}
    for right in (True, False):
        trial.kept.clear()
        painter = Half(trial.benchmark, trial.size)
        painter.right = right
        found[right] = scores(trial, painter)[metric]
    trial.kept.clear()
    assert found[True] == scores(trial, truth)[metric] > found[False]


# --- the command ---


def test_truth_below_the_right_prompt_beats_all(options, monkeypatch):
    """A painter that follows its prompt beats everything; that it is judged by its own prompt shows in the table."""
    prompts = source_prompts(options.data_root)
    names = {id(pair): key for key, pair in prompts.items()}

    class Follows(Copy):
        def __init__(self, trial, pair):
            super().__init__(trial.benchmark, trial.size)
            self.views = [task.name == names[id(pair)] for task in trial.benchmark.views]
            self.truth, self.kept = Oracle(trial.benchmark, trial.size), trial.kept

        def paint(self, batch):
            cases = [next(case for case, views in self.kept.values() if views is given) for given in batch]
            copies = super().paint(batch)
            truths = [self.truth.prepare(case) for case in cases]
            return [
                [t if right else c for right, t, c in zip(self.views, truth, copy, strict=True)]
                for truth, copy in zip(truths, copies, strict=True)
            ]

    monkeypatch.setattr(evidence, "source_prompts", lambda *_: prompts)
    monkeypatch.setattr(evidence, "below", Follows)
    verdicts = {row.source: row for row in evidence.run(options)}
    assert verdicts.keys() == EIGHT_SOURCES.keys()
    assert not [row.unbeaten for row in verdicts.values() if row.unbeaten]
    assert verdicts["denoise"].wrong["derain"] == verdicts["denoise"].trivial[0]


def test_the_command_says_what_is_not_beaten(options, call):
    printed = call(main, str(options.ckpt), data_root=options.data_root[0], out_dir=options.out_dir, limit=2)
    rows = [line for line in printed.splitlines() if line.startswith("| ")][1:]
    assert [row.split(" | ")[0].strip("| ") for row in rows[1:]] == list(JUDGES)
    assert "not better than" in printed  # random weights
    assert (options.out_dir / "evidence.md").read_text() in printed
    found = json.loads((options.out_dir / "evidence.json").read_text())
    assert found.keys() == set(TITLES)
    assert set(found["sidd"]) == {*EIGHT_SOURCES, *TRIVIAL}
    with Image.open(options.out_dir / "evidence.png") as picture:
        assert picture.width > 6 * 128


def test_prompt_files_take_the_named_pairs_place(options, tmp_path):
    for name in TITLES:
        tasks = benchmark_of(name).tasks
        save_prompt(tmp_path / f"{name}.safetensors", {task.name: one_colour(task.name) for task in tasks}, {})
    found = source_prompts(options.data_root, tmp_path)
    assert found.keys() == EIGHT_SOURCES.keys()
    assert all(np.array_equal(found[name][0], one_colour(name)[0]) for name in found)


def one_colour(name: str) -> tuple[Image.Image, Image.Image]:
    grey = 30 * list(EIGHT_SOURCES).index(name)
    return Image.new("RGB", (9, 9), (grey, 0, 0)), Image.new("RGB", (9, 9), "blue")


def test_no_queries_are_refused(options, call):
    told = call(main, str(options.ckpt), data_root=options.data_root[0], limit=0)
    assert told == "error: --limit 0 must be 1 or more"
