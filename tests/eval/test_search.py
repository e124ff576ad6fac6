"""The search: who is left after each stage, who wins, and that prompts are measured as benchmarks measure them."""

import math
from collections import Counter

import numpy as np
import pytest

from engine.precision import Precision
from eval.lol import Lol
from eval.nyuv2_depth import BENCHMARK as NYU
from eval.prompts import candidates, read_prompt
from eval.run import below_prompt, choose, run
from eval.search import FEWEST, Trial, beside, cost, deviation, draw, eliminate, mean, stages
from tests.eval.conftest import tiny_painter
from util.dist import join_world

ALONE = join_world("cpu")


@pytest.mark.parametrize(
    ("num_candidates", "num_images", "expected"),
    [
        (32, 16, [(32, 4), (16, 8), (8, 16)]),
        (32, 100, [(32, 6), (16, 12), (8, 25), (4, 50), (2, 100)]),
        (5, 1000, [(5, 500), (3, 1000)]),
        (7, 17, [(7, 8), (4, 17)]),
        (2, 1000, [(2, 1000)]),
        (100, 7, [(100, 7)]),
        (100, 1, [(100, 1)]),
        (9, 0, [(9, 0)]),
    ],
)
def test_stages(num_candidates, num_images, expected):
    assert stages(num_candidates, num_images) == expected


class Known:
    """A scorer that knows the candidates' worth; images add what is the same for all, and notes who was asked."""

    def __init__(self, worth, early=None):
        self.worth, self.early, self.asked = worth, early or {}, Counter()

    def __call__(self, name, images):
        self.asked.update((name, image) for image in images)
        return [self.worth[name] + math.sin(i) + self.early.get(name, 0) * (i < FEWEST) for i in images]


def test_the_best_is_found_and_no_painting_is_made_twice():
    names = [f"n{i}" for i in np.random.default_rng(0).permutation(40)]
    score = Known({name: int(name[1:]) for name in names})
    found = eliminate(names, 64, score)
    order = [f"n{i}" for i in reversed(range(40))]
    assert [list(stage.scores) for stage in found] == [order, order[:20], order[:10], order[:5], order[:3]]
    assert [stage.num_images for stage in found] == [4, 8, 16, 32, 64]
    assert found[-1].scores["n39"] == pytest.approx(39 + np.sin(range(64)).mean())
    assert set(score.asked.values()) == {1}
    assert score.asked.total() == cost(40, 64) == 40 * 4 + 20 * 4 + 10 * 8 + 5 * 16 + 3 * 32


def test_what_is_good_on_the_first_images_alone_does_not_win():
    names = [f"n{i}" for i in range(8)]
    score = Known({name: int(name[1:]) for name in names}, early={"n0": 50})
    found = eliminate(names, 32, score)
    assert next(iter(found[0].scores)) == "n0"
    assert list(found[-1].scores) == ["n7", "n0"]  # 6.25 beats n6's 6


def test_alike_ones_stay_in_their_order_and_nan_is_worst():
    values = {"a": math.nan, "b": 1.0, "c": 2.0, "d": 1.0, "e": math.nan}
    (found,) = eliminate(list(values), 2, lambda name, images: [values[name], math.nan])
    assert list(found.scores) == ["c", "b", "d", "a", "e"]
    assert found.scores["c"] == 2.0


def test_numbers():
    values = [1.0, math.nan, 3.0, 8.0]
    assert mean(values) == 4.0
    assert deviation(values) == pytest.approx(math.sqrt((9 + 1 + 16) / 2))
    assert math.isnan(mean([math.nan]))
    assert math.isnan(deviation([1.0, math.nan]))
    assert beside(2.0, [1.0, 3.0]) == {"prompt": 2.0, "random": 2.0, "deviation": pytest.approx(math.sqrt(2))}
    assert beside(math.nan, [1.0]) == {"random": 1.0}


def test_draws_are_distinct_and_by_seed():
    names = [str(i) for i in range(20)]
    assert sorted(draw(names, 20, 1)) == sorted(names)
    assert draw(names, 5, 1) == draw(names, 5, 1) != draw(names, 5, 1, 2)


class Counting(Lol):
    """Notes which queries are read."""

    def __init__(self):
        super().__init__()
        self.reads = Counter()

    def read(self, query):
        self.reads[query.name] += 1
        return super().read(query)


def test_prompts_are_measured_as_the_benchmark_measures_them(world, tmp_path):
    benchmark, painter = Counting(), tiny_painter()
    queries = choose(benchmark, [world])
    trial = Trial(benchmark, painter, queries, (48, 48), batch_size=2)
    for name in candidates(benchmark, [world]):
        prompt = read_prompt(benchmark, [world], name)
        found = trial.measure(prompt, range(1, 5))
        expected = run(Lol(), below_prompt(Lol(), painter, prompt), queries[1:5], tmp_path / name, ALONE, batch_size=2)
        assert found.metrics == expected["metrics"]
        assert found.quality == pytest.approx(expected["metrics"]["psnr"])
        assert found.name == name
        assert trial.qualities(prompt, [3, 1]) == pytest.approx(
            [benchmark.quality(record) for record in trial.records(prompt, [3, 1])]
        )
    assert set(benchmark.reads.values()) == {1}
    assert len(benchmark.reads) == 4


def test_the_network_may_be_ready_to_infer(world):
    painter = Precision("bf16", "cpu").for_inference(tiny_painter())
    prompt = read_prompt(NYU, [world], None)
    exact = Trial(NYU, tiny_painter(), choose(NYU, [world]), (48, 48)).measure(prompt, range(4))
    found = Trial(NYU, painter, choose(NYU, [world]), (48, 48), "bf16").measure(prompt, range(4))
    assert found.quality == pytest.approx(exact.quality, rel=0.05)
    assert found.quality != exact.quality
