"""Depth errors: by their formulas in float64, where the crop and the valid range end, and the stored cases."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from eval.metrics.depth import compute_errors, depth_errors
from tools.golden.metrics import CHECKS

GOLDEN = Path(__file__).parents[2] / "golden/eval"
SIZE = (480, 640)


def errors(truth: list[float], pred: list[float]) -> dict[str, float]:
    """The nine, one depth after the other."""
    pairs = list(zip(truth, pred, strict=True))

    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    logs = [math.log(p / t) for t, p in pairs]
    return {
        "silog": 100 * math.sqrt(mean([(e - mean(logs)) ** 2 for e in logs])),
        "log10": mean([abs(e) / math.log(10) for e in logs]),
        "abs_rel": mean([abs(t - p) / t for t, p in pairs]),
        "sq_rel": mean([(t - p) ** 2 / t for t, p in pairs]),
        "rms": math.sqrt(mean([(t - p) ** 2 for t, p in pairs])),
        "log_rms": math.sqrt(mean([e**2 for e in logs])),
        **{f"d{k}": mean([max(t / p, p / t) < 1.25**k for t, p in pairs]) for k in (1, 2, 3)},
    }


@pytest.mark.parametrize("num", [2, 300])
def test_errors_by_their_formulas(num):
    rng = np.random.default_rng(num)
    truth = rng.uniform(0.5, 10, num).astype(np.float32)
    pred = (truth * rng.lognormal(0.1, 0.3, num)).astype(np.float32)
    ours = compute_errors(truth, pred)
    assert ours == pytest.approx(errors(truth.tolist(), pred.tolist()), rel=1e-5)
    assert list(ours) == ["silog", "log10", "abs_rel", "sq_rel", "rms", "log_rms", "d1", "d2", "d3"]


def test_a_ratio_on_the_threshold_is_outside():
    truth = np.float32([4, 5, 16, 25, 64, 125, 1])
    pred = np.float32([5, 4, 25, 16, 125, 64, 1])
    found = compute_errors(truth, pred)
    assert [found[key] * 7 for key in ("d1", "d2", "d3")] == pytest.approx([1, 3, 5])


@pytest.mark.parametrize("num", [1, 7, 1000])
def test_one_ratio_has_no_scale_invariant_error(num):
    """Rounding must not make it the root of something negative."""
    for ratio in np.linspace(0.5, 2, 50):
        truth = np.full(num, 2.7, np.float32)
        assert compute_errors(truth, truth * np.float32(ratio))["silog"] == pytest.approx(0, abs=0.1)


def flat(value: int = 2000, size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.full(size, value, np.uint16)


CORNERS = {  # first and last row, first and last column
    ("eigen", SIZE): (45, 470, 41, 600),
    ("garg", SIZE): (195, 475, 23, 615),
    ("none", SIZE): (0, 479, 0, 639),
    ("eigen", (240, 320)): (22, 234, 20, 299),
    ("eigen", (960, 1280)): (90, 941, 82, 1201),
}


@pytest.mark.parametrize(("crop", "size"), CORNERS)
def test_crops(crop, size):
    """One wrong pixel counts in each corner, and just outside of it does not."""
    top, bottom, left, right = CORNERS[crop, size]
    for (row, out), column in [((top, -1), left), ((bottom, 1), right)]:
        pred = flat(size=size)
        pred[row, column] = 3000
        num = (bottom - top + 1) * (right - left + 1)
        assert depth_errors(pred, flat(size=size), crop)["abs_rel"] == pytest.approx(0.5 / num, rel=1e-4)
        if crop != "none":
            for outside in ((row + out, column), (row, column + out)):
                pred = flat(size=size)
                pred[outside] = 3000
                assert depth_errors(pred, flat(size=size), crop)["abs_rel"] == 0


def test_the_crop_is_eigens_unless_told():
    pred = flat()
    pred[0, 0] = 3000
    assert depth_errors(pred, flat())["rms"] == 0 < depth_errors(pred, flat(), "none")["rms"]


def test_valid_depths_lie_strictly_between_1_and_10000_mm():
    truth = np.uint16([[0, 1, 2, 9999, 10000, 20000]])
    pred = np.uint16([[5000, 5000, 4, 9999, 5000, 5000]])
    assert depth_errors(pred, truth, "none") == pytest.approx(errors([0.002, 9.999], [0.004, 9.999]), rel=1e-5)


def test_predictions_are_clipped():
    found = depth_errors(np.uint16([[0, 65535]]), np.uint16([[2, 5000]]), "none")
    assert found == pytest.approx(errors([0.002, 5], [0.001, 10]), rel=1e-5)


def test_wrong_input():
    with pytest.raises(ValueError, match=r"no depth of the truth lies between 1 and 10000 mm inside the crop \(garg\)"):
        depth_errors(flat(), flat(10000), "garg")
    with pytest.raises(ValueError, match=r"the prediction is \(480, 640\) but the truth \(4, 5\); give both"):
        depth_errors(flat(), flat(size=(4, 5)))
    with pytest.raises(ValueError, match="0 predictions for 0 depths"):
        compute_errors(np.float32([]), np.float32([]))
    with pytest.raises(ValueError, match="1 predictions for 2 depths; give one for each"):
        compute_errors(np.float32([1, 2]), np.float32([1]))


ERRORS = "silog_log10_absrel_sqrel_rmse_rmselog_d1_d2_d3"
CHANGES = {
    "08_depth/metrics": ["eigen_silog", "garg_rms", "nocrop_d1", "eigen_log10", "pred_mm_1"],
    "08_depth/compute_errors": [f"{ERRORS}_0", f"{ERRORS}_1", "gt_2"],
}


def failed(name: str, path: Path) -> set[str]:
    return {key for key, (error, tolerance) in CHECKS[name](path).items() if not error <= tolerance}


@pytest.mark.parametrize("name", CHANGES)
def test_stored_cases(name):
    assert not failed(name, GOLDEN / f"{name}.npz")


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, keys in CHANGES.items() for key in keys])
def test_a_wrong_stored_value_fails(name, key, tmp_path):
    path = Path(shutil.copytree(GOLDEN / "08_depth", tmp_path / "family")) / f"{Path(name).name}.npz"
    with np.load(path) as file:
        content = dict(file)
    changed = content[key] * 1.0001 if content[key].dtype.kind == "f" else content[key] + 1
    np.savez(path, **{**content, key: changed.astype(content[key].dtype)})
    assert failed(name, path)


@pytest.mark.parametrize(
    ("value", "wrong", "key"),
    [("  29.806", "  29.807", "eigen_printed"), ('"rms": 1.14261', '"rms": 1.14271', "eigen_rms_mean")],
)
def test_a_wrong_stored_mean_fails(value, wrong, key, tmp_path):
    path = Path(shutil.copytree(GOLDEN / "08_depth", tmp_path / "family"))
    text = (path / "metrics.json").read_text()
    assert text.count(value) == 1
    (path / "metrics.json").write_text(text.replace(value, wrong))
    assert failed("08_depth/metrics", path / "metrics.npz") == {key}
