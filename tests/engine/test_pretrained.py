"""A network and what it knows of itself: from a run's checkpoint, an exported file, weights alone."""

import json
import re
import sys
from dataclasses import asdict, is_dataclass, replace
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from engine.checkpoint import LAST, Checkpoints
from engine.config import RunConfig, flatten
from engine.optim import make_optimizer
from engine.precision import Precision
from engine.pretrained import load_painter, published, save_painter, save_pretrained
from engine.state import TrainState
from models import MODELS, Painter, create_model
from tools.export import main
from util.dist import join_world
from util.sealed import seal


def network():
    return create_model(
        "painter_vit_tiny", img_size=(64, 32), embed_dim=24, depth=4, num_heads=2, decoder_embed_dim=4, merge_after=1
    )


@pytest.fixture
def trained(tmp_path):
    """A checkpoint of a network of no registered kind, and that network."""
    model = Painter(replace(network().config, head="linear"))
    config = {"model." + key: value for key, value in json.loads(json.dumps(asdict(model.config))).items()}
    state = TrainState(model, make_optimizer(model, 0.1, 0.8, (0.9, 0.999)), Precision("fp32", "cpu").scaler())
    checkpoints = Checkpoints(tmp_path, 1, join_world("cpu"))
    checkpoints.save(state, config | {"seed": 5})
    checkpoints.finish()
    return tmp_path / LAST, model


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_a_run_s_network_comes_back_as_it_was_trained(trained):
    folder, model = trained
    loaded, config = load_painter(folder)
    assert (loaded.config, loaded.training, config["seed"]) == (model.config, False, 5)
    assert same(loaded, model)


def test_an_exported_file_tells_the_same(trained, tmp_path, monkeypatch, capsys):
    folder, model = trained
    monkeypatch.setattr(sys, "argv", ["export.py", str(folder), str(tmp_path / "painter.safetensors")])
    main()
    assert "M parameters" in capsys.readouterr().out
    loaded, config = load_painter(tmp_path / "painter.safetensors")
    assert (loaded.config, config) == (model.config, load_painter(folder)[1])
    assert same(loaded, model)
    assert load_file(tmp_path / "painter.safetensors").keys() == model.state_dict().keys()


def keys_of_paths(kind, prefix=""):
    """Of a config and its parts, those that hold paths."""
    for name, hint in get_type_hints(kind).items():
        if is_dataclass(hint):
            yield from keys_of_paths(hint, f"{prefix}{name}.")
        elif Path in (hint, *get_args(hint)):
            yield prefix + name


def test_what_is_published_tells_the_recipe_and_no_place(config, trained, tmp_path, monkeypatch):
    """Neither the paths of a run, nor those of the weights it began with: only what these are called."""
    given = replace(config, init="/home/someone/mae/w.pth", resume=str(tmp_path / "before/last"))
    run = flatten(replace(given, data=replace(config.data, roots=(Path("/data/a"), Path("~/b"))))) | {"init_mae": None}
    save_painter(tmp_path / "one.safetensors", trained[1], run)
    save_pretrained(tmp_path / "folder", trained[1], run)
    left_out = {"resume", *keys_of_paths(RunConfig)}
    expected = {key: value for key, value in run.items() if key not in left_out} | {"init": "w.pth"}
    assert len(expected) == len(run) - 3
    for file in (tmp_path / "one.safetensors", tmp_path / "folder/model.safetensors"):
        with safe_open(file, "pt") as opened:
            assert json.loads(opened.metadata()["painter_config"]) == expected
    assert json.loads((tmp_path / "folder/config.json").read_text()) == expected
    assert not re.search(r'"[/~]', json.dumps(expected))
    assert published(expected) == expected
    assert published({"init_mae": "timm:vit_large.mae"}) == {"init_mae": "timm:vit_large.mae"}


def test_half_precision_takes_half_the_room_and_rounds(trained, tmp_path):
    painter, config = load_painter(trained[0])
    for precision in ("fp32", "bf16"):
        save_painter(tmp_path / f"{precision}.safetensors", painter, config, precision)
    assert (tmp_path / "bf16.safetensors").stat().st_size < 0.6 * (tmp_path / "fp32.safetensors").stat().st_size
    loaded, _ = load_painter(tmp_path / "bf16.safetensors")
    assert loaded.pos_embed.dtype == torch.float32
    assert torch.equal(loaded.pos_embed, painter.pos_embed.bfloat16().float())


def test_an_export_to_one_file_has_one_suffix(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["export.py", str(trained[0]), str(tmp_path / "painter.pth")])
    with pytest.raises(SystemExit, match=r"error: .*painter.pth must end in .safetensors"):
        main()


def test_an_export_may_be_a_folder_as_hubs_have_it(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["export.py", str(trained[0]), str(tmp_path / "painter.v1")])
    main()
    assert {file.name for file in (tmp_path / "painter.v1").iterdir()} == {"config.json", "model.safetensors"}
    expected, found = (load_painter(path)[0].state_dict() for path in (trained[0], tmp_path / "painter.v1"))
    assert all(torch.equal(expected[name], value) for name, value in found.items())


def test_a_damaged_checkpoint_is_not_read(trained):
    shard = next(trained[0].glob("*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-4] + b"ruin")
    with pytest.raises(ValueError, match="is damaged: its size or SHA-256"):
        load_painter(trained[0])


def test_a_name_goes_before_what_the_run_tells(trained):
    with pytest.raises(ValueError, match="step_0000000 does not fit the model"):
        load_painter(trained[0], "painter_vit_tiny")


def test_a_network_of_another_version_is_named(trained):
    path = trained[0] / "checkpoint.json"
    facts = json.loads(path.read_text().replace('"model.depth"', '"model.deepness"'))
    seal(trained[0], list(facts["files"]), {name: facts[name] for name in facts.keys() - {"files", "sha256"}})
    with pytest.raises(ValueError, match=r"tells of a network that this version does not know .*deepness"):
        load_painter(trained[0])


@pytest.mark.parametrize("beside", [{}, {"epoch": 3, "config": {"model.depth": 8}}])
def test_weights_alone_need_a_name(tmp_path, monkeypatch, beside):
    """As released; what stands beside the weights tells nothing."""
    model = network()
    monkeypatch.setitem(MODELS, "painter_of_the_test", model.config)
    torch.save({"model": model.state_dict(), **beside}, tmp_path / "weights.pth")
    loaded, config = load_painter(tmp_path / "weights.pth", "painter_of_the_test")
    assert (loaded.config, loaded.training, config) == (model.config, False, {})
    assert same(loaded, model)


@pytest.mark.parametrize("told", [None, {"format": "pt", "painter_config": "[1"}, {"painter_config": "3"}])
def test_weights_that_tell_nothing_are_the_released_network(tmp_path, monkeypatch, told):
    model = network()
    monkeypatch.setitem(MODELS, "painter_vit_large", model.config)
    save_file(model.state_dict(), tmp_path / "weights.safetensors", told)
    assert load_painter(tmp_path / "weights.safetensors")[0].config == model.config


def test_weights_that_do_not_fit_are_refused(tmp_path, monkeypatch):
    model = network()
    monkeypatch.setitem(MODELS, "painter_of_the_test", model.config)
    torch.save({"model": {**model.state_dict(), "extra": torch.ones(1)}}, tmp_path / "more.pth")
    with pytest.raises(ValueError, match=r"does not fit the model.*\n  unexpected: extra\nIt was tried as painter_of"):
        load_painter(tmp_path / "more.pth", "painter_of_the_test")
    with pytest.raises(ValueError, match="unknown model 'painter_of_the_tests'; did you mean painter_of_the_test"):
        load_painter(tmp_path / "more.pth", "painter_of_the_tests")
