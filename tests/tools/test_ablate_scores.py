"""Numbers over seeds: means, paired differences, what is told apart, and the paper's order beside ours."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from tools.ablation.plan import base, table_2, table_s2
from tools.ablation.scores import MEASURES, Found, by_chance
from tools.ablation.table import as_json, as_markdown
from util.tables import NOTHING

BASE = base(Path("world"), 1500, "fp32")
TASKS = list(BASE.data.sources)
COLUMNS = {measure.key: measure for measure in MEASURES}
MIOU, RMSE, L1 = (COLUMNS[key] for key in ("ade20k_semantic/mIoU", "nyuv2_depth/rms", "l1"))


def of_seeds(key: str, **rows: list[float]) -> Found:
    """Table S2, of whose rows one measure is known."""
    results = {(row, seed): {key: value} for row, values in rows.items() for seed, value in enumerate(values)}
    return Found(table_s2(BASE), results)


def test_mean_deviation_and_paired_difference():
    values = np.array([[10.0, 12.0, 17.0], [11.0, 12.5, 18.5]])
    found = of_seeds(MIOU.key, baseline=[*values[0]], l1=[*values[1]])
    one, by = found.of("l1", MIOU), found.difference("l1", "baseline", MIOU)
    assert (one.mean, one.deviation) == pytest.approx((values[1].mean(), values[1].std(ddof=1)))
    assert (by.mean, by.deviation) == pytest.approx((1.0, 0.5))  # 1, .5, 1.5: far less than what seeds differ by
    assert by.seeds == {0: 1.0, 1: 0.5, 2: 1.5}
    assert by.told_apart
    assert found.is_better("l1", "baseline", MIOU) is True
    assert found.is_better("baseline", "l1", MIOU) is False


def test_of_errors_the_lower_one_is_better():
    found = of_seeds(RMSE.key, baseline=[1.0, 1.2], small=[1.3, 1.4])
    assert found.is_better("baseline", "small", RMSE) is True
    assert found.order(table_s2(BASE).questions[1], RMSE) == "baseline > small"


@pytest.mark.parametrize("values", [[3.0], [3.0, 1.0], [2.0, 2.0]], ids=["one seed", "both signs", "the same"])
def test_not_told_apart(values):
    found = of_seeds(MIOU.key, baseline=[2.0, 2.0][: len(values)], small=values)
    assert found.is_better("small", "baseline", MIOU) is None
    assert " ≈ " in found.order(table_s2(BASE).questions[1], MIOU)
    assert found.verdict(table_s2(BASE).questions[1], MIOU) == "undecided"
    assert "≈ |" in as_markdown(found, "")


def test_only_seeds_that_both_have_are_compared():
    found = of_seeds(MIOU.key, baseline=[10.0, 20.0], l1=[11.0])
    assert found.difference("l1", "baseline", MIOU).seeds == {0: 1.0}


@pytest.mark.parametrize(
    ("baseline", "l1", "l2", "order", "verdict"),
    [
        ([9, 9.1], [8, 8.1], [7, 7.1], "baseline > l1 > l2", "agrees"),
        ([9, 9.1], [8, 10.2], [7, 7.1], "l1 ≈ baseline > l2", "undecided"),
        ([9, 9.1], [8, 8.1], [10, 10.1], "l2 > baseline > l1", "disagrees"),
        ([9, 9.1], [9, 9.2], [10, 10.1], "l2 > l1 ≈ baseline", "disagrees"),
        ([9, 9.1], [8, 8.1], [], "baseline > l1", "undecided"),
        ([], [], [], NOTHING, "undecided"),
    ],
)
def test_orders_of_three(baseline, l1, l2, order, verdict):
    found, loss = of_seeds(MIOU.key, baseline=baseline, l1=l1, l2=l2), table_s2(BASE).questions[3]
    assert (found.order(loss, MIOU), found.verdict(loss, MIOU)) == (order, verdict)


def test_a_row_of_many_runs_has_means_once_all_tasks_are_there():
    each = {f"separate_steps/{task}": {f"psnr/{task}": 10.0 + i, f"l1/{task}": i} for i, task in enumerate(TASKS)}
    whole = Found(table_2(BASE), {(run, 0): scores for run, scores in each.items()})
    assert whole.of("separate_steps", COLUMNS["psnr"]).mean == pytest.approx(13.5)
    assert whole.of("separate_steps", L1).mean == pytest.approx(3.5)
    assert whole.of("separate_steps", COLUMNS["psnr/derain"]).mean == 10 + TASKS.index("derain")
    del each["separate_steps/derain"]
    part = Found(table_2(BASE), {(run, 0): scores for run, scores in each.items()})
    assert part.of("separate_steps", COLUMNS["psnr"]).text(2) == NOTHING
    assert part.of("separate_steps", COLUMNS["psnr/denoise"]).mean == 10 + TASKS.index("denoise")


@pytest.mark.parametrize("num", [2, 3, 5])
def test_what_chance_alone_tells_apart(num):
    """Of simulated differences without any effect."""
    draws = np.random.default_rng(num).normal(size=(200_000, num))
    told = np.abs(draws.mean(1)) > draws.std(1, ddof=1)
    assert by_chance(num) == pytest.approx(told.mean(), abs=0.005)


def test_markdown_and_json():
    found = of_seeds(MIOU.key, baseline=[10.0, 12.0], l1=[11.0, 13.5], l2=[9.0])
    text = as_markdown(found, "a budget")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| l1 ")]
    assert [row[-1] for row in rows] == ["12.2 ± 1.8", "+1.2 ± 0.4"]
    assert "39% are above it with 2 seeds" in text
    assert "| loss | mIoU: smooth-l1 41.2 > l1 40.6 > l2 26.3 | mIoU | l1 > baseline ≈ l2 | disagrees |" in text
    content = json.loads(json.dumps(as_json(found, "a budget"), allow_nan=False))
    assert content["scores"]["l2"][MIOU.key] == {"mean": 9.0, "deviation": None, "seeds": {"0": 9.0}}
    by = content["difference from baseline"]["l1"][MIOU.key]
    assert (by["mean"], by["told_apart"]) == (1.25, True)
    assert by["deviation"] == pytest.approx(math.sqrt(2) / 4)
    assert content["difference from baseline"]["l2"][MIOU.key]["told_apart"] is False
