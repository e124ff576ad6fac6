"""Checkpoints: whole or not there, found again, verified, rotated, the same for any number of ranks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine import checkpoint
from engine.checkpoint import LAST, Checkpoints
from engine.optim import make_optimizer
from engine.precision import Precision
from engine.state import TrainState
from models import create_model
from models.weights import read_weights
from util import sealed
from util.dist import join_world
from util.sealed import SEAL

CONFIG = {"optim.lr": 0.1}


def state(step=0, **changes):
    sizes = {"img_size": (64, 32), "embed_dim": 24, "depth": 4, "num_heads": 2, "decoder_embed_dim": 4}
    model = create_model("painter_vit_tiny", **sizes | changes)
    return TrainState(model, make_optimizer(model, 0.1, 0.8, (0.9, 0.999)), Precision("fp32", "cpu").scaler(), step)


def train_a_little(this, without=()):
    this.optimizer.param_groups[0]["lr"] = 0.1
    for name, parameter in this.model.named_parameters():
        parameter.grad = None if name in without else torch.ones_like(parameter)
    this.optimizer.step()


def checkpoints(folder, keep=9):
    return Checkpoints(folder, keep, join_world("cpu"))


def save(folder, *steps, keep=9):
    these = checkpoints(folder, keep)
    for step in steps:
        these.save(state(step), CONFIG)
    these.finish()
    return these


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_everything_comes_back(tmp_path):
    saved = state(7)
    saved.skipped, saved.broken = 2, ["a.json, entry 3: it is broken"]
    train_a_little(saved, without=["mask_token"])  # which then has no moments
    these = checkpoints(tmp_path)
    these.save(saved, CONFIG)
    these.finish()
    loaded = state()
    assert these.load(tmp_path / LAST, loaded) == CONFIG
    assert (loaded.step, loaded.skipped, loaded.broken) == (7, 2, saved.broken)
    for _ in range(2):
        train_a_little(saved)
        train_a_little(loaded)
    for a, b in zip(saved.model.parameters(), loaded.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_what_is_saved_is_the_moment_of_the_call(tmp_path):
    """Training goes on while the folder is written."""
    this, these = state(1), checkpoints(tmp_path)
    before = {name: value.clone() for name, value in this.model.state_dict().items()}
    these.save(this, CONFIG)
    for parameter in this.model.parameters():
        parameter.data.fill_(7)
    this.broken.append("a.json, entry 3: it is broken")
    these.finish()
    assert json.loads((tmp_path / LAST / SEAL).read_text())["broken"] == []
    found = read_weights(tmp_path / LAST)
    assert found.keys() == before.keys()
    assert all(torch.equal(found[name], before[name]) for name in before)


def test_the_newest_are_kept_and_nothing_else_is_left(tmp_path):
    save(tmp_path, 8, 9, 10, 11, keep=2)
    assert names(tmp_path) == [LAST, "step_0000010", "step_0000011"]
    assert (tmp_path / LAST).resolve().name == "step_0000011"


def test_milestones_are_kept_for_good(tmp_path):
    these = Checkpoints(tmp_path, 1, join_world("cpu"), keep_every=4)
    for step in (4, 6, 8, 10, 9_999_999, 10_000_001):
        these.save(state(step), CONFIG)
    these.finish()
    assert names(tmp_path) == [LAST, "step_0000004", "step_0000008", "step_10000001"]
    assert these.find("auto") == tmp_path / "step_10000001"


def test_no_file_can_run_code(tmp_path):
    save(tmp_path, 1)
    assert {path.suffix for path in (tmp_path / LAST).iterdir()} == {".safetensors", ".json"}


def test_a_step_is_saved_again_over_an_older_one(tmp_path):
    save(tmp_path, 1, 2)
    save(tmp_path, 2)
    assert names(tmp_path) == [LAST, "step_0000001", "step_0000002"]
    assert checkpoints(tmp_path).find("auto") == tmp_path / "step_0000002"


def test_a_save_that_breaks_off_leaves_the_last_one_whole(tmp_path, monkeypatch, caplog):
    these = save(tmp_path, 1)

    def fail(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "seal", fail)
        these.save(state(2), CONFIG)
        with pytest.raises(ValueError, match=r"failed on rank 0 .*No space left on device.*step_0000001"):
            these.finish()
        these.save(state(2), CONFIG)
        these.settle()
        assert "No space left on device" in caplog.text
    assert names(tmp_path) == [LAST, "step_0000001"]
    save(tmp_path, 2)
    assert checkpoints(tmp_path).find("auto") == tmp_path / "step_0000002"


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.engine.test_checkpoint import CONFIG, checkpoints, state
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
these = checkpoints(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
these.save(state(2), CONFIG)
these.settle()
"""


def test_a_file_that_the_system_refuses_to_write_is_a_warning(tmp_path):
    save(tmp_path, 1)
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path), str(Path(__file__).parents[2])]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "File too large" in ran.stderr
    assert "the last whole one:" in ran.stderr
    assert names(tmp_path) == [LAST, "step_0000001"]


def test_leftovers_of_a_killed_save_are_removed(tmp_path):
    save(tmp_path, 1)
    for name in (".step_0000002.part", ".step_0000000.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "shard.safetensors").write_bytes(b"half")
    assert checkpoints(tmp_path).find("auto") == tmp_path / "step_0000001"
    assert names(tmp_path) == [LAST, "step_0000001"]


def flip(path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def flip_step(path):
    path.write_text(path.read_text().replace('"step": 2', '"step": 3'))


def shard(folder):
    return next(folder.glob("*.safetensors"))


DAMAGE = {
    "a flipped bit": (lambda folder: flip(shard(folder)), "SHA-256"),
    "a cut file": (lambda folder: shard(folder).write_bytes(shard(folder).read_bytes()[:-1]), "SHA-256"),
    "a lost file": (lambda folder: shard(folder).unlink(), "is missing from the checkpoint"),
    "a file too many": (lambda folder: (folder / "x.safetensors").touch(), "is not part of the checkpoint"),
    "no seal": (lambda folder: (folder / SEAL).unlink(), f"it has no {SEAL}"),
    "a cut seal": (lambda folder: (folder / SEAL).write_text('{"step": 3'), f"{SEAL} is damaged"),
    "a flipped bit of the seal": (lambda folder: flip_step(folder / SEAL), f"{SEAL} is damaged"),
    "another seal": (lambda folder: (folder / SEAL).write_text("[]"), f"{SEAL} is damaged"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_one_is_moved_aside_and_the_one_before_used(tmp_path, kind, caplog):
    save(tmp_path, 1, 2)
    damage, message = DAMAGE[kind]
    damage(tmp_path / "step_0000002")
    assert checkpoints(tmp_path).find("auto") == tmp_path / "step_0000001"
    assert message in caplog.text
    assert "damaged_step_0000002" in caplog.text
    assert (tmp_path / "damaged_step_0000002").is_dir()
    assert (tmp_path / LAST).resolve().name == "step_0000001"


def test_no_whole_one_is_an_error(tmp_path):
    """Also for the next start: none is touched."""
    save(tmp_path, 1, 2)
    for step in (1, 2):
        flip(shard(tmp_path / f"step_000000{step}"))
    for _ in range(2):
        with pytest.raises(ValueError, match=r"all checkpoints of .* are damaged"):
            checkpoints(tmp_path).find("auto")
    assert names(tmp_path) == [LAST, "step_0000001", "step_0000002"]


def test_another_version_of_the_folder_is_named(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(sealed, "FORMAT", 0)
        save(tmp_path, 1)
    with pytest.raises(ValueError, match="was written by another version of Painter"):
        read_weights(tmp_path / LAST)


def test_a_tensor_of_which_a_part_was_never_written_is_not_read(tmp_path):
    """As if the folder had been sealed without the file of a rank."""
    sharding = {"model.a": {"saved_offsets": [2]}}
    save_file({"model.a": torch.ones(3)}, tmp_path / "shard.safetensors", {"DCP_SHARDING_INFO": json.dumps(sharding)})
    sealed.seal(tmp_path, ["shard.safetensors"], {})
    with pytest.raises(ValueError, match=r"has not all parts of model\.a"):
        read_weights(tmp_path)


def test_a_file_that_a_rank_wrote_and_rank_0_cannot_see_fails_the_save(tmp_path):
    with pytest.raises(FileNotFoundError):
        sealed.seal(tmp_path, ["of_another_rank.safetensors"], {})
    assert not list(tmp_path.iterdir())


def test_a_large_checkpoint_is_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "FILE_BYTES", 20_000)
    saved = state(1)
    train_a_little(saved)
    these = checkpoints(tmp_path)
    these.save(saved, CONFIG)
    these.finish()
    sizes = [path.stat().st_size for path in (tmp_path / LAST).glob("*.safetensors")]
    assert len(sizes) > 20
    assert sum(sizes) > 3 * sum(p.nbytes for p in saved.model.parameters())
    loaded = state()
    these.load(tmp_path / LAST, loaded)
    for a, b in zip(saved.model.parameters(), loaded.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_link_is_for_people(tmp_path):
    save(tmp_path, 1, 2)
    for wrong in (None, "step_0000099", "step_0000001"):
        (tmp_path / LAST).unlink()
        if wrong:
            (tmp_path / LAST).symlink_to(wrong)
        assert checkpoints(tmp_path).find("auto") == tmp_path / "step_0000002"
        assert (tmp_path / LAST).resolve().name == "step_0000002"


def test_nothing_to_resume(tmp_path):
    assert checkpoints(tmp_path).find("auto") is None
    assert checkpoints(tmp_path / "absent").find("never") is None


def test_never_means_never_but_after_a_restart(tmp_path, monkeypatch):
    these = save(tmp_path, 1)
    flip(shard(save(tmp_path, 2).folder / "step_0000002"))
    with pytest.raises(ValueError, match="holds checkpoints of another run; go on with --resume auto"):
        these.find("never")
    assert names(tmp_path) == [LAST, "step_0000001", "step_0000002"]
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert these.find("never") == tmp_path / "step_0000001"


def test_another_run_s_checkpoint_is_for_the_start_alone(tmp_path):
    mine, other = tmp_path / "mine", tmp_path / "other"
    save(other, 5)
    assert checkpoints(mine).find(str(other / LAST)) == other / LAST
    save(mine, 6)
    assert checkpoints(mine).find(str(other / LAST)) == mine / "step_0000006"


def test_going_back_would_mix_two_runs(tmp_path):
    save(tmp_path, 1, 2)
    assert checkpoints(tmp_path).find(str(tmp_path / LAST)) == tmp_path / LAST
    with pytest.raises(ValueError, match=r"step_0000002 is later than .*step_0000001"):
        checkpoints(tmp_path).find(str(tmp_path / "step_0000001"))


@pytest.mark.parametrize("path", ["absent", "weights.pth"])
def test_what_is_no_checkpoint_cannot_be_resumed(tmp_path, path):
    torch.save({"model": state().model.state_dict()}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=f"{path} is no checkpoint: it has no {SEAL}"):
        checkpoints(tmp_path / "run").find(str(tmp_path / path))


def test_another_network_names_the_weights(tmp_path):
    these = save(tmp_path, 1)
    with pytest.raises(ValueError, match=r"does not fit the model.*\n.*mis-shaped: decoder_embed.weight"):
        these.load(tmp_path / LAST, state(decoder_embed_dim=8))


def test_the_record_is_plain(tmp_path):
    save(tmp_path, 3)
    content = json.loads((tmp_path / LAST / SEAL).read_text())
    assert content["step"] == 3
    assert content["config"] == CONFIG
    assert content["files"].keys() == {shard(tmp_path / LAST).name}
