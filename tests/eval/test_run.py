"""A run: what results.json says of it, and that it says it in strict JSON."""

import hashlib
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from data.tasks import SOURCES
from engine.config import flatten
from engine.pretrained import load_painter, save_painter
from eval.ade20k_semantic import BENCHMARK as ADE
from eval.lol import BENCHMARK as LOL
from eval.lol import Lol
from eval.nyuv2_depth import BENCHMARK as NYU
from eval.results import digest, line, versions, write_results
from eval.run import choose, half_size, network, oracle, run
from tests.eval.conftest import run_config, save_run, tiny_painter
from util.dist import join_world
from util.sealed import SEAL

ALONE = join_world("cpu")
KEYS = {
    *("benchmark", "metrics", "headline", "paper", "prompt", "checkpoint", "oracle", "training", "seed", "model"),
    *("num_images", "num_expected", "complete", "size", "batch_size", "precision", "device", "num_ranks"),
    *("seconds", "images_per_second", "versions", "shown"),
}


def strictly(path):
    """Parsed, refusing what only Python's JSON knows."""

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def measure(benchmark, subject, world, folder, limit=None, **options):
    run(benchmark, subject, choose(benchmark, [world], limit), folder, ALONE, **options)
    return strictly(folder / "results.json")


def test_results_of_a_network(world, ckpt, tmp_path):
    content = measure(LOL, network(LOL, [world], ckpt), world, tmp_path, batch_size=4)
    assert content.keys() >= KEYS
    assert content["prompt"] == {"name": "100", "kind": "searched"}
    assert content["checkpoint"] == {
        "path": str(ckpt),
        "sha256": hashlib.sha256((ckpt / SEAL).read_bytes()).hexdigest(),
    }
    assert content["oracle"] is None
    assert (content["training"], content["seed"]) == ("joint", 3)
    assert (content["model"]["embed_dim"], content["model"]["img_size"]) == (16, [96, 48])
    assert (content["size"], content["batch_size"], content["precision"]) == ([48, 48], 4, "fp32")
    assert (content["num_images"], content["num_expected"], content["complete"]) == (5, 15, False)
    assert content["num_ranks"] == 1
    assert content["images_per_second"] == pytest.approx(5 / content["seconds"])
    assert content["paper"] == {"psnr": 22.40, "ssim_paper": 0.872}
    assert content["headline"] == ["psnr", "ssim_paper"]
    assert content["metrics"].keys() == {"psnr", "ssim_paper", "ssim_standard"}
    assert content["versions"]["torch"] == torch.__version__.split("+")[0] or content["versions"]["torch"]


def test_results_of_an_oracle(world, tmp_path):
    content = measure(LOL, oracle(LOL, 32, 1.5), world, tmp_path)
    assert content.keys() >= KEYS
    assert content["oracle"] == {"noise": 1.5}
    assert content["size"] == [32, 32]
    assert {content[key] for key in ("prompt", "checkpoint", "training", "seed", "model")} == {None}


def test_shown_are_the_best_the_median_and_the_worst(world, ckpt, tmp_path):
    content = measure(LOL, network(LOL, [world], ckpt), world, tmp_path)
    lines = map(json.loads, (tmp_path / "records/rank0.jsonl").read_text().splitlines())
    records = {key.split()[0]: record for key, record in lines}
    order = sorted(records, key=lambda name: -records[name]["psnr"])
    assert [(shown["rank"], shown["name"]) for shown in content["shown"]] == [
        ("best", order[0]),
        ("median", order[2]),
        ("worst", order[4]),
    ]
    for shown in content["shown"]:
        assert shown["columns"] == ["prompt", "prompt target", "query", "painted", "decoded", "truth", "error"]
        assert shown["scores"] == {key: records[shown["name"]][key] for key in ("psnr", "ssim_paper")}
        assert (tmp_path / shown["file"]).is_file()


def test_a_strip_shows_what_its_columns_say(world, ckpt, tmp_path):
    """The first two columns are the prompt pair."""
    content = measure(LOL, network(LOL, [world], ckpt), world, tmp_path, limit=1)
    strip = np.asarray(Image.open(tmp_path / content["shown"][0]["file"]))
    width = round(56 * 224 / 40)
    for column, folder in enumerate(("low", "high")):
        left = column * (width + 4)
        with Image.open(world / f"light_enhance/our485/{folder}/100.png") as picture:
            due = np.asarray(picture.resize((width, 224), Image.Resampling.NEAREST))
        np.testing.assert_array_equal(strip[-224:, left : left + width], due)


def test_complete_is_the_official_number(world, tmp_path, monkeypatch):
    monkeypatch.setattr(LOL, "num_expected", 5)
    assert measure(LOL, oracle(LOL, 32), world, tmp_path / "all")["complete"]
    assert not measure(LOL, oracle(LOL, 32), world, tmp_path / "some", limit=4)["complete"]


def test_a_run_may_be_extended_and_repeated(world, ckpt, tmp_path):
    subject = network(LOL, [world], ckpt)
    whole = measure(LOL, subject, world, tmp_path / "whole", batch_size=2)
    assert measure(LOL, subject, world, tmp_path / "part", limit=2, batch_size=2)["num_images"] == 2
    more = measure(LOL, subject, world, tmp_path / "part", batch_size=2)
    assert more["metrics"] == whole["metrics"]
    assert more["images_per_second"] == pytest.approx(3 / more["seconds"])
    again = measure(LOL, subject, world, tmp_path / "part", batch_size=2)
    assert again["images_per_second"] is None
    assert again["metrics"] == whole["metrics"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"prompt": "101"}, r"another prompt \(--prompt\)"),
        ({"side": 64}, "another --size"),
        ({"precision": "bf16"}, "another --precision"),
        ({"ckpt": True}, r"other weights \(--ckpt\)"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_folder_holds_one_run(world, ckpt, tmp_path, change, named):
    before = measure(LOL, network(LOL, [world], ckpt), world, tmp_path / "out", limit=1)
    if "ckpt" in change:
        change = {"ckpt": save_run(tmp_path, tiny_painter(1), flatten(run_config(world, tmp_path)))}
    other = network(LOL, [world], **{"ckpt": ckpt, **change})
    with pytest.raises(ValueError, match=f"out holds results with {named}; give another --out_dir"):
        measure(LOL, other, world, tmp_path / "out", limit=1)
    assert strictly(tmp_path / "out/results.json") == before


def test_another_picture_of_the_same_prompt_is_another_run(root, ckpt, tmp_path):
    measure(LOL, network(LOL, [root], ckpt), root, tmp_path / "out", limit=1)
    file = root / "light_enhance/our485/high/100.png"
    with Image.open(file) as image:
        image.transpose(Image.Transpose.ROTATE_180).save(file)
    with pytest.raises(ValueError, match="other pictures in the prompt of this name"):
        measure(LOL, network(LOL, [root], ckpt), root, tmp_path / "out", limit=1)


@pytest.mark.parametrize(
    ("options", "variant"),
    [
        ({}, None),
        ({"side": 48}, None),
        ({"side": 64}, "64 x 64 pixels"),
        ({"precision": "bf16"}, "bf16"),
        ({"side": 32, "precision": "bf16"}, "32 x 32 pixels, bf16"),
    ],
)
def test_how_the_papers_way_is_left_is_told(world, ckpt, options, variant):
    assert network(LOL, [world], ckpt, **options).facts["variant"] == variant


def test_an_oracle_of_another_size_is_a_variant():
    assert [oracle(LOL, side).facts["variant"] for side in (None, 448, 48)] == [None, None, "48 x 48 pixels"]


@pytest.mark.parametrize(
    ("weights", "training"),
    [
        ({"enhance": 1.0, "derain": 0.0}, "separate"),
        ({"enhance": 1.0, "derain": 0.1}, "joint"),
        ({"derain": 1.0}, "joint"),
        ({}, "joint"),
    ],
)
def test_training_is_separate_if_the_run_learnt_these_tasks_alone(world, tmp_path, weights, training):
    config = run_config(world, tmp_path)
    sources = {name: replace(config.data.sources["enhance"], weight=weight) for name, weight in weights.items()}
    told = flatten(replace(config, data=replace(config.data, sources=sources)))
    subject = network(LOL, [world], save_run(tmp_path, tiny_painter(), told))
    assert subject.facts["training"] == training


def test_a_separate_run_of_two_tasks():
    class Two(Lol):
        def __init__(self):
            self.views = (SOURCES["enhance"], SOURCES["derain"])

    from eval.run import _training

    config = {"data.sources.enhance.weight": 1.0, "data.sources.derain.weight": 2.0}
    assert _training(Two(), config) == "separate"
    assert _training(Two(), {"data.sources.enhance.weight": 1.0}) == "separate"
    assert _training(Two(), {**config, "data.sources.coco_pose.weight": 0.5}) == "joint"


def test_weights_alone_are_joint_and_without_a_seed(world, tmp_path):
    torch.save({"model": {"a": torch.ones(1)}}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"a\.pth does not fit the model"):
        network(LOL, [world], tmp_path / "a.pth", model="painter_vit_tiny")


def test_size_is_half_a_canvas_zoomed_to_whole_patches():
    class Zoomed(Lol):
        zoom = 1.25

    painter = tiny_painter()
    assert half_size(LOL, painter) == (48, 48)
    assert half_size(Zoomed(), painter) == (64, 64)  # 60 is none of 16
    assert half_size(Zoomed(), painter, 96) == (96, 96)
    assert oracle(LOL).facts["size"] == (448, 448)
    assert oracle(Zoomed()).facts["size"] == (560, 560)


def test_nothing_to_evaluate(world, tmp_path, monkeypatch):
    monkeypatch.setattr(NYU, "queries", lambda roots: [], raising=False)
    with pytest.raises(ValueError, match=r"nyuv2_depth: there is nothing to evaluate under .*; see docs/DATA\.md"):
        choose(NYU, [world])


def test_a_line_for_humans():
    metrics = {"rms": 0.2912, "abs_rel": 0.081, "d1": math.nan, "silog": 9.0}
    told = "nyuv2_depth: RMSE 0.291 (paper 0.288), A.Rel 0.081 (paper 0.080), δ1 nan (paper 0.950); 654 images"
    assert line(NYU, {"metrics": metrics, "num_images": 654, "complete": True}) == told
    assert line(ADE, {"metrics": {"mIoU": 49.94}, "num_images": 20, "complete": False}) == (
        "ade20k_semantic: mIoU 49.9 (paper 49.9); 20 images, not the official 2000: not comparable"
    )


def test_fewer_queries_do_not_replace_a_fuller_result(world, tmp_path):
    fuller = measure(LOL, oracle(LOL, 32), world, tmp_path / "out", limit=3)
    with pytest.raises(ValueError, match="out holds results on 3 queries; give as large a --limit, or"):
        measure(LOL, oracle(LOL, 32), world, tmp_path / "out", limit=2)
    assert strictly(tmp_path / "out/results.json") == fuller
    assert measure(LOL, oracle(LOL, 32), world, tmp_path / "out")["num_images"] == 5


@pytest.mark.parametrize(("num_there", "complete"), [(None, True), (15, True), (16, False)])
def test_a_part_of_more_is_not_complete(world, tmp_path, monkeypatch, num_there, complete):
    monkeypatch.setattr(LOL, "num_expected", 5)
    queries = LOL.queries([world])
    there = None if num_there is None else num_there - 10
    content = run(LOL, oracle(LOL, 32), queries, tmp_path, join_world("cpu"), num_there=there)
    assert content["complete"] is complete


def test_pictures_are_made_up_for(world, ckpt, tmp_path):
    """A run without pictures, asked again for them, paints once more and measures the same."""
    subject = network(LOL, [world], ckpt)
    before = run(LOL, subject, LOL.queries([world]), tmp_path, join_world("cpu"))
    after = run(LOL, subject, LOL.queries([world]), tmp_path, join_world("cpu"), save_images=True)
    assert after["metrics"] == before["metrics"]
    assert len(list((tmp_path / "images").glob("*.png"))) == 5
    again = run(LOL, subject, LOL.queries([world]), tmp_path, join_world("cpu"))
    assert again["images_per_second"] is None


def test_weights_that_overflow_are_told(world, ckpt, tmp_path):
    painter, config = load_painter(ckpt)
    painter.norm.weight.data.fill_(3e38)
    save_painter(tmp_path / "broken.safetensors", painter, config)
    subject = network(LOL, [world], tmp_path / "broken.safetensors")
    with pytest.raises(ValueError, match="the network paints values that are not finite"):
        run(LOL, subject, LOL.queries([world]), tmp_path / "out", join_world("cpu"))
    assert not (tmp_path / "out/results.json").exists()


def test_what_is_no_number_is_null(tmp_path):
    content = {"a": [math.nan, (math.inf, 1.5)], "b": {"c": -math.inf, "d": None, "e": "ü"}, "f": np.float64("nan")}
    assert strictly(write_results(tmp_path, content)) == {
        "a": [None, [None, 1.5]],
        "b": {"c": None, "d": None, "e": "ü"},
        "f": None,
    }


def test_digest_and_versions(tmp_path):
    (tmp_path / "a").write_bytes(b"painter" * 100_000)
    assert digest(tmp_path / "a") == hashlib.sha256(b"painter" * 100_000).hexdigest()
    assert {"python", "torch", "numpy"} <= versions().keys()
