"""The measuring tool, on small networks and images: one JSON object, a table, errors that would be seen."""

import json
from mmap import mmap

import numpy as np
import pytest
import torch

from data.tasks.instance import Instances
from engine.cost import sample_cost
from models import MODELS
from tools import speed, speed_decode, speed_network, speed_rows
from tools.speed_network import query_flops

SMALL = {"quick": True, "model": "painter_vit_tiny", "canvas": (96, 48)}
NETWORK = {"precision", "batch", "samples_per_s", "tflop_per_s", "share_of_matmul_rate", "peak_memory_gb"}
EXPECTED = {"forward": NETWORK, "train": NETWORK, "infer": NETWORK, "decode": set()}
COMMON = {"work", "ours_s", "baseline_s", "ratio", "rel_error"}


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(speed_decode, "SIZE", (96, 128))
    monkeypatch.setattr(speed_network, "fastest_precision", lambda _: "bf16")


@pytest.mark.parametrize("work", EXPECTED)
def test_json_is_one_object_and_nothing_else(work, capsys):
    threads = torch.get_num_threads()
    speed.main(work, json_=True, **SMALL)
    content = json.loads(capsys.readouterr().out)
    assert set(content) == {"rows", "machine"}
    assert torch.get_num_threads() == threads == content["machine"]["threads"]
    found = {row["work"]: row for row in content["rows"]}
    assert len(found) == len(content["rows"])
    for name, row in found.items():
        assert set(row) >= (COMMON if name.startswith("attention") else COMMON | EXPECTED[work])
        assert row["ratio"] == pytest.approx(row["baseline_s"] / row["ours_s"])
        assert 0 <= row["rel_error"] < (0.05 if "bf16" in name else 1e-5)
    if work in ("forward", "train", "infer"):
        assert {f"{work}_vit_tiny_fp32", f"{work}_vit_tiny_bf16"} <= found.keys()


def test_forward_measures_every_back_end_that_works_here(capsys):
    speed.main("forward", json_=True, **SMALL)
    works = {row["work"] for row in json.loads(capsys.readouterr().out)["rows"]}
    ways = ("sdpa", "sdpa_backward", "folded", "folded_backward", "chunked")
    assert {f"attention_6x3_{p}_{way}" for p in ("fp32", "bf16") for way in ways} <= works


def test_a_line_a_row(capsys):
    speed.main("infer", **SMALL)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["work", "infer_vit_tiny_fp32", "infer_vit_tiny_bf16"]


@pytest.mark.parametrize(
    ("wrong", "sentence"), [({"batch": 0}, "error: --batch 0 must be 1 or more"), ({"model": "x"}, "unknown model 'x'")]
)
def test_what_is_wrong_is_one_sentence(wrong, sentence):
    with pytest.raises(SystemExit, match=sentence):
        speed.main("infer", **SMALL | wrong)


def test_a_query_below_a_known_prompt_costs_four_fifths_of_a_canvas():
    """Of ViT-L: three of 27 passes through a block, half of the last one's and of the head's work are left out."""
    config = MODELS["painter_vit_large"]
    assert query_flops(config) / sample_cost(config, "fp32").forward_flops == pytest.approx(0.82, abs=0.01)


def test_stages_stand_below_the_table():
    rows = [speed_rows.row("a", 1.0, 2.0, 0.0, stage_decode_s=0.0105), speed_rows.row("b", 1.0, 2.0, 0.0)]
    lines = speed.table(rows).splitlines()
    assert len(lines) == 5
    assert lines[-1].split() == ["decode", "10.50", "ms"]


def test_a_row_that_fails_costs_no_other(monkeypatch, caplog):
    attend = speed_network.attend

    def fails(q, k, v, rows, cols, backend):
        if backend == "sdpa":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return attend(q, k, v, rows, cols, backend)

    monkeypatch.setattr(speed_network, "attend", fails)
    setting = speed_network.Setting("painter_vit_tiny", (96, 48), torch.device("cpu"), 1, quick=True)
    works = [row.work for row in speed_network.attention(setting)]
    assert len(works) == 6
    assert not any("sdpa" in work for work in works)
    assert "sdpa attention in fp32 is left out: CUDA out of memory" in caplog.text


def test_works_take_turns():
    order: list[str] = []
    speed_rows.interleaved(lambda: order.append("ours"), lambda: order.append("plain"), 3)
    assert order == ["ours", "plain"] * 3


def test_memory_is_that_of_the_work():
    held = speed_rows.peak_gb(lambda: mmap(-1, 400_000_000).write(bytes(400_000_000)))
    assert held > speed_rows.peak_gb(lambda: None) + 0.3


def test_errors_are_seen():
    assert speed_rows.relative_error(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 3.0])) == pytest.approx(1 / 18**0.5)
    masks, scores = torch.eye(3, dtype=torch.bool).view(3, 1, 3), torch.tensor([0.5, 0.5, 0.2])
    first = Instances(masks, scores)
    assert speed_decode.instance_error(first, Instances(masks[[1, 0, 2]], scores)) == 0
    assert speed_decode.instance_error(first, Instances(masks, scores - 0.1)) == pytest.approx(0.1)
    assert speed_decode.instance_error(first, Instances(masks[[0, 0, 2]], scores)) == float("inf")
    assert speed_decode.instance_error(first, Instances(masks[:2], scores[:2])) == float("inf")
    assert speed_rows.row("x", 1.0, 2.0, float("inf")).flat()["rel_error"] == "inf"


def test_a_painted_prediction_has_thousands_of_colors(monkeypatch):
    monkeypatch.setattr(speed_decode, "SIZE", (480, 640))
    image = speed_decode.painted_instances(np.random.default_rng(0), 20)
    assert image.shape == (480, 640, 3)
    assert len(image.view(-1, 3).unique(dim=0)) > 50_000
