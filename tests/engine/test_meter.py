"""What a run is seen by: numbers that can be checked, and a trace."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.loss import masked_loss, mean_error, weighted_error
from engine.meter import Meter, memory
from engine.train import run
from util.dist import join_world

WORLD = join_world("cpu")


def test_each_source_has_the_mean_over_its_weights():
    meter = Meter({"a.json": "a", "b.json": "b", "c.json": "c"}, WORLD, 8, 1.0, 1.0)
    meter.add(["a.json", "b.json"], torch.tensor([1.0, 2.0]), torch.tensor([2.0, 1.0]))
    meter.end_step()
    meter.add(["a.json", "a.json"], torch.tensor([5.0, torch.nan]), torch.tensor([2.0, 1.0]))
    meter.end_step()
    found = meter.read()
    assert (found["a/loss"], found["b/loss"]) == (1.5, 2.0)
    assert "c/loss" not in found
    assert "a/loss" not in meter.read()


def test_the_parts_make_the_loss():
    pred, target, weight = torch.randn(3, 2, 3, 64, 32).unbind()
    mask = torch.zeros(2, 4, 2)
    mask[:, 2:] = 1
    target += 3  # bright enough to count
    loss = masked_loss(pred, target, mask, weight.abs())
    assert loss == mean_error(*weighted_error(pred, target, mask, weight.abs()))
    assert loss > 0


def test_speed_waiting_and_share_of_the_peak(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    meter = Meter({}, WORLD, 8, 100.0, 1000.0)

    def batches():
        for _ in range(4):
            now[0] += 0.25
            yield 7

    loaded = batches()
    for _ in range(2):
        assert meter.waiting(loaded) == 7
        now[0] += 0.75
        meter.end_step()
    found = meter.read()
    assert found["samples_per_second"] == 8
    assert found["data_wait"] == 0.25
    assert found["mfu"] == pytest.approx(0.1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="another source of the number: /proc")
def test_memory_is_the_most_that_this_process_had():
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    assert memory(WORLD.device) == pytest.approx(int(line.split()[1]) * 1024, rel=0.02)


def test_a_run_records_all_of_it_and_a_trace(config):
    run(replace(config, profile=2))
    line = json.loads((config.out_dir / "log.jsonl").read_text().splitlines()[-3])
    names = ("loss", "lr", "grad_norm", "samples_per_second", "data_wait", "mfu", "memory_gb", "skipped", "broken")
    assert all(f"train/{name}" in line for name in names)
    assert {"train/derain/loss", "train/depth/loss"} & line.keys()
    assert 0 < line["train/data_wait"] < 1
    assert 0 < line["train/mfu"] < 1
    (trace,) = (config.out_dir / "profile").iterdir()
    assert trace.name.startswith("rank0.")
    events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    assert any("addmm" in event.get("name", "") for event in events)
    assert len({event["name"] for event in events if event.get("name", "").startswith("ProfilerStep")}) == 2
