"""Configs: complete, typed, overridable; what is wrong is named with what would be right."""

import dataclasses
import json
import subprocess

import pytest

from engine.config import RunConfig, flatten
from engine.load_config import CONFIG_FOLDER, load_config
from tools.train import main

FILES = sorted(path for path in CONFIG_FOLDER.glob("*.py") if path.stem not in ("__init__", "sources"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_config_reads_and_opens_with_command_time_and_result(path):
    config = load_config([path.stem], "tools/train.py")
    assert config == load_config([str(path)], "tools/train.py")
    head = path.read_text().split('"""')[1]
    assert path.stem in head
    assert "Time:" in head
    assert "Expected:" in head
    json.dumps(flatten(config))


def test_make_toy_hands_weights_from_part_to_part():
    """Each part starts from the weights of the one before, in its world, and those of the last are exported."""
    said = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "toy"],
        cwd=CONFIG_FOLDER.parent,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    lines = [line[line.find("tools/") :].split() for line in said.splitlines() if "tools/" in line]
    parts = [load_config(rest, "") for script, *rest in lines if script == "tools/train.py"]
    assert [part.init for part in parts] == [None, *(str(part.out_dir / "last") for part in parts[:-1])]
    folders = {rest[0] for script, *rest in lines if script == "tools/make_toy_datasets.py"}
    assert folders == {str(root) for part in parts for root in part.data.roots}
    assert lines[-1][:2] == ["tools/export.py", str(parts[-1].out_dir / "last")]


def test_the_full_run_is_the_papers():
    config = load_config(["painter_vit_large"], "")
    weights = {name: source.weight for name, source in config.data.sources.items()}
    assert weights == {
        "nyuv2_depth": 0.1,
        "ade20k_semantic": 0.2,
        "coco_instance": 0.15,
        "coco_semantic": 0.25,
        "coco_pose": 0.2,
        "denoise": 0.15,
        "derain": 0.05,
        "enhance": 0.05,
    }
    o = config.optim
    assert (o.steps, o.warmup, o.global_batch, o.lr, o.betas) == (54_000, 3_600, 2_048, 1e-3, (0.9, 0.999))
    assert (o.weight_decay, o.layer_decay, o.clip_grad, o.loss) == (0.1, 0.8, 3, "smoothl1")
    assert (config.model.img_size, config.model.depth, config.model.drop_path_rate) == ((896, 448), 24, 0.1)
    assert config.data.mask == dataclasses.replace(config.data.mask, half_ratio=0.1, ratio=0.5, block_size=(16, 392))


def test_command_line_overrides_any_value():
    config = load_config(
        [
            "painter_vit_large",
            "--optim.lr",
            "5e-4",
            "--data.sources.coco_pose.weight",
            "0",
            "--model.merge_after",
            "None",
            "--data.roots",
            "a",
            "b",
            "--model.img_size",
            "448",
            "224",
        ],
        "",
    )
    assert config.optim.lr == 5e-4
    assert config.data.sources["coco_pose"].weight == 0
    assert config.model.merge_after is None
    assert [str(root) for root in config.data.roots] == ["a", "b"]
    assert config.model.grid == (28, 14)


def test_help_without_a_config_teaches(capsys):
    with pytest.raises(SystemExit):
        load_config(["--help"], "tools/train.py")
    assert "CONFIG is a file or one of demo, finetune, painter_vit_large" in capsys.readouterr().out


def test_print_config_prints_keys_as_the_command_line_takes_them(capsys):
    main(["painter_vit_large", "--optim.lr", "0.5", "--print_config"])
    lines = capsys.readouterr().out.splitlines()
    assert "optim.lr = 0.5" in lines
    assert "data.sources.coco_pose.weight = 0.2" in lines
    assert len(lines) == len(flatten(load_config(["painter_vit_large"], "")))
    assert {f.name for f in dataclasses.fields(RunConfig)} == {line.split(" = ")[0].split(".")[0] for line in lines}
