"""Semantic maps: files -> classes -> colours and back; the vote of a painted map on masks."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from data.coco import CATEGORIES, panoptic_ids
from data.tasks import SOURCES
from data.tasks.semantic import IGNORE, ade_classes, panoptic_classes, vote

ADE, COCO = SOURCES["ade20k_semantic"], SOURCES["coco_semantic"]


def as_painted(image: np.ndarray) -> torch.Tensor:
    """What a perfect network paints: (3, H, W) in 0..1."""
    return torch.from_numpy(image).permute(2, 0, 1).double() / 255


@pytest.mark.parametrize("task", [ADE, COCO], ids=["ade", "coco"])
def test_every_class_comes_back(task):
    label = np.arange(task.palette.num, dtype=np.uint8)[None]
    np.testing.assert_array_equal(task.decode(as_painted(task.encode(label)), label.shape), label)


@pytest.mark.parametrize("task", [ADE, COCO], ids=["ade", "coco"])
@given(st.data())
def test_noise_within_the_margin_changes_no_class(task, data):
    label = data.draw(arrays(np.uint8, (3, 4), elements=st.integers(0, task.palette.num - 1)))
    margin = (task.palette.steps[0] - 1) // 2
    noise = data.draw(arrays(np.int64, (3, 4, 3), elements=st.integers(-margin, margin)))
    noisy = (task.encode(label) + noise).clip(0, 255).astype(np.uint8)
    np.testing.assert_array_equal(task.decode(as_painted(noisy), label.shape), label)


def test_unlabelled_pixels_are_black():
    assert not ADE.encode(np.full((2, 2), IGNORE, np.uint8)).any()


@pytest.mark.parametrize(("task", "wrong"), [(ADE, 150), (COCO, 133), (COCO, 254)])
def test_a_class_outside_the_palette_is_refused(task, wrong):
    with pytest.raises(ValueError, match=f"class {wrong} is outside the palette of {task.palette.num}"):
        task.encode(np.array([[0, wrong, 255]], np.uint8))


def test_ade_files():
    assert ade_classes(np.array([[0, 1, 150]], np.uint8)).tolist() == [[IGNORE, 0, 149]]
    with pytest.raises(ValueError, match=r"label 151 is outside ADE20K's 0\.\.150"):
        ade_classes(np.array([[3, 151]], np.uint8))


def panoptic(*ids: int) -> np.ndarray:
    return np.array([[[i % 256, i // 256 % 256, i // 65536] for i in ids]], np.uint8)


def test_panoptic_files():
    image = panoptic(5, 70_000, 16_000_000, 9, 0)
    assert panoptic_ids(image).tolist() == [[5, 70_000, 16_000_000, 9, 0]]
    segments = [
        {"id": 5, "category_id": 1, "iscrowd": 1},
        {"id": 70_000, "category_id": 200},
        {"id": 16_000_000, "category_id": 92},
        {"id": 77, "category_id": 2},  # in the list alone: no harm
    ]
    assert panoptic_classes(image, segments).tolist() == [[0, 132, 80, IGNORE, IGNORE]]


def test_an_unknown_category_is_refused():
    with pytest.raises(ValueError, match="segment 5 is of category 12, which COCO does not have"):
        panoptic_classes(panoptic(5), [{"id": 5, "category_id": 12}])


def test_categories():
    assert len(CATEGORIES) == 133
    assert sum(category.is_thing for category in CATEGORIES) == 80
    assert [c.id for c in CATEGORIES] == sorted({c.id for c in CATEGORIES})
    assert CATEGORIES[0] == (1, "person", True)
    assert CATEGORIES[9].name == "traffic light"
    assert CATEGORIES[-1] == (200, "rug-merged", False)


def test_foreign_colours_are_named():
    right = ADE.encode(np.array([[0, 7, IGNORE]], np.uint8))
    assert ADE.foreign(Image.fromarray(right)) is None
    right[0, 1] -= 1
    assert "(254, 212, 212)" in str(ADE.foreign(Image.fromarray(right)))


@pytest.mark.parametrize("seed", range(5))
def test_the_vote_is_that_of_the_summed_scores(seed):
    """The original's words: 1 - distance / largest, over 80 classes, summed over the mask, the largest wins."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (12, 15, 3), dtype=np.uint8)
    masks = rng.random((6, 12, 15)) < np.array([0.5, 0.1, 0.02, 0.9, 1, 0])[:, None, None]
    distance = np.abs(image[..., None, :].astype(float) - COCO.palette.colors[:80]).sum(-1)
    scores = np.einsum("nhw,hwk->nk", masks, 1 - distance / distance.max())
    voted = vote(COCO.palette, torch.from_numpy(image), torch.from_numpy(masks))
    np.testing.assert_allclose(scores[range(6), voted], scores.max(1), rtol=1e-12)  # equals may lie a rounding apart
    assert voted[5] == 0


def test_no_mask_has_no_class():
    assert vote(COCO.palette, torch.zeros(4, 5, 3, dtype=torch.uint8), torch.zeros(0, 4, 5)).shape == (0,)
