"""A frozen backbone: what learns, what an optimiser keeps of it, and a run that is stopped and goes on."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.checkpoint import LAST
from engine.cost import sample_cost
from engine.fit import state_bytes
from engine.load_config import load_config
from engine.optim import freeze, make_optimizer, parameter_groups
from engine.summary import summary
from engine.train import run
from models import Painter
from models.weights import read_weights, stored_tensors
from tests.engine import test_cost
from tests.engine.test_summary import ONE, lists_of
from tests.engine.test_train import REPOSITORY, config_file, losses, run_until, with_optim


@pytest.fixture
def frozen(config, tmp_path):
    """A run of the head alone, from the weights of a run of everything."""
    run(with_optim(replace(config, out_dir=tmp_path / "first"), steps=2))
    return with_optim(replace(config, init=str((tmp_path / "first" / LAST).resolve())), learn="head")


def is_head(name: str) -> bool:
    return name.split(".")[0] in ("norm", "decoder_embed", "decoder_pred")


def moments_of(folder: Path) -> list[str]:
    """The names of what the optimiser keeps."""
    stored = stored_tensors((folder / LAST).resolve())
    return [name.removeprefix("optimizer.") for name in stored if name.startswith("optimizer.")]


def test_the_head_alone_has_gradients_moments_and_decay(config):
    model = Painter(config.model)
    freeze(model, "head")
    canvas = torch.zeros(1, 3, *config.model.img_size)
    model(canvas, canvas, torch.ones(1, *config.model.grid)).sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == is_head(name), name
    names = [name for group in parameter_groups(model, 0.1, 0.8) for name in group["names"]]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters() if is_head(name))
    optimizer = make_optimizer(model, 0.1, 0.8, (0.9, 0.99))
    optimizer.step()
    assert len(optimizer.state) == len(names)
    freeze(model, "all")
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_frozen_backbone_stays_to_the_last_bit(frozen, tmp_path):
    run(frozen)
    before, after = read_weights(tmp_path / "first" / LAST), read_weights(frozen.out_dir / LAST)
    for name, value in before.items():
        assert torch.equal(value, after[name]) != is_head(name), name
    assert {name.rpartition(".")[0] for name in moments_of(frozen.out_dir)} == set(filter(is_head, before))


def test_a_frozen_run_that_stops_goes_on_alike(frozen, tmp_path):
    run(frozen)
    stopped = replace(frozen, out_dir=tmp_path / "stopped")
    with pytest.raises(KeyboardInterrupt):
        run_until(stopped, step=3)
    run(stopped)
    assert losses(stopped.out_dir) == losses(frozen.out_dir)


def test_it_may_go_on_with_all_and_then_with_the_head_again(frozen):
    run(frozen)
    run(with_optim(frozen, learn="all", steps=8))
    names = moments_of(frozen.out_dir)
    assert not all(map(is_head, names))
    run(with_optim(frozen, steps=10))
    assert {name for name in names if is_head(name)} == set(moments_of(frozen.out_dir))


def test_ranks_share_a_frozen_network(frozen, tmp_path, launch):
    run(frozen)
    shared = replace(frozen, out_dir=tmp_path / "fsdp", parallel="fsdp")
    launch(2, REPOSITORY / "tools/train.py", config_file(shared))
    assert losses(shared.out_dir) == pytest.approx(losses(frozen.out_dir), rel=1e-5)


def test_the_estimates_know_what_is_frozen(frozen):
    model = Painter(frozen.model)
    num_frozen = sum(p.numel() for name, p in model.named_parameters() if not is_head(name))
    whole, part = (sample_cost(frozen.model, "fp32", learn=learn) for learn in ("all", "head"))
    assert (whole.num_frozen, part.num_frozen, part.num_parameters) == (0, num_frozen, whole.num_parameters)
    embed = model.decoder_embed
    tokens, (height, width), colors = frozen.model.grid[0] * frozen.model.grid[1], frozen.model.img_size, 4
    convolutions = height * width * (colors * colors * 9 + colors * 3)
    assert part.flops - part.forward_flops == 2 * 2 * (tokens * embed.weight.numel() + convolutions)
    assert part.forward_flops == whole.forward_flops
    assert state_bytes(frozen, ONE, whole) - state_bytes(frozen, ONE, part) == 12 * num_frozen
    text = summary(frozen, lists_of(frozen), ONE, range(6), part, 1e12)
    assert f"({(whole.num_parameters - num_frozen) / 1e6:.3g} M learn)" in text


def test_the_bytes_kept_are_those_of_a_real_run(config, monkeypatch):
    def frozen_painter(of):
        freeze(model := Painter(of), "head")
        return model

    monkeypatch.setattr(test_cost, "Painter", frozen_painter)
    cost = sample_cost(config.model, "fp32", learn="head")
    assert cost.shared_bytes + 3 * cost.saved_bytes == test_cost.really_kept(config.model, "fp32", 3)
    assert cost.saved_bytes < sample_cost(config.model, "fp32").saved_bytes


def test_a_head_on_random_features_is_refused():
    with pytest.raises(ValueError, match=r"optim.learn head leaves all other weights as they are: give --init"):
        with_optim(load_config(["demo"], ""), learn="head")
