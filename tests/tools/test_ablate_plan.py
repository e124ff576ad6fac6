"""What is compared: each run of Table S2 leaves the baseline in one thing; Table 2's shares; the paper's numbers."""

from collections import Counter
from pathlib import Path

import pytest

from data.sampler import TrainSampler
from engine.config import flatten
from models import Painter
from tools.ablation.plan import PLANS, base, table_2, table_s2
from tools.ablation.scores import MEASURES

BASE = base(Path("world"), 1500, "fp32")


def test_the_runs_of_table_s2():
    plan = table_s2(BASE)
    first, *others = [flatten(run.config) for run in plan.runs]
    changed = [{key: (first[key], new[key]) for key in first if first[key] != new[key]} for new in others]
    assert dict(zip([run.name for run in plan.runs[1:]], changed, strict=True)) == {
        "no_merge": {"model.merge_after": (0, None)},
        "small": {"model.embed_dim": (128, 64), "model.num_heads": (4, 2)},
        "linear_head": {"model.head": ("light", "linear")},
        "l1": {"optim.loss": ("smoothl1", "l1")},
        "l2": {"optim.loss": ("smoothl1", "l2")},
    }
    assert (first["optim.steps"], first["optim.warmup"], first["data.roots"]) == (1500, 150, ["world"])
    assert (first["optim.lr"], first["optim.betas"], first["optim.darkest"]) == (4e-4, [0.9, 0.999], 3.0)
    assert plan.rows[4].about == "optim.loss: smoothl1 -> l1"


def test_the_smaller_backbone_is_in_the_proportion_of_vit_b_to_vit_l():
    runs = {run.name: run.config.model for run in table_s2(BASE).runs}
    num = {name: sum(x.numel() for x in Painter(runs[name]).blocks.parameters()) for name in ("baseline", "small")}
    assert num["small"] / num["baseline"] == pytest.approx(85.1 / 302.3, abs=0.03)  # M of twelve and 24 blocks


def test_the_papers_orders():
    assert [question.in_words for question in table_s2(BASE).questions] == [
        "mIoU: after 3 blocks 41.2 > none 39.7",
        "mIoU: ViT-L 41.2 > ViT-B 31.4",
        "mIoU: three layers 41.2 > one linear 38.6",
        "mIoU: smooth-l1 41.2 > l1 40.6 > l2 26.3",
    ]
    rows = [[choice.row for choice in question.ranked] for question in table_s2(BASE).questions]
    assert rows == [
        ["baseline", "no_merge"],
        ["baseline", "small"],
        ["baseline", "linear_head"],
        ["baseline", "l1", "l2"],
    ]
    together = {question.title: question.in_words for question in table_2(BASE).questions}
    assert together["NYUv2 depth"] == "RMSE: joint 0.288 > separate 0.327"  # lower is better
    assert together["COCO pose"] == "AP: separate 72.5 > joint 72.1"


@pytest.mark.parametrize("plan", [make(BASE) for make in PLANS.values()], ids=[*PLANS])
def test_what_is_asked_is_there(plan):
    rows, runs, keys = {r.title for r in plan.rows}, {run.name for run in plan.runs}, {m.key for m in MEASURES}
    assert {choice.row for question in plan.questions for choice in question.choices} == rows
    assert {run for row in plan.rows for run in row.runs} == runs
    assert len(runs) == len(plan.runs)
    assert {key for question in plan.questions for key in question.keys} <= keys
    assert plan.runs[0] == ("baseline", BASE)


def test_separate_training_takes_as_many_samples_of_a_task_or_as_many_steps():
    runs = {run.name: run.config for run in table_2(BASE).runs}
    drawn = joint_draws()
    for task in BASE.data.sources:
        for kind in ("separate_samples", "separate_steps"):
            assert list(runs[f"{kind}/{task}"].data.sources) == [task]
        few, many = (runs[f"{kind}/{task}"].optim for kind in ("separate_samples", "separate_steps"))
        assert few.steps * few.global_batch == pytest.approx(drawn[task], rel=0.15)
        assert (many.steps, many.warmup) == (1500, 150)
        assert few.warmup == few.steps // 10


def joint_draws() -> dict[str, int]:
    """How many samples of each task the joint run draws, by the sampler of training."""
    sources = BASE.data.sources
    weights = [source.weight for source in sources.values()]
    sampler = TrainSampler([10] * len(sources), weights, 0, BASE.optim.micro_batch, 1, 0, 1, range(BASE.optim.steps))
    counts = Counter(draw.index // 10 for draw in sampler)
    return {task: counts[place] for place, task in enumerate(sources)}
