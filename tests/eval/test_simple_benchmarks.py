"""The benchmarks of depth, semantics and restoration: their files, what a perfect painting scores, what is written."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from data.tasks.semantic import ADE20K_SEMANTIC
from eval.ade20k_semantic import BENCHMARK as ADE
from eval.benchmark import Case
from eval.derain import BENCHMARK as DERAIN
from eval.lol import BENCHMARK as LOL
from eval.nyuv2_depth import BENCHMARK as NYU
from eval.paper import HEADLINE
from eval.run import choose, network, oracle, run
from eval.sidd import BENCHMARK as SIDD
from tests.eval.conftest import NUM_QUERIES, save
from util.dist import join_world

BENCHMARKS = [NYU, ADE, SIDD, DERAIN, LOL]
PERFECT = {  # at the size of the pictures, and half of it: what is painted is then resized
    "nyuv2_depth": {"rms": 0.08, "abs_rel": 0.02, "d1": 0.99},
    "ade20k_semantic": {"mIoU": 97, "pACC": 99},
    "sidd": {"psnr": 40, "ssim_paper": 0.99},
    "derain": {"psnr": 38, "ssim": 0.98},
    "lol": {"psnr": 40, "ssim_paper": 0.99},
}


def paint_truth(benchmark, world, folder, noise=0.0, **options):
    subject = oracle(benchmark, 96, noise)
    queries = choose(benchmark, [world], options.pop("limit", None))
    return run(benchmark, subject, queries, folder, join_world("cpu"), **options)


def test_names_of_queries(world):
    names = {benchmark.name: [query.name for query in benchmark.queries([world])] for benchmark in BENCHMARKS}
    assert names == {
        "nyuv2_depth": ["bath/rgb_00094", "bath/rgb_00095", "den/rgb_00094", "den/rgb_00095"],
        "ade20k_semantic": ["v1", "v2", "v3"],
        "sidd": ["0001_01", "0001_02", "0002_01"],
        "derain": ["Rain100L/1", "Test100/1", "Test100/2", "Test100/3"],
        "lol": ["1", "22", "23", "55", "79"],
    }


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda b: b.name)
def test_a_perfect_painting_scores_near_the_best_and_noise_lowers_it(world, tmp_path, benchmark):
    metrics = [
        paint_truth(benchmark, world, tmp_path / str(noise), noise)["metrics"] for noise in (0.0, 12.0, 40.0, 80.0)
    ]
    for name, due in PERFECT[benchmark.name].items():
        lower = name in ("rms", "abs_rel")
        assert metrics[0][name] <= due if lower else metrics[0][name] >= due, (name, metrics[0][name])
    for name in benchmark.headline:
        values = [found[name] * (-1 if name in ("rms", "abs_rel") else 1) for found in metrics]
        assert values[3] < values[2] < values[0], (name, values)
        assert values[2] <= values[1] <= values[0], (name, values)


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda b: b.name)
def test_noise_is_the_same_in_every_run_and_batch(world, tmp_path, benchmark):
    a = paint_truth(benchmark, world, tmp_path / "a", 20.0, batch_size=1)
    b = paint_truth(benchmark, world, tmp_path / "b", 20.0, batch_size=3, num_workers=2)
    assert a["metrics"] == b["metrics"]
    assert paint_truth(benchmark, world, tmp_path / "c", 21.0)["metrics"] != a["metrics"]


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda b: b.name)
def test_what_a_run_says_and_leaves(world, tmp_path, benchmark):
    content = paint_truth(benchmark, world, tmp_path, save_images=True)
    assert content["num_images"] == NUM_QUERIES[benchmark.name]
    assert content["headline"] == HEADLINE[benchmark.name]
    assert all(math.isfinite(content["metrics"][name]) for name in content["headline"])
    assert [shown["rank"] for shown in content["shown"]] == ["best", "median", "worst"]
    for shown in content["shown"]:
        assert shown["columns"] == ["query", "painted", "decoded", "truth", "error"]
        with Image.open(tmp_path / shown["file"]) as picture:
            assert picture.height > 224
    names = {f"{query.name}.png" for query in benchmark.queries([world])}
    assert {path.relative_to(tmp_path / "images").as_posix() for path in (tmp_path / "images").rglob("*.*")} == names


def test_predictions_are_written_as_the_data_sets_are(world, tmp_path):
    for benchmark in (NYU, ADE, LOL):
        paint_truth(benchmark, world, tmp_path / benchmark.name, save_images=True)
    depth, truth = (
        np.asarray(Image.open(folder / name)).astype(int)
        for folder, name in (
            (tmp_path / "nyuv2_depth/images", "bath/rgb_00094.png"),
            (world / "nyu_depth_v2/official_splits/test", "bath/sync_depth_00094.png"),
        )
    )
    assert np.abs(depth - truth)[8:-8, 8:-8].max() < 100  # millimetres
    classes, labels = (
        np.asarray(Image.open(folder / "v1.png"))
        for folder in (tmp_path / "ade20k_semantic/images", world / "ade20k/annotations/validation")
    )
    assert (classes == labels)[labels > 0].mean() > 0.98
    restored, clean = (
        np.asarray(Image.open(folder / "1.png")).astype(int)
        for folder in (tmp_path / "lol/images", world / "light_enhance/eval15/high")
    )
    assert np.abs(restored - clean).max() < 12


def test_means_over_images_and_over_sets(world):
    queries = DERAIN.queries([world])
    records = [{"psnr": value, "ssim": value / 100} for value in (10.0, 20.0, 30.0, 70.0)]
    assert DERAIN.summarise(records, queries) == {
        "psnr": (10 + 40) / 2,
        "ssim": pytest.approx((0.1 + 0.4) / 2),
        "psnr_Rain100L": 10,
        "ssim_Rain100L": pytest.approx(0.1),
        "psnr_Test100": 40,
        "ssim_Test100": pytest.approx(0.4),
    }
    assert LOL.summarise(records, queries)["psnr"] == 130 / 4


def test_semantic_scores_come_from_all_pixels_of_the_set(world):
    """One class in two images, right in 3 of 4 and in 1 of 8 pixels: IoU 4 / 12, not the mean of two."""
    records = [{"cells": [[7, 7, 3], [8, 7, 1]]}, {"cells": [[7, 7, 1], [8, 7, 7], [9, 150, 50]]}]
    found = ADE.summarise(records, ADE.queries([world])[:2])
    assert found["mIoU"] == pytest.approx(100 * 4 / 12)
    assert ADE.quality(records[0]) == pytest.approx(75)
    assert math.isnan(ADE.quality({"cells": [[9, 150, 50]]}))  # nothing is labelled


def test_unlabelled_pixels_count_nothing(root, tmp_path):
    """An image of which nothing is labelled changes no score, and is not shown."""
    before = paint_truth(ADE, root, tmp_path / "before")["metrics"]
    save(root / "ade20k/images/validation/v4.jpg", np.zeros((48, 72, 3), np.uint8))
    save(root / "ade20k/annotations/validation/v4.png", np.zeros((48, 72), np.uint8))
    content = paint_truth(ADE, root, tmp_path / "after")
    assert content["num_images"] == 4
    assert content["metrics"] == before
    assert "v4" not in {shown["name"] for shown in content["shown"]}


def test_scores_without_a_number_are_null(root, tmp_path):
    for name in ("v1", "v2", "v3"):
        save(root / f"ade20k/annotations/validation/{name}.png", np.zeros((48, 72), np.uint8))
    paint_truth(ADE, root, tmp_path / "out")
    content = json.loads((tmp_path / "out/results.json").read_text())
    assert content["metrics"]["mIoU"] is None
    assert content["shown"] == []


def test_decode_is_the_tasks(world):
    painted = torch.rand(3, 96, 96, generator=torch.Generator().manual_seed(0)).double()
    case = ADE.read(ADE.queries([world])[0])
    np.testing.assert_array_equal(ADE.decode([painted], case), ADE20K_SEMANTIC.decode(painted, (48, 72)))
    depth = NYU.read(NYU.queries([world])[0])
    assert NYU.decode([torch.full((3, 96, 96), 0.25)], depth).tolist() == [[2500] * 64] * 48
    clean = LOL.read(LOL.queries([world])[0])
    assert LOL.decode([torch.full((3, 96, 96), 1.7)], clean).tolist() == [[[1.0] * 3] * 56] * 40


def test_sizes_and_resizing():
    assert [benchmark.zoom for benchmark in BENCHMARKS] == [1] * 5
    assert [benchmark.query_interp for benchmark in BENCHMARKS] == ["bicubic", "bicubic", "bilinear"] + ["bicubic"] * 2
    assert [benchmark.num_expected for benchmark in BENCHMARKS] == [654, 2000, 1280, 4298, 15]
    assert [benchmark.prompt for benchmark in BENCHMARKS] == [
        "study_room_0005b/rgb_00094",
        "ADE_train_00009574",
        "9_9",
        "100",
        "100",
    ]


@pytest.mark.parametrize("kind", ["rgb_00094.jpg", "sync_depth_00094.png"])
def test_depth_of_another_size_than_its_image_is_refused(root, kind):
    image = root / "nyu_depth_v2/official_splits/test/bath" / kind
    with Image.open(image) as picture:
        picture.resize((32, 24)).save(image)
    with pytest.raises(ValueError, match=r"rgb_00094\.jpg is \d+ x \d+ but .*sync_depth_00094\.png is \d+ x \d+"):
        NYU.read(NYU.queries([root])[0])


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda b: b.name)
def test_best_is_better_than_worst(world, ckpt, tmp_path, benchmark):
    content = run(benchmark, network(benchmark, [world], ckpt), benchmark.queries([world]), tmp_path, join_world("cpu"))
    best, _, worst = (shown["scores"][benchmark.headline[0]] for shown in content["shown"])
    assert best < worst if benchmark is NYU else best > worst


def test_targets_of_an_oracle_are_resized_as_the_benchmark_says():
    """Photographs smoothly, other than in training; colours of classes never mixed."""
    edge = np.zeros((40, 41, 3), np.uint8)
    edge[:, 20:] = 240
    painted = oracle(LOL, 32).paints.prepare(Case("1", [], edge))
    assert len(painted.unique()) > 2
    classes = np.where(np.arange(41) < 20, 3, 77).astype(np.uint8)[None].repeat(40, 0)
    colors = (oracle(ADE, 32).paints.prepare(Case("1", [], classes))[0] * 255).round().flatten(1).unique(dim=1)
    assert colors.shape == (3, 2)
