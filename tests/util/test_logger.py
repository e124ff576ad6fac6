"""The record of a run: one interface, several sinks, cut back to the step a run resumes from."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from util.logger import JsonLines, Logger, TensorBoard, Wandb

PICTURE = np.zeros((2, 3, 3), np.uint8)


def steps(path):
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_json_lines_drop_what_an_interrupted_run_wrote_too_much(tmp_path):
    path = tmp_path / "log.jsonl"
    sink = JsonLines(path, 0)
    for step in (1, 2, 3, 4):
        sink.scalars(step, {"loss": 0.5})
    sink.close()
    with path.open("a") as file:
        file.write('{"step": 5, "lo')  # killed while writing
    sink = JsonLines(path, 2)
    sink.scalars(3, {"loss": 0.25})
    sink.close()
    assert steps(path) == [1, 2, 3]
    assert json.loads(path.read_text().splitlines()[-1]) == {"step": 3, "loss": 0.25}


def test_tensorboard_gets_scalars_and_pictures(tmp_path):
    sink = TensorBoard(tmp_path, 0)
    sink.scalars(3, {"train/loss": 0.5})
    sink.picture(3, "val/depth", PICTURE)
    sink.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(3, 0.5)]
    assert events.Images("val/depth")[0].width == 3


def test_every_sink_gets_everything_and_none_is_silence(tmp_path):
    class Recorder:
        def __init__(self):
            self.calls = []

        def scalars(self, *arguments):
            self.calls.append(arguments)

        picture = scalars

        def close(self):
            self.calls.append("closed")

    sinks = [Recorder(), Recorder()]
    for logger in (Logger(sinks), Logger()):
        logger.scalars(1, {"a": 1.0})
        logger.picture(1, "b", PICTURE)
        logger.close()
    assert sinks[0].calls == sinks[1].calls == [(1, {"a": 1.0}), (1, "b", PICTURE), "closed"]


def test_wandb_is_the_same_interface(tmp_path, monkeypatch):
    calls = []
    run = SimpleNamespace(
        log=lambda values, step: calls.append((step, values)), finish=lambda: calls.append("finished")
    )
    fake = SimpleNamespace(
        init=lambda **options: calls.append(options["project"]) or run, Image=lambda image: image.shape
    )
    monkeypatch.setitem(sys.modules, "wandb", fake)
    sink = Wandb("painter", tmp_path, {"optim.lr": 1})
    sink.scalars(2, {"loss": 1.0})
    sink.picture(2, "p", PICTURE)
    sink.close()
    assert calls == ["painter", (2, {"loss": 1.0}), (2, {"p": (2, 3, 3)}), "finished"]


def test_wandb_that_is_not_installed_says_how(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ValueError, match="pip install wandb"):
        Wandb("painter", tmp_path, {})
