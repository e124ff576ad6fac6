"""Does it follow its prompt: the measures by painters that know the truth, that ignore the prompt, or do half of it."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from data.prepare import prepare
from data.tasks import SOURCES
from data.tasks.depth import NYUV2_DEPTH
from data.tasks.instance import COCO_INSTANCE
from data.tasks.pose import COCO_POSE
from data.tasks.restoration import DENOISE, DERAIN, ENHANCE
from data.tasks.semantic import ADE20K_SEMANTIC, COCO_SEMANTIC, IGNORE
from engine.config import flatten
from engine.pretrained import save_pretrained
from tests.eval.conftest import run_config, tiny_painter
from tools.follow.confusion import CAP, chance, confusion, nearness
from tools.follow.palette import Pair, classes_of, colours, measure, painted
from tools.follow.queries import LABELS, RESTORATIONS, damaged, drawn_prompts, photograph, weights
from tools.follow.restoration import TRAINED, UNSEEN, degraded, mixed, repaired, restored, separated, unseen_prompts
from tools.follow_prompt import OPEN, main
from tools.make_toy_datasets import make_toy_datasets
from util.image import image_size

EIGHT = (*LABELS, *RESTORATIONS)
BLANK = Image.new("RGB", (8, 8))


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def queries():
    """Two of each kind."""
    return {name: [make(np.random.default_rng(i), i) for i in range(2)] for name, make in OPEN.items()}


# --- queries ---


def test_a_scene_shows_what_its_truths_say(queries):
    for query in queries["scenes"]:
        assert {truth.shape for truth in query.truths.values()} == {query.image.shape}
        joints = COCO_POSE.decode(as_tensor(query.truths[COCO_POSE]))
        person = ADE20K_SEMANTIC.palette.colors[12]
        on_person = [
            (query.truths[ADE20K_SEMANTIC][int(y), int(x)] == person).all()
            for x, y, score in joints.tolist()
            if score > 0.5
        ]
        assert len(on_person) >= 8
        assert np.mean(on_person) > 0.6  # the others are hidden behind furniture
        seen = query.truths[COCO_INSTANCE].any(axis=2)
        coco_person = (query.truths[COCO_SEMANTIC] == COCO_SEMANTIC.palette.colors[0]).all(axis=2)
        assert (coco_person & ~seen).sum() == 0


def as_tensor(picture):
    return torch.from_numpy(picture / 255).permute(2, 0, 1).float()


def test_each_truth_of_a_damaged_photograph_lacks_one_damage():
    clean = np.full((192, 256, 3), 0.5)
    query = damaged(clean, np.random.default_rng(3))
    for truth in query.truths.values():
        assert (truth != query.image).mean() > 0.01
    assert query.truths[ENHANCE].mean() > 3 * query.image.mean()
    rows = {task: truth.astype(float) for task, truth in query.truths.items()}
    assert rows[DENOISE].std() < rows[ENHANCE].std()
    assert np.percentile(rows[DERAIN], 99.5) < np.percentile(rows[ENHANCE], 99.5)
    both = damaged(clean, np.random.default_rng(3), (DENOISE, DERAIN))
    np.testing.assert_array_equal(both.image, query.truths[ENHANCE])
    without_rain = both.truths[DERAIN].astype(int) - 128
    assert abs(without_rain.mean()) < 2  # noise alone has no preferred sign, rain brightens
    assert (both.truths[DENOISE].astype(int) >= 127).all()


# --- confusion ---


def painter_of(answer, prompts, queries):
    """A painter that paints `answer(task of the prompt, query)`."""
    tasks = {id(prompt): task for task, given in prompts.items() for prompt in given}
    found = {id(query.image): query for query in queries}
    return lambda prompt, images: [answer(tasks[id(prompt)], found[id(image)]) for image in images]


def share_of(answer, found):
    prompts = {task: [(BLANK, BLANK), (BLANK, BLANK)] for task in found[0].truths}
    return confusion(painter_of(answer, prompts, found), found, prompts, "test")


@pytest.mark.parametrize("kind", OPEN)
def test_one_that_paints_the_prompted_task_gives_the_identity(queries, kind):
    found = share_of(lambda task, query: query.truths[task], queries[kind])
    np.testing.assert_array_equal(found.shares, np.eye(len(found.tasks)))
    np.testing.assert_array_equal(found.psnr.diagonal(), CAP)
    assert found.followed == 1


@pytest.mark.parametrize("kind", OPEN)
def test_one_that_paints_one_task_always_gives_its_column(queries, kind):
    for column, task in enumerate(queries[kind][0].truths):
        found = share_of(lambda _, query, task=task: query.truths[task], queries[kind])
        np.testing.assert_array_equal(found.shares[:, column], 1)
        assert found.followed == pytest.approx(1 / len(found.tasks))


@pytest.mark.parametrize("kind", OPEN)
def test_one_that_ignores_the_prompt_is_right_once_in_n(queries, kind):
    for answer in (lambda _, query: query.image, lambda _, query: np.full_like(query.image, 90)):
        found = share_of(answer, queries[kind])
        assert (found.shares == found.shares[0]).all()
        assert found.followed == pytest.approx(1 / len(found.tasks))


def test_a_bad_painting_still_counts_for_its_task(queries):
    """Half as bright, blurred and noisy: a black pose is no winner because others are dark, too."""
    noise = np.random.default_rng(0).normal(0, 12, queries["scenes"][0].image.shape)

    def answer(task, query):
        return (cv2.GaussianBlur(query.truths[task], (0, 0), 3) * 0.7 + noise).clip(0, 255).astype(np.uint8)

    found = share_of(answer, queries["scenes"])
    np.testing.assert_array_equal(found.shares, np.eye(5))


def test_nearness_is_the_psnr_as_the_loss_weighs_values(queries):
    query = queries["scenes"][0]
    output = np.full_like(query.image, 100)
    row = nearness(output, query)
    depth = query.truths[NYUV2_DEPTH].astype(float)
    measured = depth[depth > 0]
    expected = 10 * np.log10(255**2 / np.mean((measured - 100) ** 2))
    assert row[list(query.truths).index(NYUV2_DEPTH)] == pytest.approx(expected)
    pose = query.truths[COCO_POSE].astype(float)
    weight = np.where(pose > 0, 10, 1)
    expected = 10 * np.log10(255**2 * weight.sum() / (weight * (pose - 100) ** 2).sum())
    assert row[list(query.truths).index(COCO_POSE)] == pytest.approx(expected)
    usual = chance(query)
    first = [nearness(truth, query)[0] for truth in list(query.truths.values())[1:]]
    assert usual[0] == pytest.approx(np.mean(first))


# --- palette ---


@pytest.fixture
def pairs(rng):
    """A prompt of five classes, and three queries that lack one of them."""
    classes = rng.choice([0, 2, 17, 90], (3, 6, 8)).repeat(8, 1).repeat(8, 2).astype(np.uint8)
    prompt = rng.choice([0, 2, 17, 33, 90], (6, 8)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
    prompt[0] = IGNORE
    images = rng.integers(0, 256, (4, 48, 64, 3), dtype=np.uint8)
    return Pair(images[3], prompt), [Pair(*both) for both in zip(images[:3], classes, strict=True)]


@pytest.mark.parametrize("task", [ADE20K_SEMANTIC, COCO_SEMANTIC])
def test_new_colours(task, rng):
    visible = [0, 5, 7, 100]
    trained = task.palette.colors
    permuted, unseen = (colours(task.palette, visible, kind, rng) for kind in ("permuted", "unseen"))
    assert {*map(tuple, permuted[visible])} == {*map(tuple, trained[visible])}
    assert (permuted[visible] != trained[visible]).any(axis=1).all()
    distance = np.abs(unseen[visible].astype(int)[:, None] - trained.astype(int)).max(axis=2)
    assert distance.min() >= task.palette.steps[0] // 2
    assert len({*map(tuple, unseen[visible])}) == 4
    rest = np.setdiff1d(np.arange(len(trained)), visible)
    for table in (permuted, unseen):
        np.testing.assert_array_equal(table[rest], trained[rest])
    np.testing.assert_array_equal(colours(task.palette, visible, "trained", rng), trained)


def test_one_that_takes_up_the_prompts_colours_and_one_that_keeps_its_own(pairs, rng):
    task, (prompt, queries) = ADE20K_SEMANTIC, pairs
    classes = {query.image.tobytes(): query.classes for query in queries}

    def follows(given, images):
        target = np.asarray(given[1])
        table = np.zeros((150, 3), np.uint8)
        table[prompt.classes[prompt.classes != IGNORE]] = target[prompt.classes != IGNORE]
        return [painted(classes[image.tobytes()], table) for image in images]

    def keeps(_, images):
        return [task.encode(classes[image.tobytes()]) for image in images]

    followed, kept = (measure(paint, task, [pairs], rng) for paint in (follows, keeps))
    assert followed["trained"] == kept["trained"] == (100, 100)
    assert followed["permuted"].by_prompt == followed["unseen"].by_prompt == 100
    assert followed["permuted"].by_trained < 40
    assert kept["permuted"].by_trained == kept["unseen"].by_trained == 100
    assert kept["permuted"].by_prompt < 40


def test_classes_come_back_from_their_colours():
    classes = np.array([[0, 3, 149], [IGNORE, 20, 7]], np.uint8)
    np.testing.assert_array_equal(classes_of(ADE20K_SEMANTIC, ADE20K_SEMANTIC.encode(classes)), classes)


# --- restorations ---


@pytest.fixture(scope="module")
def photo():
    return mixed(np.random.default_rng(1), 0)


def test_shares_of_noise_and_rain(photo):
    as_told = {
        "copied": (photo.query, (0, 0, 1)),
        "denoised": (photo.truths[DENOISE], (1, 0, 1)),
        "derained": (photo.truths[DERAIN], (0, 1, 1)),
        "clean": (np.round(photo.clean * 255).astype(np.uint8), (1, 1, 1)),
        "gray": (np.full_like(photo.query, 128), (1, 1, 0)),
        "darker": ((photo.clean * 0.5 * 255).astype(np.uint8), (1, 1, 0.5)),
        "half the rain": (np.round((photo.clean + photo.rain / 2) * 255).astype(np.uint8), (1, 0.5, 1)),
    }
    for name, (output, expected) in as_told.items():
        assert repaired(output, photo) == pytest.approx(expected, abs=0.02), name


def test_separations_are_means_over_prompts_and_photographs(photo):
    prompts = {task: [(BLANK.copy(), BLANK)] for task in (DENOISE, DERAIN)}
    tasks = {id(given[0][0]): task for task, given in prompts.items()}

    def paint(prompt, images):
        return [photo.truths[tasks[id(prompt[0])]] for _ in images]

    found = separated(paint, [photo] * 2, prompts, photo.query.shape[:2])
    assert found["copied"][:3] == pytest.approx((0, 0, 1), abs=0.02)
    assert found["denoise"][:3] == pytest.approx((1, 0, 1), abs=0.02)
    assert found["denoise"].psnr_denoise == np.inf
    assert found["derain"].psnr_derain == np.inf
    assert found["derain"][:3] == pytest.approx((0, 1, 1), abs=0.02)
    assert found["denoise at best"] == found["denoise"]  # nothing is lost at its own size
    small = separated(paint, [photo], prompts, (128, 128))
    assert 0.2 < small["derain at best"].noise_repaired < 0.6  # fine noise does not pass
    assert small["derain at best"].rain_repaired == pytest.approx(1, abs=0.05)
    assert small["derain"] == found["derain"]


def test_restored_compares_with_copies_and_with_the_best_other_prompt():
    rng = np.random.default_rng(0)
    pairs = degraded(UNSEEN["blur"], 2, rng)
    answers = [np.full((192, 256, 3), value, np.uint8) for value in (0, 128, 255)]
    prompts = [(Image.fromarray(answer), BLANK) for answer in answers]
    found = restored(
        lambda prompt, images: [np.asarray(prompt[0])] * len(images),
        pairs,
        prompts[:1],
        {DENOISE: [prompts[2]], DERAIN: [prompts[1]]},
    )
    best = np.mean([10 * np.log10(255**2 / np.mean((clean.astype(float) - 128) ** 2)) for _, clean in pairs])
    assert found.other == pytest.approx(best)
    assert found.other_name == "derain"
    assert found.own < found.other < found.copied


def test_all_damages_show_and_prompts_are_of_training_photographs(rng):
    for damage in (*UNSEEN.values(), *TRAINED.values()):
        for image, clean in degraded(damage, 2, rng):
            assert (np.abs(image.astype(int) - clean) > 8).mean() > 0.02
    held_out = [photograph(np.random.default_rng(i), i) for i in range(2)]
    assert not any((x == y).all() for x in held_out for _, y in unseen_prompts(UNSEEN["blur"], 2, rng))


# --- the command ---


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("toy")
    make_toy_datasets(root, 8, 64)
    for name in (task.name for task in EIGHT):
        for split in SOURCES[name].lists:
            prepare(SOURCES[name], [root], root, split)
    return root


@pytest.fixture(scope="module")
def exported(tmp_path_factory, root):
    folder = tmp_path_factory.mktemp("weights")
    config = run_config(root, folder)
    save_pretrained(folder, tiny_painter(), flatten(replace(config, model=tiny_painter().config)))
    return folder


def test_prompts_show_something(root):
    rng = np.random.default_rng(0)
    for task in EIGHT:
        for image, target in drawn_prompts([root], task, 2, rng):
            assert image.size == target.size
            assert weights(task, np.asarray(target)).any()
    with pytest.raises(ValueError, match="pairs that show something; give fewer --draws"):
        drawn_prompts([root], NYUV2_DEPTH, 99, rng)


def test_the_command(root, exported, tmp_path, call):
    given = (str(exported), str(root), "--device", "cpu", "--precision", "fp32")
    printed = call(main, *given, out_dir=tmp_path / "a", limit=2, draws=1)
    assert printed.strip() == (tmp_path / "a/follow.md").read_text().strip()
    assert printed.count("\n## ") + printed.startswith("## ") == 6
    numbers = json.loads((tmp_path / "a/follow.json").read_text())
    for name, (num, found) in zip(OPEN, zip((5, 3, 7), numbers["confusion"].values(), strict=True), strict=True):
        assert name in printed
        assert np.sum(found["shares"], axis=1) == pytest.approx(np.ones(num))
    assert numbers["palette"].keys() == {"ade20k_semantic", "coco_semantic"}
    assert numbers["restoration"].keys() == {*UNSEEN, "denoise", "derain", "enhance"}
    for name in ("follow", "palette", "restorations"):
        assert image_size(tmp_path / f"a/{name}.png")[0] > 600


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 1}, "--limit must be 2 or more"),
        ({"draws": 0}, "--draws 1 or more"),
        ({"data_root": "nowhere"}, "nyuv2_sync_image_depth.json is not under nowhere"),
    ],
)
def test_wrong_options(root, exported, tmp_path, call, options, message):
    folder = options.pop("data_root", str(root))
    told = call(main, str(exported), folder, out_dir=tmp_path, **options)
    assert told.startswith("error: ")
    assert message in told
