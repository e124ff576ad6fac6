"""Stored instances: every file passes, and fails once a value in it is changed."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tools.check_golden import main
from tools.golden import Checks
from tools.golden.instance import CHECKS

GOLDEN = Path(__file__).parents[1] / "golden/eval"
CHANGES = {
    "05_instance_encode/encode": ["label_0", "label_4", "written_5"],
    "06_instance_panoptic/decode": [
        *("thr_masks_packed_1", "thr_scores_1", "thr_labels_5", "keepall_scores_5", "keepall_areas_2"),
        *("minmax_pred_map_1", "minmax_dist_map_0", "minmax_scores_5", "minmax_classes_2"),
    ],
    "06_instance_panoptic/decode_thresholds": ["masks_packed_5", "scores_25", "empty_labels", "empty_scores"],
    "06_instance_panoptic/matrix_nms": ["out_scores_3", "out_keep_1", "out_labels_4"],
    "06_instance_panoptic/vote": ["classes_argmax_0", "classes_softmax_2"],
}


def failed(name: str, path: Path) -> set[str]:
    checks: Checks = CHECKS[name](path)
    return {key for key, (error, tolerance) in checks.items() if not error <= tolerance}


@pytest.mark.parametrize("name", CHECKS)
def test_all_pass(name):
    assert not failed(name, GOLDEN / f"{name}.npz")


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, keys in CHANGES.items() for key in keys])
def test_a_wrong_value_fails(name, key, tmp_path):
    """Of many masks several are changed, as a few may differ where scores tie."""
    path = Path(shutil.copytree((GOLDEN / name).parent, tmp_path / "family")) / f"{Path(name).name}.npz"
    with np.load(path) as file:
        content = dict(file)
    if content[key].dtype.kind == "f":
        content[key] = content[key] + np.float32(0.03)
    elif "packed" in key:
        content[key] = content[key] ^ 16
    else:
        content[key] = content[key] ^ content[key].dtype.type(1)
    np.savez(path, **content)
    assert failed(name, path)


def test_the_command_finds_them(tmp_path, capsys):
    shutil.copytree(GOLDEN / "06_instance_panoptic", tmp_path / "06_instance_panoptic")
    assert main(tmp_path) == 0
    assert f"{len(list((GOLDEN / '06_instance_panoptic').glob('*.npz')))} passed" in capsys.readouterr().out
