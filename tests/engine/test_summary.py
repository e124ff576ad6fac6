"""The screen before a run: every number against arithmetic of its own, every config and kind of run fits a screen."""

from dataclasses import replace

import pytest
import torch

from engine.cost import StepCost, sample_cost
from engine.load_config import CONFIG_FOLDER, load_config
from engine.loaders import Lists
from engine.summary import summary
from util.dist import World

CONFIGS = sorted(path.stem for path in CONFIG_FOLDER.glob("*.py") if path.stem not in ("__init__", "sources"))
COST = StepCost(1.5e12, 6e12, 800_000_000, 100_000_000, 370_000_000, "selective")
ONE, MANY = (World(0, size, min(size, 8), torch.device("cpu")) for size in (1, 64))


def lists_of(config, num=24_000):
    used = [name for name, source in config.data.sources.items() if source.weight > 0]
    return Lists({name: [None] * num for name in used}, {})


def told(name="painter_vit_large", *overrides, world=MANY, start=0, cost=COST, rate=5e14, steps=None):
    """The summary's paragraphs by label, and its rows of sources by name."""
    config = load_config([name, *overrides], "")
    text = summary(config, lists_of(config), world, range(start, steps or config.optim.steps), cost, rate)
    found, label = {}, ""
    for line in text.splitlines():
        first = line.split(" ")[0]
        if line.startswith(" "):
            found[label] += " " + line.strip()
        else:
            label = first + "+" * sum(key.startswith(first) for key in found)
            found[label] = line.removeprefix(first).strip()
    return found


def test_the_papers_run():
    found = told("painter_vit_large", "--init_mae", "mae.pth")
    assert found["network"].startswith("370.0 M parameters, 24 blocks of 1024, canvas 896 x 448, bf16, ")
    assert found["network"].endswith("bf16, auto, checkpointing selective, chosen by memory")
    assert found["weights"] == "encoder from mae.pth"
    assert found["output"] == "runs/painter_vit_large"
    assert found["world"] == "64 ranks on 8 machines, cpu, ddp"
    assert found["batch"] == "2 048 samples a step = 2 at once x 16 accumulated x 64 ranks"
    assert found["steps"] == "54 000 = 110.6 M samples = 576 passes over the 192 000 pairs of all lists"
    assert found["rate"] == "3 600 steps of warm-up to 0.001, then half a cosine to 0"
    assert "WARNING" not in found
    assert found["coco_semantic"].split("  ")[-1].strip() == "1 002"  # 54 000 * 2048 * .25 / 1.15 / 24 000
    assert found["coco_semantic"].split()[:4] == ["24", "000", "21.7%", "24.0"]


def test_what_the_user_chose_is_not_told_as_chosen_by_memory():
    for way, expected in {"full": "bf16, auto, checkpointing full", "none": "bf16, auto"}.items():
        assert told("painter_vit_large", "--model.checkpointing", way)["network"].endswith(expected)


def test_estimates_follow_the_costs():
    found = told()
    hours = 54_000 * 2_048 * 6e12 / (64 * 5e14) / 3_600
    assert f"estimated {hours / 0.6:.2g} to {hours / 0.1:.2g} hours: 6 TFLOP a sample at 60% to 10%" in found["time"]
    assert "of 500 TFLOP/s" in found["time"]
    assert found["memory"].startswith("estimated 7.6 GB on each rank")  # 16 * .37 + .1 + 2 * .8
    assert "5.9 GB of weights" in found["memory"]
    assert "1.7 GB of activations (0.8 GB a sample)" in found["memory"]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (1.2, "2 to 12 seconds"),
        (11, "18 to 110 seconds"),
        (30, "50 to 300 seconds"),
        (60, "1.7 to 10 minutes"),
        (3_600, "1.7 to 10 hours"),
        (86_400, "1.7 to 10 days"),
        (8_640_000, "167 to 1000 days"),
    ],
)
def test_time_is_in_units_for_people(seconds, expected):
    rate = 54_000 * 2_048 * 6e12 / 64 / seconds
    assert told(rate=rate)["time"].startswith(f"estimated {expected}: ")


def test_a_resumed_run_counts_what_is_left():
    whole, half = told(), told(start=27_000, rate=2.5e14)
    assert half["time"].partition(":")[0] == whole["time"].partition(":")[0]
    assert half["weights"] == "of this run, after 27 000 steps"
    assert half["steps"].startswith("54 000 (27 000 left) = 110.6 M samples")
    assert half["coco_pose"] == whole["coco_pose"]
    assert told(start=54_000)["time"] == "nothing is left to train"


def test_fsdp_shares_out_weights_but_not_activations():
    found = told("painter_vit_large", "--parallel", "fsdp")
    assert found["world"].endswith("fsdp")
    assert "0.092 GB of weights" in found["memory"]  # 16 * .37 / 64
    assert "1.7 GB of activations" in found["memory"]


def test_one_process_and_its_weights():
    found = told("single_gpu", world=ONE)
    assert found["world"] == "1 process, cpu"
    assert found["batch"] == "64 samples a step = 4 at once x 16 accumulated x 1 rank"
    assert found["weights"] == "random: neither init_mae nor init is given"
    assert told("single_gpu", "--init", "painter.pth", world=ONE)["weights"] == "all from painter.pth"


@pytest.mark.parametrize(("lr", "named"), [(1e-3, False), (1.09e-3, False), (1.2e-3, True), (5e-4, True)])
def test_a_rate_far_from_the_papers_rule_is_named(lr, named):
    assert ("2048 would be 0.001" in told("painter_vit_large", "--optim.lr", str(lr))["rate"]) == named


def test_short_runs_are_warned_of():
    found = told("single_task", "--optim.epochs", "15", steps=600)
    assert found["WARNING"].startswith("600 optimiser steps are few")
    assert "optim.epochs" in found["WARNING"]
    assert "never reaches its peak: optim.warmup 1 000" in found["WARNING+"]
    assert "raise optim.steps" in told("single_task", "--optim.warmup", "10", steps=2_999)["WARNING"]
    assert "WARNING" not in told("single_task", steps=3_000)
    assert "WARNING" not in told("single_task", "--init", "painter.pth", "--optim.warmup", "10", steps=600)


def test_sources_without_a_weight_are_not_shown():
    found = told("painter_vit_large", "--data.sources.coco_pose.weight", "0")
    assert "coco_pose" not in found
    shares = [float(text.split("%")[0].split()[-1]) for name, text in found.items() if "%" in text and name != "time"]
    assert sum(shares) == pytest.approx(100, abs=0.3)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_fits_a_screen(name):
    config = load_config([name], "")
    small = replace(config.model, depth=4, embed_dim=4 * config.model.num_heads, img_size=(64, 32))
    cost = sample_cost(small, config.optim.precision)
    text = summary(config, lists_of(config), ONE, range(config.optim.steps), cost, 1e12)
    assert len(text.splitlines()) <= 24
    assert max(map(len, text.splitlines())) <= 100
    assert text.isascii()
    assert "WARNING" not in text


@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device")
def test_a_gpu_is_told_by_name_and_size():
    found = told("single_gpu", world=World(0, 1, 1, torch.device("cuda", 0)))
    assert torch.cuda.get_device_name(0) in found["world"]
    assert "of the GPU's" in found["memory"]
