"""The command of a benchmark: what it says, its exit status, and that it may be stopped."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image

from engine.checkpoint import LAST
from eval import ade20k_semantic, derain, lol, nyuv2_depth, sidd
from eval.command import Options
from tests.eval.conftest import ENVIRONMENT, tiny_painter

LOL, DERAIN = lol.BENCHMARK, derain.BENCHMARK


def sentence(ended) -> str:
    """What a command says that ended with exit status 1."""
    assert isinstance(ended.code, str), ended
    assert ended.code.startswith("error: ")
    assert "\n" not in ended.code
    assert "Traceback" not in ended.err
    assert ended.out == ""
    return ended.code.removeprefix("error: ")


def test_results_and_a_line(call, world, ckpt, tmp_path):
    ended = call(LOL, "--ckpt", ckpt, "--data_root", world, "--num_workers", 2, "--save_images")
    assert ended.code is None
    metrics = json.loads((tmp_path / "results/lol/results.json").read_text())["metrics"]
    assert ended.out.splitlines() == [
        f"lol: PSNR {metrics['psnr']:.2f} (paper 22.40), SSIM {metrics['ssim_paper']:.3f} (paper 0.872); "
        "5 images, not the official 15: not comparable -> results/lol/results.json"
    ]
    assert len(list((tmp_path / "results/lol/images").iterdir())) == 5


@pytest.mark.parametrize(
    ("options", "folder"),
    [
        ({}, "lol"),
        ({"prompt": "101"}, "lol_101"),
        ({"prompt": "a/b"}, "lol_a_b"),
        ({"oracle": True}, "lol_oracle_0"),
        ({"oracle": True, "oracle_noise": 2.5}, "lol_oracle_2.5"),
    ],
)
def test_kinds_of_runs_have_folders_of_their_own(options, folder):
    assert str(Options(**options).folder("lol")) == f"results/{folder}"


def test_roots_are_searched_in_order(call, root, tmp_path):
    """Clean photographs in one root, degraded ones in another."""
    (tmp_path / "b/light_enhance/eval15").mkdir(parents=True)
    (root / "light_enhance/eval15/high").rename(tmp_path / "b/light_enhance/eval15/high")
    assert call(LOL, "--oracle", "--data_root", root, "b", "--size", 32).code is None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "give either --ckpt FILE, the weights to evaluate, or --oracle"),
        (["--ckpt", "CKPT", "--oracle"], "give either --ckpt FILE, the weights to evaluate, or --oracle"),
        (["--oracle", "--prompt", "100"], "an oracle asks no network; leave --prompt, --model and --precision out"),
        (["--oracle", "--precision", "bf16"], "an oracle asks no network; leave --prompt, --model and --precision out"),
        (["--oracle", "--num_workers", "-1"], "--num_workers -1 must be 0 or more; 0 reads in this process"),
        (["--ckpt", "CKPT", "--oracle_noise", "2"], "--oracle_noise 2.0 must be 0 or more, and belongs to --oracle"),
        (["--oracle", "--oracle_noise", "-1"], "--oracle_noise -1.0 must be 0 or more, and belongs to --oracle"),
        (["--oracle", "--limit", "0"], "--limit and --batch_size must be 1 or more"),
        (["--oracle", "--limit", "-3"], "--limit and --batch_size must be 1 or more"),
        (["--oracle", "--size", "0"], "--size 0 must be 1 to 4096 pixels"),
        (["--oracle", "--batch_size", "0"], "--limit and --batch_size must be 1 or more"),
        (["--ckpt", "CKPT", "--size", "50"], "size (50, 50) must be a multiple of the patches' 16"),
        (["--ckpt", "no.pth"], "no.pth does not exist: check the path, or download the weights there first"),
        (["--ckpt", "CKPT", "--model", "painter_vit_larg"], "unknown model 'painter_vit_larg'; did you mean"),
        (["--ckpt", "CKPT", "--prompt", "../x"], "--prompt '../x' must be the name of a training pair, such as 100"),
        (["--ckpt", "CKPT", "--prompt", "999"], "no prompt '999' of lol: light_enhance/our485/low/999.png is not"),
        (["--ckpt", "CKPT", "--prompt", "random:x"], "--prompt random:x: after random: a seed is due"),
        (["--oracle", "--data_root", "nowhere"], "nowhere is not a folder; give --data_root the folders"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_gets_a_sentence(call, world, ckpt, tmp_path, arguments, told):
    filled = [str(ckpt) if argument == "CKPT" else argument for argument in arguments]
    assert told in sentence(call(LOL, "--data_root", world, *filled))
    assert not list(tmp_path.rglob("results.json"))


def test_weights_of_another_network_are_named_one_by_one(call, world, ckpt):
    ended = call(LOL, "--ckpt", ckpt, "--data_root", world, "--model", "painter_vit_tiny")
    heading, *problems = str(ended.code).splitlines()
    assert heading == (f"error: {ckpt} does not fit the model; it needs weights of the same architecture and size:")
    assert problems.pop() == "It was tried as painter_vit_tiny; --model names another network"
    assert [problem.split(":")[0].strip() for problem in problems] == ["missing", "mis-shaped"]
    assert "pos_embed found (1, 10, 16) expected (1, 197, 192)" in problems[1]


def test_weights_that_do_not_tell_their_network(call, world, tmp_path, monkeypatch):
    """{"model": ...} alone, as released: the name tells the network."""
    painter = tiny_painter()
    monkeypatch.setitem(sys.modules["models"].MODELS, "painter_of_the_test", painter.config)
    torch.save({"model": painter.state_dict()}, tmp_path / "weights.pth")
    ended = call(LOL, "--ckpt", "weights.pth", "--data_root", world, "--model", "painter_of_the_test", "--limit", 1)
    assert ended.code is None
    assert json.loads((tmp_path / "results/lol/results.json").read_text())["training"] == "joint"


def test_a_folder_of_another_run_is_refused(call, world, ckpt):
    assert call(LOL, "--oracle", "--data_root", world, "--size", 32, "--out_dir", "out").code is None
    told = sentence(call(LOL, "--oracle", "--data_root", world, "--size", 48, "--out_dir", "out"))
    assert (
        told == "out holds results with another --size; give another --out_dir, or remove that folder to measure anew"
    )


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("side", ["low", "high"])
def test_a_broken_picture_is_named(call, root, side, workers):
    file = root / f"light_enhance/eval15/{side}/55.png"
    file.write_bytes(file.read_bytes()[:-40])
    told = sentence(call(LOL, "--oracle", "--size", 32, "--data_root", root, "--num_workers", workers))
    assert told.startswith(f"{file} is truncated or broken (")


@pytest.mark.parametrize("benchmark", [lol, sidd, derain, ade20k_semantic, nyuv2_depth], ids=lambda b: b.__name__)
def test_a_partner_that_is_missing_is_named(call, root, benchmark):
    gone = {
        lol: "light_enhance/eval15/high/55.png",
        sidd: "denoise/val/groundtruth/0001_02.png",
        derain: "derain/test/Test100/target/2.png",
        ade20k_semantic: "ade20k/annotations/validation/v2.png",
        nyuv2_depth: "nyu_depth_v2/official_splits/test/den/sync_depth_00095.png",
    }[benchmark]
    (root / gone).unlink()
    told = sentence(call(benchmark.BENCHMARK, "--oracle", "--data_root", root))
    stem = gone.rpartition("/")[2].removesuffix(".png").removeprefix("sync_depth_")
    assert stem in told
    assert "has no partner in" in told


@pytest.mark.parametrize(
    ("benchmark", "folder"),
    [(LOL, "light_enhance/eval15/high"), (DERAIN, "derain/test/Rain100L/target"), (DERAIN, "derain/test")],
)
def test_a_folder_that_is_missing_is_named(call, root, benchmark, folder):
    (root / folder).rename(root / "elsewhere")
    told = sentence(call(benchmark, "--oracle", "--data_root", root))
    assert told == f"folder {folder} is not under {root}; docs/DATA.md says where to download it"


def test_a_set_of_deraining_that_is_missing_is_left_out(call, root, tmp_path):
    (root / "derain/test/Rain100L").rename(root / "elsewhere")
    assert call(DERAIN, "--oracle", "--data_root", root, "--size", 32, "--out_dir", "out").code is None
    content = json.loads((tmp_path / "out/results.json").read_text())
    assert content["num_images"] == 3
    assert content["metrics"].keys() == {"psnr", "ssim", "psnr_Test100", "ssim_Test100"}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("benchmark", "folder", "sides", "least"),
    [(LOL, "light_enhance/eval15", ("low", "high"), 7), (DERAIN, "derain/test/Test100", ("input", "target"), 11)],
    ids=["lol", "derain"],
)
def test_a_picture_too_small_to_measure_is_named(call, root, benchmark, folder, sides, least, workers):
    for side in sides:
        Image.fromarray(np.zeros((40, least - 1, 3), np.uint8)).save(root / folder / side / "99.png")
    told = sentence(call(benchmark, "--oracle", "--data_root", root, "--size", 32, "--num_workers", workers))
    name = "99" if benchmark is LOL else "Test100/99"
    size = f"40 x {least - 1} pixels, but SSIM needs {least} x {least} or more"
    assert told == f"{benchmark.name}, {name}: the image has {size}"


def test_help_teaches(call):
    ended = call(LOL, "--help", description=lol.__doc__)
    assert ended.code == 0
    assert ended.err == ""
    for text in ("python -m eval.lol --ckpt painter_vit_large.pth --data_root datasets", "PSNR 22.34, SSIM .872"):
        assert text in ended.out
    for option in ("--oracle", "--prompt", "--out_dir", "--save_images", "--num_workers"):
        assert option in ended.out


def test_ctrl_c_ends_in_a_sentence_and_the_same_command_goes_on(root, ckpt, tmp_path):
    folder = root / "light_enhance/eval15"
    for number in range(100, 250):
        for side in ("low", "high"):
            os.link(folder / side / "1.png", folder / side / f"{number}.png")
    arguments = ["--ckpt", ckpt.with_name(LAST), "--data_root", root, "--batch_size", "1", "--num_workers", "2"]
    command = [sys.executable, "-m", "eval.lol", *map(str, arguments)]
    records = tmp_path / "results/lol/records/rank0.jsonl"
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=ENVIRONMENT,
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        deadline = time.monotonic() + 120
        while not (records.exists() and records.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the loader's processes get it too
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (130, ""), err
    assert err.splitlines()[-1] == "stopped; the same command goes on where it was"
    assert "Traceback" not in err
    measured = len(records.read_text().splitlines())
    assert 0 < measured < 155
    ran = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("lol: PSNR ")
    assert "155 images, not the official 15: not comparable -> results/lol/results.json" in ran.stdout
    names = [json.loads(line)[0] for line in records.read_text().splitlines()]
    assert len(names) == len(set(names)) == 155
