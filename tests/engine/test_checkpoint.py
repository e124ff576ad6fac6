"""Checkpoints: never half there, rotated, found again, safe to read."""

import json
from dataclasses import asdict, replace

import pytest
import torch

from engine import checkpoint
from engine.checkpoint import LAST, TrainState, find_resume, load_checkpoint, load_painter, save_checkpoint
from engine.optim import make_optimizer
from engine.precision import Precision
from models import MODELS, Painter, create_model
from models.weights import read_weights


def state(step=0):
    model = create_model("painter_vit_tiny", img_size=(64, 32), embed_dim=24, depth=4, num_heads=2, decoder_embed_dim=4)
    return TrainState(model, make_optimizer(model, 0.1, 0.8, (0.9, 0.999)), Precision("fp32", "cpu").scaler(), step)


def train_a_little(this):
    this.optimizer.param_groups[0]["lr"] = 0.1
    for parameter in this.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    this.optimizer.step()


def test_everything_comes_back(tmp_path):
    saved = state(7)
    train_a_little(saved)
    save_checkpoint(tmp_path, saved, {"optim.lr": 0.1}, keep=1)
    loaded = state()
    assert load_checkpoint(tmp_path / LAST, loaded) == {"optim.lr": 0.1}
    assert loaded.step == 7
    train_a_little(saved)
    train_a_little(loaded)
    for a, b in zip(saved.model.parameters(), loaded.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_model_in_it_reads_as_weights(tmp_path):
    this = state()
    path = save_checkpoint(tmp_path, this, {}, keep=1)
    assert read_weights(path).keys() == this.model.state_dict().keys()


def test_the_newest_are_kept(tmp_path):
    for step in (8, 9, 10, 11):
        save_checkpoint(tmp_path, state(step), {}, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [LAST, "step_0000010.pth", "step_0000011.pth"]
    assert (tmp_path / LAST).resolve().name == "step_0000011.pth"


def test_a_save_that_breaks_off_leaves_the_last_one_whole(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, state(1), {}, keep=2)

    def half(content, path):
        path.write_bytes(b"half a file")
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.torch, "save", half)
        with pytest.raises(OSError, match="No space left"):
            save_checkpoint(tmp_path, state(2), {}, keep=2)
    assert find_resume(tmp_path, "auto") == tmp_path / LAST
    load_checkpoint(tmp_path / LAST, state())
    save_checkpoint(tmp_path, state(2), {}, keep=2)  # the leftover is not in the way
    assert (tmp_path / LAST).resolve().name == "step_0000002.pth"


def test_a_lost_link_is_no_lost_run(tmp_path):
    save_checkpoint(tmp_path, state(1), {}, keep=2)
    newest = save_checkpoint(tmp_path, state(2), {}, keep=2)
    (tmp_path / LAST).unlink()
    assert find_resume(tmp_path, "auto") == newest
    (tmp_path / LAST).symlink_to("step_0000099.pth")
    assert find_resume(tmp_path, "auto") == newest


def test_nothing_to_resume(tmp_path):
    assert find_resume(tmp_path, "auto") is None
    assert find_resume(tmp_path / "absent", "never") is None


@pytest.mark.parametrize("content", [{"model": {"a": torch.ones(1)}}, [torch.ones(1)]])
def test_weights_alone_cannot_be_resumed(tmp_path, content):
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"is no checkpoint of a run .*; start from it with --init"):
        load_checkpoint(tmp_path / "weights.pth", state())


def test_a_run_s_network_comes_back_as_it_was_trained(tmp_path):
    config = replace(state().model.config, merge_after=1, head="linear")
    saved = Painter(config)
    told = {"model." + key: value for key, value in json.loads(json.dumps(asdict(config))).items()} | {"seed": 5}
    this = TrainState(saved, make_optimizer(saved, 0.1, 0.8, (0.9, 0.999)), Precision("fp32", "cpu").scaler())
    save_checkpoint(tmp_path, this, told, keep=1)
    loaded, found = load_painter(tmp_path / LAST)
    assert loaded.config == config
    assert (found, loaded.training) == (told, False)
    for a, b in zip(saved.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_name_goes_before_what_the_run_tells(tmp_path):
    save_checkpoint(tmp_path, state(), {"model.depth": 4}, keep=1)
    with pytest.raises(ValueError, match=r"last\.pth does not fit the model"):
        load_painter(tmp_path / LAST, "painter_vit_tiny")


@pytest.mark.parametrize("beside", [{}, {"epoch": 3, "config": {"model.depth": 8}}])
def test_weights_alone_need_a_name(tmp_path, monkeypatch, beside):
    """As released; what stands beside the weights tells nothing unless a run has written it."""
    model = state().model
    monkeypatch.setitem(MODELS, "painter_of_the_test", model.config)
    torch.save({"model": model.state_dict(), **beside}, tmp_path / "weights.pth")
    loaded, config = load_painter(tmp_path / "weights.pth", "painter_of_the_test")
    assert (loaded.config, loaded.training, config) == (model.config, False, {})
    assert torch.equal(loaded.pos_embed, model.pos_embed)


def test_without_a_name_weights_are_the_released_network(tmp_path, monkeypatch):
    model = state().model
    monkeypatch.setitem(MODELS, "painter_vit_large", model.config)
    torch.save({"model": model.state_dict()}, tmp_path / "weights.pth")
    assert load_painter(tmp_path / "weights.pth")[0].config == model.config


def test_weights_that_do_not_fit_are_refused(tmp_path, monkeypatch):
    model = state().model
    monkeypatch.setitem(MODELS, "painter_of_the_test", model.config)
    torch.save({"model": {**model.state_dict(), "extra": torch.ones(1)}}, tmp_path / "more.pth")
    with pytest.raises(ValueError, match=r"does not fit the model.*\n  unexpected: extra\nIt was tried as painter_of"):
        load_painter(tmp_path / "more.pth", "painter_of_the_test")
    with pytest.raises(ValueError, match="unknown model 'painter_of_the_tests'; did you mean painter_of_the_test"):
        load_painter(tmp_path / "more.pth", "painter_of_the_tests")
