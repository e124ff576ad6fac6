"""Samples: two pairs of a type stitched and masked, all by the seed of their draw, and the canvases they become."""

import json
import random
import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, default_collate

from configs.sources import EIGHT_SOURCES
from data import pair_dataset
from data.canvas import Canvas, finish
from data.masking import block_mask
from data.pair_dataset import MaskConfig, PairDataset, Sample
from data.pairs import Pair, read_pairs
from data.prompt import half_mask
from data.sampler import Draw, ValSampler
from data.tasks import SOURCES, TASKS, task_of
from util.image import denormalize

CANVAS, GRID = (64, 32), (16, 8)
MASK = MaskConfig(block_size=(4, 40))
UNMOVED = tuple(name for name, task in TASKS.items() if not task.augment)
UNCROPPED = tuple(name for name, task in TASKS.items() if not task.canvas_crop)
MOVED = tuple(set(TASKS) - set(UNMOVED))
PAPER = tuple(SOURCES[name].type for name in EIGHT_SOURCES)


def dataset(root, *types: str, train: bool = True, mask: MaskConfig = MASK) -> PairDataset:
    pairs = [pair for name in types or TASKS for pair in read_pairs([root], f"{name}.json")]
    return PairDataset([root], pairs, CANVAS, GRID, mask, train)


def entries(sample: Sample) -> tuple[int, int]:
    """Which entries of the list are above and below, as the sample's `files` says."""
    above, below = re.fullmatch(r".*entry (\d+) .* above .*entry (\d+) .*", sample.files).groups()
    return int(above), int(below)


def is_half(sample: Sample) -> bool:
    return torch.equal(sample.mask, half_mask(GRID))


def same(a: Sample, b: Sample) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a[:4], b[:4], strict=True))


def finished(sample: Sample) -> Canvas:
    """Its canvases, without the dimension N."""
    return Canvas(*(x[0] for x in finish(default_collate([sample]))))


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("name", TASKS)
def test_shapes_types_and_range(tiny_root, name, train):
    pairs = dataset(tiny_root, name, train=train)
    assert len(pairs) == 3
    for seed in range(4):
        sample = pairs[Draw(2, (seed,))]
        assert sample.image.shape == sample.target.shape == (3, *CANVAS)
        assert sample.image.dtype == sample.target.dtype == torch.uint8
        canvas = finished(sample)
        for x in (canvas.image, canvas.target, canvas.weight):
            assert x.shape == (3, *CANVAS)
            assert x.dtype == torch.float32
        assert sample.mask.shape == GRID
        assert sample.mask.dtype == torch.bool
        assert sample.mask.sum() == 64
        assert sample.type == name
        assert entries(sample)[0] == 2
        assert f"{name}.json, entry 2 ({name}/image_2.png) above {name}.json, entry" in sample.files
        assert -0.4 < denormalize(canvas.image).min() < 0.3  # noise; the canvas crop overshoots a little
        assert 0.5 < denormalize(canvas.image).max() < 1.4


def expected_half(root, name: str, entry: int, kind: str, resample: Image.Resampling) -> np.ndarray:
    """(3, 32, 32): a file resized and normalised by hand."""
    with Image.open(root / name / f"{kind}_{entry}.png") as image:
        if image.mode == "I;16":
            gray = np.minimum(np.array(image) * 255.0 / 10000, 255).astype(np.uint8)
            image = Image.fromarray(gray)
        small = np.array(image.convert("RGB").resize((32, 32), resample)) / 255
    return ((small - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)).transpose(2, 0, 1)


@pytest.mark.parametrize("name", PAPER)
def test_validation_stitches_plain_pairs_under_the_half_mask(tiny_root, name):
    pairs, bicubic = dataset(tiny_root, name, train=False), Image.Resampling.BICUBIC
    target_resample = bicubic if "depth" in name or "pose" in name else Image.Resampling.NEAREST
    for index in range(3):
        sample = pairs[Draw(index, (7, index))]
        above, below = entries(sample)
        assert above == index
        image = [expected_half(tiny_root, name, i, "image", bicubic) for i in (above, below)]
        target = [expected_half(tiny_root, name, i, "target", target_resample) for i in (above, below)]
        np.testing.assert_allclose(finished(sample).image, np.concatenate(image, axis=1), atol=1e-5)
        np.testing.assert_allclose(finished(sample).target, np.concatenate(target, axis=1), atol=1e-5)
        assert is_half(sample)


def test_weight_is_the_tasks_view_of_the_target(tiny_root):
    """Black holes in the target, and the weight follows them through crop and flip."""
    for name, value in (("nyuv2_image2depth", np.uint16(0)), ("ade20k_image2semantic", np.uint8(0))):
        for path in (tiny_root / name).glob("target_*.png"):
            with Image.open(path) as image:
                label = np.array(image)
            label[:25, :20] = value
            Image.fromarray(label).save(path)
        for index in range(3):
            sample = finished(dataset(tiny_root, name)[Draw(index, (1, index))])
            black = denormalize(sample.target) < 1e-6
            assert 0 < black.float().mean() < 1
            assert (sample.weight[black] == 0).all()
            assert (sample.weight[denormalize(sample.target) > 1e-3] == 1).all()
            again = task_of(name).loss_weight(denormalize(sample.target))
            assert (sample.weight != again).float().mean() < 0.001


def test_the_partner_is_any_pair_of_the_same_type(tiny_root):
    pairs = dataset(tiny_root)
    for index, pair in enumerate(pairs.pairs):
        samples = [pairs[Draw(index, (seed,))] for seed in range(12)]
        assert all(sample.files.count(f"{pair.type}.json") == 2 for sample in samples)
        assert {entries(sample) for sample in samples} == {(pair.entry, i) for i in range(3)}


def test_a_pair_alone_of_its_type_is_its_own_partner_augmented_apart(tiny_root):
    whole = dataset(tiny_root, "derain_image2derain", mask=MaskConfig(half_ratio=1))
    alone = PairDataset(whole.roots, whole.pairs[:1], CANVAS, GRID, whole.mask, True)
    sample = alone[Draw(0, (0,))]
    assert entries(sample) == (0, 0)
    assert not torch.equal(*sample.image.split(32, dim=1))


def test_a_sample_is_a_pure_function_of_its_draw(tiny_root):
    pairs, other = dataset(tiny_root), dataset(tiny_root)
    for index in range(0, len(pairs), 2):
        first = pairs[Draw(index, (3, index, 5))]
        random.seed(index)
        torch.manual_seed(index)
        pairs[Draw(0, (index,))]
        assert same(first, pairs[Draw(index, (3, index, 5))])
        assert same(first, other[Draw(index, (3, index, 5))])
        assert not same(first, pairs[Draw(index, (3, index, 6))])


@pytest.mark.parametrize("half_ratio", [0, 0.3, 1])
def test_half_mask_rate(tiny_root, half_ratio):
    pairs, num = dataset(tiny_root, mask=MaskConfig(half_ratio, 0.5, (4, 40))), 300
    rate = np.mean([is_half(pairs[Draw(seed % len(pairs), (seed,))]) for seed in range(num)])
    assert abs(rate - half_ratio) <= 4 * np.sqrt(half_ratio * (1 - half_ratio) / num)


def test_mask_ratio(tiny_root):
    pairs = dataset(tiny_root, mask=MaskConfig(0, 0.75, (4, 40)))
    assert {int(pairs[Draw(0, (seed,))].mask.sum()) for seed in range(5)} == {96}


@pytest.mark.parametrize("name", TASKS)
def test_the_canvas_is_cropped_unless_half_masked_or_positions_are_absolute(tiny_root, name):
    pairs, whole = dataset(tiny_root, name, mask=MaskConfig(0.5, 0.5, (4, 40))), [0, 0, *CANVAS]
    samples = [pairs[Draw(0, (seed,))] for seed in range(20)]
    assert 0 < sum(map(is_half, samples)) < 20
    for sample in samples:
        top, left, h, w = box = sample.crop.tolist()
        assert (box == whole) == (name in UNCROPPED or is_half(sample))
        assert sample.target_interp == task_of(name).target_interp
        assert min(top, left) >= 0
        assert top + h <= CANVAS[0]
        assert left + w <= CANVAS[1]
    assert dataset(tiny_root, name, train=False)[Draw(0, (0,))].crop.tolist() == whole


@pytest.mark.parametrize("name", [name for name in TASKS if name not in UNCROPPED])
def test_canvas_crops_have_the_share_and_the_shape_of_the_original(tiny_root, name):
    """.3 to 1 of the area, .3 to .7 as wide as high."""
    pairs = dataset(tiny_root, name, mask=MaskConfig(0, 0.5, (4, 40)))
    h, w = np.array([pairs[Draw(0, (seed,))].crop.tolist() for seed in range(150)]).T[2:]
    share, ratio = h * w / (CANVAS[0] * CANVAS[1]), w / h
    assert 0.27 < share.min() < 0.4
    assert share.max() > 0.9
    assert 0.27 < ratio.min() < 0.4
    assert 0.6 < ratio.max() < 0.75


def test_an_own_interpolation_goes_with_the_sample(tiny_root):
    name = "derain_image2derain"
    pairs = read_pairs([tiny_root], f"{name}.json")
    for interp in ("nearest", "bicubic"):
        own = PairDataset([tiny_root], pairs, CANVAS, GRID, MASK, True, target_interp={name: interp})
        assert own[Draw(0, (0,))].target_interp == interp


@pytest.mark.parametrize("name", TASKS)
def test_only_tasks_whose_positions_are_absolute_train_on_unmoved_pairs(tiny_root, name):
    half = MaskConfig(half_ratio=1, block_size=(4, 40))
    training, validation = (dataset(tiny_root, name, train=train, mask=half) for train in (True, False))
    for draw in (Draw(0, (seed,)) for seed in range(4)):
        assert torch.equal(training[draw].image, validation[draw].image) == (name in UNMOVED)


def test_samples_collate_field_by_field(tiny_root):
    pairs = dataset(tiny_root, train=False)
    batches = list(DataLoader(pairs, batch_size=2, sampler=ValSampler(range(4), 0, 0, 1)))
    assert [type(batch) for batch in batches] == [Sample, Sample]
    assert batches[1].image.shape == batches[1].target.shape == (2, 3, *CANVAS)
    assert batches[1].crop.tolist() == [[0, 0, *CANVAS]] * 2
    assert list(batches[1].target_interp) == [task_of(name).target_interp for name in batches[1].type]
    assert batches[1].mask.shape == (2, *GRID)
    assert list(batches[1].type) == [pairs.pairs[2].type, pairs.pairs[3].type]
    assert len(batches[1].files) == 2


def test_a_broken_partner_is_named(tiny_root):
    pairs = dataset(tiny_root, "derain_image2derain")
    (tiny_root / "derain_image2derain/target_2.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"derain_image2derain.json, entry 2: .*target_2.png is empty"):
        [pairs[Draw(0, (seed,))] for seed in range(20)]


@pytest.mark.parametrize("quarantine", [False, True])
@pytest.mark.parametrize("name", UNCROPPED)
def test_pairs_that_can_be_read_draw_no_other_numbers(tiny_root, name, quarantine):
    """The mask is made of those that follow the partner's and the mask's kind."""
    whole = dataset(tiny_root, name, mask=MaskConfig(0, 0.5, (4, 40)))
    pairs = PairDataset([tiny_root], whole.pairs, CANVAS, GRID, whole.mask, True, quarantine=quarantine)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        rng.integers(3)
        rng.random()
        assert torch.equal(pairs[Draw(0, (seed,))].mask, block_mask(GRID, 64, (4, 40), rng))


def spoil(root, name: str, *entries: int) -> None:
    for entry in entries:
        path = root / f"{name}/image_{entry}.png"
        path.write_bytes(path.read_bytes()[:-40])


def quarantined(pairs: PairDataset) -> PairDataset:
    return PairDataset(pairs.roots, pairs.pairs, CANVAS, GRID, pairs.mask, pairs.train, quarantine=True)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("name", TASKS)
def test_another_pair_stands_in_for_a_broken_one(tiny_root, name, train):
    pairs = dataset(tiny_root, name, train=train)
    whole = [pairs[Draw(seed % 3, (seed, 1))] for seed in range(24)]
    spoil(tiny_root, name, 1)
    found = [quarantined(pairs)[Draw(seed % 3, (seed, 1))] for seed in range(24)]
    for before, after in zip(whole, found, strict=True):
        num_broken = entries(before).count(1)
        lines = after.broken.splitlines()
        assert len(lines) == num_broken
        assert all(f"{name}.json, entry 1: {tiny_root}/{name}/image_1.png is " in line for line in lines)
        assert all(new != 1 and old in (1, new) for old, new in zip(entries(before), entries(after), strict=True))
        assert same(before, after) == (num_broken == 0)
        assert (after.source, after.type) == (f"{name}.json", name)
    assert {entries(sample)[0] for sample in found} == {entries(sample)[1] for sample in found} == {0, 2}


def test_what_stands_in_shows_its_own_picture(tiny_root):
    """The validation canvas of entries 0 and 2 alone, by hand."""
    name = "derain_image2derain"
    pairs = quarantined(dataset(tiny_root, name, train=False))
    spoil(tiny_root, name, 1)
    for seed in range(8):
        sample = pairs[Draw(1, (seed,))]
        image = [expected_half(tiny_root, name, i, "image", Image.Resampling.BICUBIC) for i in entries(sample)]
        np.testing.assert_allclose(finished(sample).image, np.concatenate(image, axis=1), atol=1e-5)


def test_what_stands_in_is_of_the_same_list(tiny_root):
    """Two lists of one type: the partner may be of the other list, what stands in is not."""
    name = "derain_image2derain"
    (tiny_root / "other.json").write_text((tiny_root / f"{name}.json").read_text().replace("image_1", "image_2"))
    pairs = [pair for path in (f"{name}.json", "other.json") for pair in read_pairs([tiny_root], path)]
    spoil(tiny_root, name, 1)
    both = PairDataset([tiny_root], pairs, CANVAS, GRID, MASK, True, quarantine=True)
    samples = [both[Draw(1, (seed,))] for seed in range(30)]
    assert {sample.source for sample in samples} == {f"{name}.json"}
    assert all(sample.files.startswith(f"{name}.json") for sample in samples)
    assert {sample.files.partition("above ")[2].split(",")[0] for sample in samples} == {f"{name}.json", "other.json"}


def test_what_stands_in_is_of_the_same_type_in_a_list_of_several(tiny_root):
    lists = [json.loads((tiny_root / f"{name}.json").read_text()) for name in PAPER[:3]]
    (tiny_root / "mixed.json").write_text(
        json.dumps([entry for entries in zip(*lists, strict=True) for entry in entries])
    )
    spoil(tiny_root, PAPER[0], 0)
    mixed = PairDataset([tiny_root], read_pairs([tiny_root], "mixed.json"), CANVAS, GRID, MASK, True, quarantine=True)
    for seed in range(20):
        assert re.fullmatch(
            rf".*{PAPER[0]}/image_[12].* above .*{PAPER[0]}/image_[12].*", mixed[Draw(0, (seed,))].files
        )


def test_one_pair_left_stands_in_for_all(tiny_root):
    """However many draws: no pair is tried twice for one half."""
    name = "derain_image2derain"
    spoil(tiny_root, name, 0, 1)
    pairs = quarantined(dataset(tiny_root, name, train=False))
    samples = [pairs[Draw(seed % 3, (seed,))] for seed in range(100)]
    assert {entries(sample) for sample in samples} == {(2, 2)}
    assert max(sample.broken.count("\n") for sample in samples) == 3  # both halves, two broken pairs each


@pytest.mark.parametrize(("num", "tried"), [(1, 1), (3, 3), (60, 21)])
def test_a_list_of_broken_pairs_stops(tiny_root, monkeypatch, num, tried):
    def refuse(roots, pair, rng):
        reads.append(pair)
        raise ValueError(f"{pair}: gone\nfor good")

    reads: list[Pair] = []
    monkeypatch.setattr(pair_dataset, "read_pair", refuse)
    pairs = [Pair("a.png", "b.png", "derain_image2derain", "rain.json", i) for i in range(num)]
    broken = PairDataset([tiny_root], pairs, CANVAS, GRID, MASK, True, quarantine=True)
    with pytest.raises(ValueError, match=r"^rain.json: no pair .* the last .*: rain.json, entry \d+: gone for good$"):
        broken[Draw(0, (0,))]
    assert tried - 1 <= len(reads) == len(set(reads)) <= tried


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"half_ratio": 1.1}, "half_ratio 1.1"),
        ({"half_ratio": -0.1}, "half_ratio -0.1"),
        ({"ratio": 0}, "ratio 0"),
        ({"ratio": 1}, "ratio 1"),
        ({"ratio": float("nan")}, "ratio nan"),
        ({"block_size": (0, 4)}, r"\(0, 4\)"),
        ({"block_size": (5, 4)}, r"\(5, 4\)"),
    ],
)
def test_impossible_masks_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        MaskConfig(**wrong)
