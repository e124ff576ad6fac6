"""The record of a run: one interface, several sinks, cut back to the step a run resumes from."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from util.logger import JsonLines, Logger, Pictures, TensorBoard, Wandb

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


class Full:
    """A sink on a disk that is full for a while."""

    def __init__(self):
        self.full, self.taken = False, []

    def scalars(self, step, values):
        if self.full:
            raise OSError(28, "No space left on device")
        self.taken.append(step)

    picture = scalars

    def close(self):
        pass


def test_a_full_disk_is_told_once_and_so_is_its_end(caplog):
    disk, other = Full(), Full()
    logger = Logger([disk, other])
    for step in range(6):
        disk.full = 1 < step < 5
        logger.scalars(step, {"a": 1.0})
    assert disk.taken == [0, 1, 5]
    assert other.taken == [0, 1, 2, 3, 4, 5]
    assert caplog.text.count("Full: a part of the record is lost ([Errno 28] No space left on device)") == 1
    assert caplog.text.count("Full: recording again") == 1


def test_tensorboard_writes_again_when_there_is_room_again(tmp_path, monkeypatch):
    board = TensorBoard(tmp_path, 0)
    with monkeypatch.context() as patch:
        patch.setattr(board.writer, "add_scalar", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(OSError, match="full"):
            board.scalars(1, {"a": 1.0})
    board.scalars(2, {"a": 2.0})
    board.close()
    assert scalars_of(tmp_path) == [2]


def scalars_of(folder):
    events = EventAccumulator(str(folder))
    events.Reload()
    return [event.step for event in events.Scalars("a")]


def test_a_line_that_is_none_is_dropped_with_those_after_the_start(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1, "a": 1}\n{"step": 2, "a"{"step": 2, "a": 2}\n3\n{"step": 4, "a": 4}\n{"step": 2')
    JsonLines(path, 3).close()
    assert path.read_text() == '{"step": 1, "a": 1}\n'


def test_pictures_are_files_by_name_and_step(tmp_path):
    Pictures(tmp_path).picture(12, "val/derain", np.zeros((4, 6, 3), np.uint8))
    assert [path.name for path in tmp_path.iterdir()] == ["derain_step_0000012.png"]
