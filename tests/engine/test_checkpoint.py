"""Checkpoints: never half there, rotated, found again, safe to read."""

import pytest
import torch

from engine import checkpoint
from engine.checkpoint import LAST, TrainState, find_resume, load_checkpoint, save_checkpoint
from engine.optim import make_optimizer
from engine.precision import Precision
from models import create_model
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
