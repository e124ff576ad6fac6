"""The command that searches prompts: tables, file, picture; benchmarks of two tasks; the same by seed."""

import json
import sys

import numpy as np
import pytest

from data.tasks import SOURCES
from engine.prompts import read_manifest, read_prompt_file
from eval.benchmark import Case
from eval.derain import BENCHMARK as DERAIN
from eval.lol import BENCHMARK as LOL
from eval.lol import Lol
from eval.prompts import candidates, read_prompt
from eval.run import benchmark_of
from tests.eval.conftest import write_nyu, write_restoration
from tests.tools.conftest import check_refused
from tools import search_prompt
from tools.search_prompt import Options, main
from util.image import image_size


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("world"), np.random.default_rng(0)
    write_nyu(root, rng)
    write_restoration(root, rng)
    return root


@pytest.fixture
def search(world, ckpt, tmp_path, call):
    """The command, of a small search."""

    def search(*flags, out="bank/x.safetensors", **changes):
        given = {"benchmark": "nyuv2_depth", "ckpt": ckpt, "data_root": world, "candidates": 4, "images": 2}
        return call(main, *flags, **given | {"randoms": 3, "out": tmp_path / out} | changes)

    return search


def test_a_search(search, world, tmp_path):
    printed = search()
    path = tmp_path / "bank/x.safetensors"
    stored = read_prompt_file(path)
    source, score = stored.facts["source"], stored.facts["score"]
    name = source["name"]
    assert name in candidates(benchmark_of("nyuv2_depth"), [world])
    expected = read_prompt(benchmark_of("nyuv2_depth"), [world], name).pairs[0]
    for found, given in zip(stored.pairs["nyuv2_depth"], expected, strict=True):
        np.testing.assert_array_equal(found, given)
    assert stored.facts["kind"] == "searched"
    assert (source["benchmark"], source["seed"], source["candidates"]) == ("nyuv2_depth", 0, 4)
    assert score["rms"]["prompt"] == -score["quality"]["prompt"]
    assert score.keys() == {"quality", "rms", "abs_rel", "d1"}
    assert image_size(path.with_suffix(".png"))[1] == 240
    assert read_manifest(path.parent)["x"]["score"] == score
    lines = printed.splitlines()
    assert lines[1].split()[:3] == ["1", "4", "2"]
    assert lines[-1] == f"{name} -> {path}"
    assert lines[-2].endswith(" of 3 random prompts")


def test_the_winner_is_the_best_on_the_queries_of_the_search(search, world, ckpt, tmp_path):
    search()
    options = Options("nyuv2_depth", ckpt, tmp_path / "x.safetensors", (world,), images=2)
    trial = search_prompt.make_trial(options, benchmark_of("nyuv2_depth"))
    scores = {
        name: np.mean(trial.qualities(read_prompt(trial.benchmark, [world], name), range(2)))
        for name in candidates(trial.benchmark, [world])
    }
    stored = read_prompt_file(tmp_path / "bank/x.safetensors")
    assert stored.facts["source"]["name"] == max(scores, key=lambda name: scores[name])
    unseen = trial.measure(read_prompt(trial.benchmark, [world], stored.facts["source"]["name"]), range(2, 4))
    assert stored.facts["score"]["rms"]["prompt"] == pytest.approx(unseen.metrics["rms"])
    assert {query.name for query in trial.queries} == {q.name for q in trial.benchmark.queries([world])}


def test_the_same_seed_finds_the_same(search, tmp_path):
    first = search(candidates=2), (tmp_path / "bank/x.safetensors").read_bytes()
    assert first == (search(candidates=2), (tmp_path / "bank/x.safetensors").read_bytes())
    assert len({search(candidates=2, seed=seed) for seed in range(3)}) > 1


def test_retrieval_tries_the_most_similar_alone(search, monkeypatch):
    """Features that know one pair: similar to the queries is what stands there last by name."""
    tried = []
    monkeypatch.setattr(search_prompt, "most_similar", lambda candidates, queries: list(range(len(candidates)))[::-1])
    monkeypatch.setattr(search_prompt, "draw", lambda names, num, *_: names[:num])
    monkeypatch.setattr(search_prompt, "eliminate", lambda names, *rest: tried.append(names) or eliminate(names, *rest))
    eliminate = sys.modules["eval.search"].eliminate
    search("--retrieve", candidates=2)
    assert tried == [["study_room_0005b/rgb_00095", "study_room_0005b/rgb_00094"]]


class Two(Lol):
    """A benchmark of two tasks, whose training pairs have their names in common."""

    views = (SOURCES["enhance"], SOURCES["derain"])

    def prompt_files(self, task, name):
        return (DERAIN if task is SOURCES["derain"] else LOL).prompt_files(task, name)

    def read(self, query):
        case = super().read(query)
        return Case(case.name, [*case.images] * 2, case.truth)


def test_a_benchmark_of_two_tasks_gets_both_pairs(search, world, tmp_path, monkeypatch):
    two = Two()
    two.views = Two.views
    monkeypatch.setattr(search_prompt, "benchmark_of", lambda name: two)
    search(benchmark="lol", candidates=2, randoms=2)
    stored = read_prompt_file(tmp_path / "bank/x.safetensors")
    name = stored.facts["source"]["name"]
    assert stored.pairs.keys() == {"enhance", "derain"}
    for benchmark, task in ((LOL, "enhance"), (DERAIN, "derain")):
        np.testing.assert_array_equal(
            stored.pairs[task][0], read_prompt(benchmark, [world], name).pairs[0][0].convert("RGB")
        )


def test_queries_of_which_none_counts(search, monkeypatch):
    monkeypatch.setattr(type(benchmark_of("nyuv2_depth")), "quality", lambda *_: float("nan"))
    assert search() == "error: none of these 2 queries has a quality; give more --images"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"benchmark": "nyu"}, "unknown benchmark 'nyu'; known are nyuv2_depth, ade20k_semantic"),
        ({"candidates": 1}, "--candidates 1 must be 2 or more"),
        ({"candidates": 5}, "nyuv2_depth has 4 training pairs under "),
        ({"randoms": 1}, "--randoms 1 must be 2 or more"),
        ({"images": 0}, "--images and --batch_size must be 1 or more"),
        ({"size": 5000}, "--size 5000 must be 1 to 4096 pixels"),
        ({"seed": -1}, "--seed 0 or more"),
        (
            {"images": 4},
            "nyuv2_depth has 4 queries here, and --images 4 leaves none unseen to measure the prompt on; give 2",
        ),
        ({"size": 50}, "size (50, 50) must be a multiple of the patches' 16"),
        ({"out": "x.png"}, "x.png must end in .safetensors"),
        ({"ckpt": "nowhere"}, "nowhere"),
        ({"data_root": "nowhere"}, "nowhere"),
        ({"precision": "fp16"}, "fp16 needs a GPU"),
    ],
)
def test_bad_input_is_one_sentence(search, tmp_path, changes, message):
    check_refused(search(**changes), message, tmp_path / "bank")


def test_what_it_shows_is_json(search, tmp_path):
    search()
    json.loads((tmp_path / "bank/manifest.json").read_text(), parse_constant=pytest.fail)
