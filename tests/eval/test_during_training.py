"""Benchmarks as probes of training: their numbers are logged, and training does not notice."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from data.tasks import SOURCES
from engine.checkpoint import LAST
from engine.train import run
from eval.during_training import probes
from eval.paper import TITLES
from eval.run import benchmark_of, choose, network
from eval.run import run as measure
from models.weights import read_weights
from tests.eval.conftest import config_file, run_config, with_probes
from tools.train import main
from util.dist import join_world


def logged(folder, prefix="benchmark/"):
    """Step -> the scalars of probes."""
    found = {}
    for line in map(json.loads, (folder / "log.jsonl").read_text().splitlines()):
        values = {key: value for key, value in line.items() if key.startswith(prefix)}
        if values:
            found.setdefault(line["step"], {}).update(values)
    return found


def weights(folder):
    return read_weights(folder / LAST)


@pytest.fixture(scope="module")
def trained(world, tmp_path_factory):
    """The folders of a run without and one with probes."""
    out = tmp_path_factory.mktemp("trained")
    plain = run_config(world, out / "plain")
    probed = with_probes(replace(plain, out_dir=out / "probed"))
    run(plain)
    run(probed, probes(probed))
    return plain.out_dir, probed.out_dir


def test_numbers_are_logged_after_the_right_steps(trained):
    plain, probed = trained
    found = logged(probed)
    assert list(found) == [2, 4]
    for values in found.values():
        assert {"benchmark/lol/psnr", "benchmark/lol/ssim_paper", "benchmark/ade20k_semantic/mIoU"} <= values.keys()
    assert found[2] != found[4]
    assert logged(plain) == {}


def test_training_does_not_notice(trained):
    plain, probed = map(weights, trained)
    assert plain.keys() == probed.keys()
    assert all(torch.equal(value, probed[name]) for name, value in plain.items())
    losses = [logged(folder, "train/loss") for folder in trained]
    assert losses[0] == losses[1]
    assert list(losses[0]) == [1, 2, 3, 4]


def test_numbers_are_those_of_the_checkpoint(trained, world, tmp_path):
    """The command of the benchmark finds the same with the weights of the last step."""
    subject = network(benchmark_of("lol"), [world], trained[1] / LAST)
    queries = choose(benchmark_of("lol"), [world], 3)
    metrics = measure(benchmark_of("lol"), subject, queries, tmp_path, join_world("cpu"))["metrics"]
    found = logged(trained[1], "benchmark/lol/")[4]
    assert {f"benchmark/lol/{key}": pytest.approx(value, rel=1e-5) for key, value in metrics.items()} == found


def test_results_and_pictures_lie_beside_the_checkpoints(trained):
    folder = trained[1] / "benchmarks/lol"
    assert sorted(path.name for path in folder.iterdir()) == ["step_0000002", "step_0000004"]
    content = json.loads((folder / "step_0000004/results.json").read_text())
    assert (content["num_images"], content["checkpoint"], content["training"]) == (3, None, None)
    assert (folder / "step_0000004/shown/best.png").is_file()


def test_a_second_run_in_the_folder_forgets_the_records_of_the_first(trained, world, tmp_path):
    """Numbers of step 2 are those of the new weights, though the folder holds some."""
    config = with_probes(run_config(world, tmp_path / "run"))
    run(config, probes(config))
    first = logged(config.out_dir)
    shutil.rmtree((config.out_dir / LAST).resolve())
    (config.out_dir / "log.jsonl").unlink()
    again = replace(config, seed=9)
    run(again, probes(again))
    assert logged(config.out_dir)[2] != first[2]
    shutil.rmtree((config.out_dir / LAST).resolve())
    fewer = replace(again, log=replace(again.log, benchmark_limit=1))
    run(fewer, probes(fewer))
    content = json.loads((config.out_dir / "benchmarks/lol/step_0000002/results.json").read_text())
    assert content["num_images"] == 1
    assert first == logged(trained[1])


def test_two_ranks_log_once_what_they_found_together(two_ranks, trained):
    folder = two_ranks / "train"
    found = logged(folder)
    assert list(found) == [2, 4]
    for step, values in found.items():
        assert values == pytest.approx(logged(trained[1])[step], rel=1e-2)
    lines = (folder / "log.jsonl").read_text().splitlines()
    assert sum("benchmark/lol/psnr" in line for line in lines) == 2
    records = folder / "benchmarks/lol/step_0000004/records"
    assert [len((records / f"rank{rank}.jsonl").read_text().splitlines()) for rank in (0, 1)] == [2, 1]


def test_every_benchmark_has_a_file_of_its_name():
    assert [benchmark_of(name).name for name in TITLES] == list(TITLES)


def stopped(config) -> str:
    """What the training command says before it ends; no step has been taken."""
    with pytest.raises(SystemExit) as end:
        main([str(config_file(config))])
    assert not list(config.out_dir.glob("*.jsonl"))
    return str(end.value)


def test_training_outlives_a_benchmark_that_fails(root, tmp_path, caplog):
    """Another benchmark of the same steps goes on, and so does training."""
    config = with_probes(run_config(root, tmp_path / "run"))
    (root / "light_enhance/eval15/low/22.png").write_bytes(b"no picture")
    run(config, probes(config))
    found = logged(config.out_dir)
    assert list(found) == [2, 4]
    assert all(key.startswith("benchmark/ade20k_semantic") for values in found.values() for key in values)
    assert "no metrics of lol at step 2: " in caplog.text
    assert "low/22.png is not an image" in caplog.text


def test_an_unknown_name_lists_those_that_there_are(world, tmp_path):
    config = run_config(world, tmp_path / "run")
    told = stopped(replace(config, log=replace(config.log, benchmarks=("nyu",))))
    assert told.startswith("error: unknown benchmark 'nyu'; known are nyuv2_depth, ade20k_semantic, coco_panoptic,")


def test_a_run_without_its_prompt_does_not_begin(root, tmp_path):
    config = with_probes(run_config(root, tmp_path / "run"))
    (root / "light_enhance/our485/low/100.png").unlink()
    listed = root / SOURCES["enhance"].lists["train"]
    listed.write_text(listed.read_text().replace("low/100.png", "low/101.png").replace("high/100.png", "high/101.png"))
    told = stopped(config)
    assert told.startswith("error: no prompt '100' of lol: light_enhance/our485/low/100.png is not under ")


def test_a_run_without_queries_does_not_begin(root, tmp_path):
    (root / "light_enhance/eval15/low").rename(root / "light_enhance/low")
    told = stopped(with_probes(run_config(root, tmp_path / "run")))
    assert told.startswith("error: folder light_enhance/eval15/low is not under ")
