"""From bytes to canvases: the crop, the normalisation and the weights of every task, by hand; the host never waits."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import default_collate

from data import canvas
from data.canvas import crop, finish
from data.pair_dataset import Sample
from data.tasks import TASKS
from data.transforms import CANVAS_RATIO, random_crop_box

SIZE, WHOLE = (64, 32), (0, 0, 64, 32)
MEAN, STD = np.array((0.485, 0.456, 0.406))[:, None, None], np.array((0.229, 0.224, 0.225))[:, None, None]
BLACK, SEMANTIC = 1e-5, ("ade20k_image2semantic", "coco_image2panoptic_sem_seg")


def sample(pair_type: str, box=WHOLE, seed: int = 0, dark: float = 0.3, interp: str | None = None) -> Sample:
    """Noise, with a share of blocks of the target that are black."""
    rng = np.random.default_rng(seed)
    image, target = torch.from_numpy(rng.integers(0, 256, (2, 3, *SIZE), dtype=np.uint8))
    target *= torch.from_numpy(rng.random((8, 4)) >= dark).repeat_interleave(8, 0).repeat_interleave(8, 1)
    mask = torch.from_numpy(rng.random((4, 2)) < 0.5)
    interp = interp or TASKS[pair_type].target_interp
    return Sample(image, target, mask, torch.tensor(box), interp, pair_type, "files", "list", "")


def boxes(num: int) -> list[tuple[int, int, int, int]]:
    return [random_crop_box(SIZE, (0.3, 1), CANVAS_RATIO, np.random.default_rng(seed)) for seed in range(num)]


def bicubic_matrix(num_in: int, num_out: int) -> np.ndarray:
    """Cubic convolution (a = -.75) between pixel centres, borders repeated, no antialiasing."""

    def kernel(t: float) -> float:
        t, a = abs(t), -0.75
        inner, outer = (a + 2) * t**3 - (a + 3) * t**2 + 1, a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a
        return inner if t <= 1 else outer if t < 2 else 0

    matrix = np.zeros((num_out, num_in))
    for i in range(num_out):
        x = (i + 0.5) * num_in / num_out - 0.5
        for near in range(math.floor(x) - 1, math.floor(x) + 3):
            matrix[i, min(max(near, 0), num_in - 1)] += kernel(x - near)
    return matrix


def cropped(canvas: np.ndarray, box, interp: str) -> np.ndarray:
    """A box of (3, H, W) at the size of the whole."""
    top, left, h, w = box
    part, (height, width) = canvas[:, top : top + h, left : left + w], SIZE
    if interp == "nearest":
        return part[:, np.arange(height) * h // height][:, :, np.arange(width) * w // width]
    return bicubic_matrix(h, height) @ part @ bicubic_matrix(w, width).T


def weight_of(pair_type: str, target: np.ndarray) -> np.ndarray:
    """As the table of the tasks has it."""
    painted = (target > BLACK).sum() >= 300
    if pair_type in SEMANTIC:
        return (target >= BLACK).astype(float)
    return {
        "nyuv2_image2depth": lambda: (target >= 1e-4).astype(float),
        "nyuv2_image2normals": lambda: np.broadcast_to((target >= BLACK).any(0), target.shape).astype(float),
        "own_image2classes": lambda: np.broadcast_to((target >= BLACK).any(0), target.shape).astype(float),
        "coco_image2panoptic_inst": lambda: np.full_like(target, painted),
        "coco_image2pose": lambda: np.where(target > BLACK, 10, 1) * painted,
    }.get(pair_type, lambda: np.ones_like(target))()


@pytest.mark.parametrize("order", [list(TASKS), list(reversed(TASKS)), ["coco_image2pose"] * 2])
def test_a_mixed_batch_is_finished_as_by_hand(order):
    """Types, interpolations, crops and none, in one batch."""
    drawn = boxes(len(order))
    samples = [
        sample(name, drawn[i] if i % 3 or not TASKS[name].canvas_crop else WHOLE, i, dark=1 if i == 1 else 0.3)
        for i, name in enumerate(order)
    ]
    found = finish(default_collate(samples))
    for one, *canvases in zip(samples, *found, strict=True):
        image, target, mask, weight = (x.numpy() for x in canvases)
        interp, bytes_ = one.target_interp, [x.numpy() / 255 for x in (one.image, one.target)]
        box = tuple(one.crop.tolist())
        expected = [cropped(x, box, y) if box != WHOLE else x for x, y in zip(bytes_, ("bicubic", interp), strict=True)]
        np.testing.assert_allclose(image, (expected[0] - MEAN) / STD, atol=5e-5)
        np.testing.assert_allclose(target, (expected[1] - MEAN) / STD, atol=5e-5)
        np.testing.assert_array_equal(mask, one.mask)
        unsure = (interp == "bicubic") & (np.abs(expected[1]) < 2e-4) & (expected[1] != 0)
        np.testing.assert_array_equal(
            np.where(unsure, 0, weight), np.where(unsure, 0, weight_of(one.type, expected[1]))
        )
        assert unsure.mean() < 0.01
    assert {x.dtype for x in (found.image, found.target, found.weight)} == {torch.float32}


@pytest.mark.parametrize("interp", ["nearest", "bicubic"])
def test_a_sources_own_interpolation_is_obeyed(interp):
    one = sample("derain_image2derain", (3, 5, 40, 20), interp=interp)
    found = finish(default_collate([one])).target[0].numpy()
    expected = cropped(one.target.numpy() / 255, (3, 5, 40, 20), interp)
    np.testing.assert_allclose(found, (expected - MEAN) / STD, atol=5e-5)


def test_bicubic_may_leave_the_range_and_is_not_clipped():
    values = torch.zeros(3, *SIZE)
    values[:, ::2] = 1
    found = crop(values, (1, 1, 50, 25), "bicubic")
    assert found.min() < -0.01
    assert found.max() > 1.01


def test_without_a_crop_nothing_is_resized(monkeypatch):
    monkeypatch.setattr(canvas.F, "interpolate", lambda *_, **__: pytest.fail("resized"))
    found = finish(default_collate([sample(name) for name in TASKS]))
    assert found.image.shape == (len(TASKS), 3, *SIZE)


def test_the_samples_bytes_stay_as_they_are():
    batch = default_collate([sample("ade20k_image2semantic", box) for box in boxes(2)])
    before = batch.image.clone(), batch.target.clone()
    finish(batch)
    assert torch.equal(batch.image, before[0])
    assert torch.equal(batch.target, before[1])


def test_the_host_never_waits_for_the_device():
    """Tensors without values stand for those on a device: whoever asks for one raises."""
    batch = default_collate([sample(name, box) for name, box in zip(TASKS, boxes(len(TASKS)), strict=True)])
    far = batch._replace(**{name: getattr(batch, name).to("meta") for name in ("image", "target", "mask")})
    found = finish(far)
    assert {x.device.type for x in found} == {"meta"}
    assert found.weight.shape == found.image.shape == found.target.shape == (len(TASKS), 3, *SIZE)
    with pytest.raises(RuntimeError, match="meta"):
        bool(F.relu(found.image).sum() > 0)
