"""The command that learns prompts: what it starts from, keeps and writes; a benchmark takes the file."""

import json
from pathlib import PurePosixPath

import numpy as np
import pytest
import torch

from data.tasks import SOURCES
from engine.inpaint import half
from engine.prompts import read_manifest, read_prompt_file, save_prompt
from eval.lol import BENCHMARK as LOL
from eval.prompts import read_prompt
from eval.results import digest
from eval.run import choose, network, run
from tests.eval.conftest import write_restoration
from tests.tools.conftest import check_refused
from tools import learn_prompt
from tools.learn_prompt import main
from util.dist import join_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Restoration, with validation lists."""
    root = tmp_path_factory.mktemp("world")
    write_restoration(root, np.random.default_rng(0))
    task = SOURCES["enhance"]
    pairs = [
        {"image_path": f"light_enhance/eval15/low/{n}.png", "target_path": f"light_enhance/eval15/high/{n}.png"}
        for n in (1, 22, 23)
    ]
    (root / task.lists["val"]).write_text(json.dumps([pair | {"type": task.type} for pair in pairs]))
    return root


@pytest.fixture
def learn(world, ckpt, tmp_path, call):
    """The command, with few steps."""

    def learn(out="bank/x.safetensors", **changes):
        given = {"task": "enhance", "ckpt": ckpt, "data_root": world, "steps": 20, "randoms": 2, "num_workers": 0}
        given |= {"precision": "fp32", "batch_size": 2, "out": tmp_path / out} | changes
        return call(main, **given)

    return learn


def rows(printed):
    return {line[:32].strip(): tuple(map(float, line[32:].split())) for line in printed.splitlines()[1:-1]}


def test_learning(learn, world, ckpt, tmp_path):
    found = rows(learn())
    path = tmp_path / "bank/x.safetensors"
    stored = read_prompt_file(path)
    source, score = stored.facts["source"], stored.facts["score"]
    after = next(value for key, value in found.items() if key.startswith("learned, after"))
    assert after[0] < found["before learning"][0]
    assert after[0] < found["the best of them"][0]
    assert (score["loss"]["prompt"], score["psnr"]["prompt"]) == pytest.approx(after, abs=0.006)
    assert score["loss"]["random"] == pytest.approx(found["2 random prompts, mean"][0], abs=1e-4)
    assert (stored.facts["kind"], source["steps"], source["checkpoint"]) == ("learned", 20, digest(ckpt))
    assert all(side.shape == (3, 48, 48) for side in stored.pairs["enhance"])
    assert read_manifest(path.parent)["x"]["score"] == score
    assert path.with_suffix(".png").is_file()
    content = run(LOL, network(LOL, [world], ckpt, str(path)), choose(LOL, [world]), tmp_path / "r", join_world("cpu"))
    assert content["prompt"] == {"name": "x", "kind": "learned"}


def test_the_same_seed_learns_the_same(learn, tmp_path):
    written = []
    for seed in (0, 0, 1):
        learn(steps=2, seed=seed)
        written.append((tmp_path / "bank/x.safetensors").read_bytes())
    assert written[0] == written[1] != written[2]


@pytest.mark.parametrize("side", ["image", "target"])
def test_the_side_that_is_not_learned_is_the_pair_it_started_from(learn, world, tmp_path, side):
    learn(learn=side, init="low/101")
    stored = read_prompt_file(tmp_path / "bank/x.safetensors").pairs["enhance"]
    pair = [half(one, (48, 48)) for one in read_prompt(LOL, [world], "101").pairs[0]]
    assert torch.equal(stored[0], pair[0]) == (side == "target")
    assert torch.equal(stored[1], pair[1]) == (side == "image")


def test_a_prompt_file_may_be_the_start(learn, world, tmp_path):
    searched = tmp_path / "s.safetensors"
    save_prompt(searched, {"enhance": read_prompt(LOL, [world], "100").pairs[0]}, {"kind": "searched"})
    printed = rows(learn(init=searched, steps=1))
    learn(init=searched, steps=20, out="a.safetensors")
    assert read_prompt_file(tmp_path / "a.safetensors").facts["source"]["init"] == searched.name  # and not where it lay
    again = rows(learn(init=tmp_path / "a.safetensors", steps=1))
    learned = read_prompt_file(tmp_path / "a.safetensors").facts["score"]["loss"]["prompt"]
    assert again["before learning"][0] == pytest.approx(learned, abs=1e-4) != printed["before learning"][0]
    assert learn(init=searched, task="denoise").startswith("error: ")


def test_no_pair_both_teaches_and_chooses_and_the_list_is_cut(learn, monkeypatch):
    """Names of the pairs that the prompt learns from, that say when it is best, and that measure it."""
    names = []

    def spy(real, split):
        def batches(config, lists, *rest):
            names.append([PurePosixPath(pair.image_path).stem for pair in getattr(lists, split)["enhance"]])
            return real(config, lists, *rest)

        return batches

    for split in ("train", "val"):
        monkeypatch.setattr(learn_prompt, f"{split}_batches", spy(getattr(learn_prompt, f"{split}_batches"), split))
    learn(steps=1, val_limit=2)
    (learned_from,), (held_out,), measured = names
    assert {learned_from, held_out} == {"100", "101"}
    assert measured == ["1", "22"]


def test_there_is_no_fp16_whose_gradients_would_want_scaling(learn, capsys):
    assert learn(precision="fp16") == "2"
    assert "fp16" in capsys.readouterr().err


def test_another_size(learn, tmp_path):
    learn(size=64, steps=1)
    assert read_prompt_file(tmp_path / "bank/x.safetensors").pairs["enhance"][0].shape == (3, 64, 64)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "zzz"}, "task 'zzz' is none of "),
        ({"steps": 0}, "--steps, --val_limit and --batch_size must be 1 or more"),
        ({"size": -16}, "--size -16 must be 1 to 4096 pixels"),
        ({"lr": 0}, "--lr 0.0 must be above 0 and at most 100"),
        ({"lr": "nan"}, "--lr nan must be above 0"),
        ({"randoms": 1}, "--randoms 1 must be 2 or more"),
        ({"init": "zzz"}, "--init zzz: no image of light_enhance/"),
        ({"init": "zzz.safetensors"}, "there is no prompt file zzz.safetensors"),
        ({"size": 50}, "img_size (100, 50) must be a multiple of patch_size 16"),
        ({"out": "x.pt"}, "x.pt must end in .safetensors"),
        ({"ckpt": "nowhere"}, "nowhere"),
        ({"data_root": "nowhere"}, "nowhere"),
        ({"task": "denoise"}, "is not under "),
    ],
)
def test_bad_input_is_one_sentence(learn, tmp_path, changes, message):
    check_refused(learn(**changes), message, tmp_path / "bank")
