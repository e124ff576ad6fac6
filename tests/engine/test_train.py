"""The loop: it learns, resumes exactly, gives the same numbers on two processes, and stops where it must."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from engine.checkpoint import LAST
from engine.config import RunConfig, Source, flatten
from engine.train import run
from models.weights import read_weights
from tools.train import main

REPOSITORY = Path(__file__).parents[2]


def losses(folder: Path) -> list[float]:
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [line["train/loss"] for line in lines if "train/loss" in line]


def with_optim(config: RunConfig, **changes) -> RunConfig:
    return replace(config, optim=replace(config.optim, **changes))


def config_file(config: RunConfig) -> Path:
    """The config as a file that another process can read."""
    imports = (
        "from pathlib import *\nfrom engine.config import *\nfrom data.pair_dataset import MaskConfig\n"
        "from models import PainterConfig\n"
    )
    path = config.out_dir.with_suffix(".py")
    path.write_text(f"{imports}config = {config!r}\n")
    return path


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}


def test_it_learns_and_leaves_a_whole_record(config):
    results = run(with_optim(config, steps=60, lr=5e-3))
    record = losses(config.out_dir)
    assert len(record) == 60
    assert sum(record[-10:]) < 0.85 * sum(record[:10])
    assert results.keys() == {"derain", "depth"}
    assert 5 < results["derain"].psnr < 30
    for name in results:
        with Image.open(config.out_dir / "pictures" / f"{name}_step_0000060.png") as picture:
            assert picture.width > 4 * 32
    assert [p.name for p in sorted(config.out_dir.glob("step_*"))] == ["step_0000058", "step_0000060"]
    assert list((config.out_dir / "tensorboard").glob("events*"))
    assert json.loads((config.out_dir / "config.json").read_text())["optim.steps"] == 60


def test_pairs_whose_prompt_is_darker_than_the_threshold_teach_nothing(config):
    run(with_optim(config, steps=2, darkest=1e9))
    assert losses(config.out_dir) == [0, 0]


def test_resume_equals_the_uninterrupted_run(config, tmp_path):
    run(config)
    half = replace(config, out_dir=tmp_path / "stopped")
    with pytest.raises(KeyboardInterrupt):
        run_until(half, step=5)
    run(half)
    assert losses(half.out_dir) == losses(config.out_dir)
    for a, b in zip(weights(config.out_dir), weights(half.out_dir), strict=True):
        assert torch.equal(a, b)


def run_until(config: RunConfig, step: int) -> None:
    """Interrupt the run as it logs `step`, after the checkpoint of an earlier one."""
    from util import logger

    original = logger.JsonLines.scalars

    def interrupt(self, at, values):
        original(self, at, values)
        if at == step:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logger.JsonLines, "scalars", interrupt)
        run(config)


def weights(folder: Path) -> list[torch.Tensor]:
    return [value for _, value in sorted(read_weights(folder / LAST).items())]


def test_a_killed_process_resumes_to_the_same_losses(config, tmp_path):
    run(config)
    killed = replace(config, out_dir=tmp_path / "killed")
    command = [sys.executable, str(REPOSITORY / "tools/train.py"), str(config_file(killed))]
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (killed.out_dir / "step_0000002").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True)
    assert losses(killed.out_dir) == losses(config.out_dir)


def test_two_processes_train_like_one(config, tmp_path, launch):
    alone, both = replace(config, out_dir=tmp_path / "alone"), replace(config, out_dir=tmp_path / "both")
    run(alone)
    launch(2, REPOSITORY / "tools/train.py", config_file(both))
    assert losses(both.out_dir) == pytest.approx(losses(alone.out_dir), rel=1e-5)
    for a, b in zip(weights(alone.out_dir), weights(both.out_dir), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-4)
    values = [
        [line for line in map(json.loads, (folder / "log.jsonl").read_text().splitlines()) if "val/derain/psnr" in line]
        for folder in (alone.out_dir, both.out_dir)
    ]
    assert values[0][0]["val/derain/psnr"] == pytest.approx(values[1][0]["val/derain/psnr"], rel=1e-3)


def test_loader_processes_do_not_change_the_data(config, tmp_path):
    run(config)
    other = replace(config, out_dir=tmp_path / "workers", data=replace(config.data, num_workers=2))
    run(other)
    assert losses(other.out_dir) == losses(config.out_dir)


def test_accumulation_makes_the_gradient_of_the_whole_batch(config, tmp_path):
    gradients = []
    for micro_batch in (2, 4):
        out = replace(with_optim(config, steps=1, micro_batch=micro_batch), out_dir=tmp_path / str(micro_batch))
        run(replace(out, model=replace(out.model, drop_path_rate=0.0)))
        gradients.append(json.loads((out.out_dir / "log.jsonl").read_text().splitlines()[0])["train/grad_norm"])
    assert gradients[0] == pytest.approx(gradients[1], rel=0.2)  # equal but for each micro-batch's own normaliser


def test_bf16_stays_close_to_fp32(config, tmp_path):
    run(config)
    reduced = replace(with_optim(config, precision="bf16"), out_dir=tmp_path / "bf16")
    run(reduced)
    assert losses(reduced.out_dir) == pytest.approx(losses(config.out_dir), rel=0.05)
    assert losses(reduced.out_dir) != losses(config.out_dir)


def test_a_finished_run_is_validated_and_not_trained(config):
    first = run(config)
    before = (config.out_dir / LAST).resolve().stat().st_mtime_ns
    assert run(config)["derain"].psnr == pytest.approx(first["derain"].psnr)
    assert (config.out_dir / LAST).resolve().stat().st_mtime_ns == before


def test_epochs_are_turned_into_steps(config):
    run(with_optim(config, epochs=3))  # 8 pairs, batches of 8
    assert len(losses(config.out_dir)) == 3


def test_a_source_of_weight_zero_is_neither_read_nor_validated(config):
    sources = {**config.data.sources, "absent": Source("no/such.json", 0.0, "no/such.json")}
    assert run(replace(config, data=replace(config.data, sources=sources))).keys() == {"derain", "depth"}


def test_a_source_can_be_resized_in_another_way(config, tmp_path):
    changed = []
    for interp in (None, "nearest", "bicubic"):
        sources = {"derain": replace(config.data.sources["derain"], target_interp=interp)}
        this = replace(config, data=replace(config.data, sources=sources), out_dir=tmp_path / str(interp))
        run(with_optim(this, steps=1))
        changed.append(losses(this.out_dir))
    assert changed[0] == changed[1] != changed[2]


def test_start_from_weights_of_another_run(config, tmp_path):
    run(config)
    fresh = with_optim(
        replace(config, init=str((config.out_dir / LAST).resolve()), out_dir=tmp_path / "next"), steps=1, lr=0.0
    )
    run(replace(fresh, log=replace(fresh.log, save_every=1)))
    for a, b in zip(weights(config.out_dir), weights(fresh.out_dir), strict=True):
        assert torch.equal(a, b)


def test_a_broken_image_in_a_loader_process_stops_with_list_entry_and_file(config, data_root, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "depth").mkdir()
    for i in range(3):
        whole = (data_root / "depth" / f"{i}.png").read_bytes()
        (root / "depth" / f"{i}.png").write_bytes(whole[: len(whole) // 2])
    broken = replace(config, data=replace(config.data, roots=(root, data_root), num_workers=2))
    with pytest.raises(SystemExit) as caught:
        main([str(config_file(broken))])
    message = str(caught.value)
    assert message.startswith("error: depth.json, entry ")
    assert "is truncated or broken" in message
    assert "\n" not in message


def test_real_samples_of_all_eight_sources_train(samples, tmp_path):
    main(
        [
            "painter_vit_large",
            "--data.roots",
            *map(str, samples),
            "--out_dir",
            str(tmp_path),
            "--device",
            "cpu",
            "--data.num_workers",
            "2",
            "--optim.steps",
            "2",
            "--optim.warmup",
            "1",
            "--optim.global_batch",
            "16",
            "--optim.precision",
            "fp32",
            "--log.every",
            "1",
            "--model.img_size",
            "128",
            "64",
            "--model.depth",
            "4",
            "--model.embed_dim",
            "24",
            "--model.num_heads",
            "2",
            "--model.decoder_embed_dim",
            "4",
        ]
    )
    assert len(losses(tmp_path)) == 2
    assert len(list((tmp_path / "pictures").iterdir())) == 8


def test_resuming_another_model_names_the_keys(config):
    run(config)
    with pytest.raises(ValueError, match="does not fit the model") as caught:
        run(replace(config, model=replace(config.model, decoder_embed_dim=8)))
    assert "mis-shaped: decoder_embed.weight" in str(caught.value)


def test_resuming_reports_what_was_changed(config, caplog):
    run(config)
    run(with_optim(config, steps=8, min_lr=1e-5))
    assert "resumed with another optim.min_lr: 0.0 -> 1e-05" in caplog.text
    assert len(losses(config.out_dir)) == 8


def test_never_resuming_refuses_to_overwrite(config):
    run(config)
    with pytest.raises(ValueError, match="holds checkpoints of another run"):
        run(replace(config, resume="never"))


def test_flags_of_the_record_are_the_command_lines(config):
    assert flatten(config)["data.sources.derain.weight"] == 1.0
