"""The panoptic benchmark: photographs and their segments, both paintings merged and scored, saved and shown."""

import json
import math
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.coco import CATEGORIES
from data.pairs import read_pair, read_pairs
from data.prepare import prepare, write_list
from data.tasks.base import to_pixels
from data.tasks.instance import COCO_INSTANCE
from data.tasks.semantic import COCO_SEMANTIC, vote
from eval.coco_panoptic import BENCHMARK, Found
from eval.metrics.instances import STATS
from eval.metrics.panoptic import merge
from eval.prompts import candidates, read_prompt
from eval.run import below_prompt, choose, oracle, run
from tests.eval.conftest import save, tiny_painter
from util.dist import join_world

GOLDEN = Path(__file__).parents[1] / "golden/eval/06_instance_panoptic"
PERSON, DOG, SKY, GRASS, ROAD = 1, 18, 187, 193, 149
TABLE = {category.id: number for number, category in enumerate(CATEGORIES)}
PROMPT = "000000391460"
ANNOTATIONS = "coco/annotations/panoptic_{split}2017"
# a segment: id, category, crowd, box of rows and columns; of two that overlap the later one is seen
PEOPLE = [
    (7, SKY, 0, (0, 100, 0, 240)),
    (70_000, GRASS, 0, (100, 190, 0, 240)),  # the last rows have no label
    (300, PERSON, 0, (60, 160, 20, 80)),
    (2, PERSON, 0, (60, 160, 140, 190)),
    (1_000_000, PERSON, 1, (90, 140, 200, 240)),
]
LANDSCAPE = [(9, SKY, 0, (0, 50, 0, 200)), (8, ROAD, 0, (50, 120, 0, 200))]
PHOTOS = {
    "000000000009": ((120, 200), []),
    "000000000007": ((200, 240), PEOPLE),
    "000000000008": ((120, 200), LANDSCAPE),
}


def write_photo(root: Path, split: str, name: str, size: tuple[int, int], segments: list) -> dict:
    """A photograph and its panoptic file; -> its annotation."""
    ids = np.zeros(size, np.int64)
    for number, _, _, (top, bottom, left, right) in segments:
        ids[top:bottom, left:right] = number
    picture = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
    save(root / f"{ANNOTATIONS.format(split=split)}/{name}.png", picture)
    save(root / f"coco/{split}2017/{name}.jpg", 255 - picture)
    infos = [{"id": i, "category_id": category, "iscrowd": crowd, "area": 1} for i, category, crowd, _ in segments]
    return {"image_id": int(name), "file_name": f"{name}.png", "segments_info": infos}


def write_split(root: Path, split: str, photos: dict) -> None:
    entries = [write_photo(root, split, name, *photo) for name, photo in photos.items()]
    (root / f"{ANNOTATIONS.format(split=split)}.json").write_text(json.dumps({"annotations": entries}))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three photographs: with people and a crowd, with stuff alone, and without any segment."""
    write_split(tmp_path / "data", "val", PHOTOS)
    return tmp_path / "data"


def case(root: Path, name: str = "000000000007"):
    return BENCHMARK.read(next(query for query in BENCHMARK.queries([root]) if query.name == name))


def one_photo(root: Path, size: tuple[int, int], segments: list):
    """A data set of this photograph alone, read."""
    write_split(root, "val", {"000000000001": (size, segments)})
    return case(root, "000000000001")


def double(picture: np.ndarray) -> torch.Tensor:
    """(H, W, 3) bytes -> (3, H, W) in 0..1, which become the same bytes again."""
    return torch.from_numpy(picture.astype(np.float64)).permute(2, 0, 1) / 255


def perfect(one) -> Found:
    return BENCHMARK.decode([double(target) for target in BENCHMARK.targets(one)], one)


def score(*cases) -> dict[str, float]:
    """Of perfect paintings, by records that have been JSON."""
    records = json.loads(json.dumps([BENCHMARK.measure(perfect(one), one) for one in cases]))
    return BENCHMARK.summarise(records, [])


# Queries


def test_photographs_come_in_the_order_of_the_file_also_without_segments(root):
    queries = choose(BENCHMARK, [root])
    assert [query.name for query in queries] == list(PHOTOS)
    assert [len(query.segments) for query in queries] == [0, 5, 2]
    for query in queries:
        assert query.image == root / f"coco/val2017/{query.name}.jpg"
        assert query.png == root / f"coco/annotations/panoptic_val2017/{query.name}.png"
    assert queries[1].segments[4] == {"id": 1_000_000, "category_id": PERSON, "iscrowd": 1}


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("coco/val2017/000000000008.jpg", r"lists coco/val2017/000000000008.jpg, which is not there \(1 files\)"),
        ("coco/annotations/panoptic_val2017/000000000009.png", "lists coco/annotations/panoptic_val2017/000000000009"),
        ("coco/annotations/panoptic_val2017.json", "^coco/annotations/panoptic_val2017.json is not under"),
    ],
)
def test_what_is_missing_is_named(root, path, sentence):
    (root / path).unlink()
    with pytest.raises(ValueError, match=sentence):
        choose(BENCHMARK, [root])


def test_nothing_to_evaluate_is_an_error(root):
    write_split(root, "val", {})
    with pytest.raises(ValueError, match=r"^coco_panoptic: there is nothing to evaluate under .*; see docs/DATA\.md$"):
        choose(BENCHMARK, [root])


def test_sizes_that_differ_name_both_files(root):
    save(root / "coco/val2017/000000000007.jpg", np.zeros((200, 239, 3), np.uint8))
    sentence = r"val2017/000000000007.jpg is 239 x 200 but .*panoptic_val2017/000000000007.png is 240 x 200; download"
    with pytest.raises(ValueError, match=sentence):
        case(root)


def test_a_panoptic_file_that_is_no_rgb_is_an_error(root):
    save(root / "coco/annotations/panoptic_val2017/000000000007.png", np.zeros((200, 240), np.uint8))
    with pytest.raises(ValueError, match=r"000000000007.png is L where RGB is due"):
        case(root)


def test_both_views_are_the_photograph(root):
    one = case(root)
    photo = np.asarray(Image.open(root / "coco/val2017/000000000007.jpg").convert("RGB"))
    assert len(one.images) == len(BENCHMARK.views) == 2
    for image in one.images:
        np.testing.assert_array_equal(np.asarray(image), photo)
    assert {i: int((one.truth.ids == i).sum()) for i in (0, 2, 300, 1_000_000)} == {
        0: 10 * 240,
        2: 100 * 50,
        300: 100 * 60,
        1_000_000: 50 * 40,
    }


# Truth, painted


def test_targets_are_those_of_training(trained):
    """As preparation paints the same photograph, if it is a training one."""
    write_split(trained, "val", {PROMPT: PHOTOS["000000000007"]})
    instances, classes = BENCHMARK.targets(case(trained, PROMPT))
    by_task = {task: read_pairs([trained], task.lists["train"])[0] for task in BENCHMARK.tasks}
    for task, target in zip(BENCHMARK.tasks, (instances, classes), strict=True):
        np.testing.assert_array_equal(np.asarray(read_pair([trained], by_task[task])[1]), target)


def test_targets_show_crowds_as_a_class_and_not_as_an_instance(root):
    instances, classes = BENCHMARK.targets(case(root))
    assert (instances.shape, classes.shape) == ((1024, 1024, 3), (200, 240, 3))
    np.testing.assert_array_equal(classes[100, 220], COCO_SEMANTIC.palette.colors[TABLE[PERSON]])
    np.testing.assert_array_equal(classes[195, 5], (0, 0, 0))
    assert not instances[int(100 / 200 * 1024), int(220 / 240 * 1024)].any()
    assert len(np.unique(instances[::8, ::8].reshape(-1, 3), axis=0)) == 3  # black and two people


# Scores


def test_a_perfect_painting_is_nearly_perfect(root, tmp_path):
    content = run(BENCHMARK, oracle(BENCHMARK), choose(BENCHMARK, [root]), tmp_path / "out", join_world("cpu"))
    metrics = content["metrics"]
    assert content["size"] == (560, 560)
    assert 97 < metrics["PQ"] < 100
    assert metrics["RQ"] == metrics["RQ_th"] == metrics["RQ_st"] == 100
    assert metrics["AP50"] == pytest.approx(100)
    assert metrics["AP50_agnostic"] == pytest.approx(100)
    assert [about["rank"] for about in content["shown"]] == ["best", "worst"]
    assert {about["name"] for about in content["shown"]} == {"000000000007", "000000000008"}  # PQ of nothing is none
    assert all((tmp_path / "out" / about["file"]).is_file() for about in content["shown"])
    columns = ["query", "painted coco_instance", "painted coco_semantic", "decoded", "truth", "error"]
    assert content["shown"][0]["columns"] == columns


def test_stuff_is_found_from_8192_pixels(root):
    def stuff(rows: int) -> float:
        segments = [(5, SKY, 0, (0, rows, 0, 64)), (6, ROAD, 0, (rows, 130, 0, 64))]
        return score(one_photo(root, (130, 64), segments))["PQ"]

    assert stuff(128) == 50  # the road is too small
    assert stuff(127) == 0


def test_things_with_one_centre_become_one(root):
    around = [(5, PERSON, 0, (20, 100, 20, 100)), (6, PERSON, 0, (40, 80, 40, 80))]
    found = score(one_photo(root, (120, 120), around))
    assert found["RQ_th"] == pytest.approx(100 * 1 / (1 + 0.5))  # one of two is found, and nothing else
    aside = [(5, PERSON, 0, (20, 100, 20, 100)), (6, PERSON, 0, (20, 60, 20, 60))]
    assert score(one_photo(root, (120, 120), aside))["RQ_th"] == 100


def test_a_wrong_class_is_no_match_but_for_agnostic_ap(root):
    one = one_photo(root, (120, 120), [(5, PERSON, 0, (20, 100, 20, 100))])
    dog = one_photo(root, (120, 120), [(5, DOG, 0, (20, 100, 20, 100))])
    found = BENCHMARK.summarise([BENCHMARK.measure(perfect(dog), one)], [])
    assert (found["PQ"], found["RQ"], found["AP"]) == (0, 0, 0)
    assert found["AP50_agnostic"] == pytest.approx(100)


def test_classes_have_a_miou_of_their_own_also_where_stuff_is_too_small(root):
    def halves(border: int):
        return one_photo(root, (120, 64), [(5, SKY, 0, (0, border, 0, 64)), (6, ROAD, 0, (border, 120, 0, 64))])

    truth, pred = halves(60), perfect(halves(90))
    found = BENCHMARK.summarise([BENCHMARK.measure(pred, truth)], [])
    assert found["mIoU"] == pytest.approx(100 * (60 / 90 + 30 / 60) / 2)


def test_records_are_plain_json(root):
    cases = [case(root, name) for name in PHOTOS]
    records = [BENCHMARK.measure(perfect(one), one) for one in cases]
    again = json.loads(json.dumps(records, allow_nan=False))
    assert BENCHMARK.summarise(again, []) == pytest.approx(BENCHMARK.summarise(records, []), rel=0, abs=0, nan_ok=True)
    for plain, read in zip(records, again, strict=True):
        assert BENCHMARK.scores(read) == pytest.approx(BENCHMARK.scores(plain), nan_ok=True)
    assert set(BENCHMARK.summarise(again, [])) == {
        *(f"{key}{suffix}" for key in ("PQ", "SQ", "RQ") for suffix in ("", "_th", "_st")),
        *STATS,
        *(f"{key}_agnostic" for key in STATS),
        "mIoU",
    }


def test_a_photograph_without_segments_counts_nowhere(root):
    empty, people = case(root, "000000000009"), case(root)
    record = BENCHMARK.measure(perfect(empty), empty)
    assert not record["quality"]
    assert not record["things"]
    assert all(math.isnan(value) for value in BENCHMARK.summarise([record], []).values())
    assert math.isnan(BENCHMARK.quality(record))
    assert all(math.isnan(value) for value in BENCHMARK.scores(record).values())
    both, alone = score(empty, people), score(people)
    assert [both[key] for key in ("PQ", "PQ_th", "PQ_st")] == [alone[key] for key in ("PQ", "PQ_th", "PQ_st")]


def test_without_things_there_is_no_ap(root):
    landscape = case(root, "000000000008")
    found = score(landscape)
    assert found["PQ"] == found["PQ_st"] == 100
    assert all(math.isnan(found[f"{key}{suffix}"]) for key in STATS for suffix in ("", "_agnostic"))
    assert math.isnan(found["PQ_th"])
    assert {"PQ", "PQ_th", "PQ_st"} == set(BENCHMARK.scores(BENCHMARK.measure(perfect(landscape), landscape)))


# Decoding


def test_decoding_is_that_of_its_parts(root):
    one = case(root)
    rng = np.random.default_rng(0)
    noise = [torch.from_numpy(rng.normal(0, 0.02, (3, 280, 280))) for _ in range(2)]
    small = [torch.nn.functional.interpolate(double(x)[None], (280, 280))[0] for x in BENCHMARK.targets(one)]
    painted = [x + n for x, n in zip(small, noise, strict=True)]
    found = BENCHMARK.decode(painted, one)
    size = one.truth.ids.shape
    masks, scores = COCO_INSTANCE.decode(painted[0], size, 19)
    assert len(scores) > 2
    torch.testing.assert_close(found.masks, masks)
    torch.testing.assert_close(found.scores, scores)
    image = to_pixels(painted[1], size, "bilinear")
    classes = vote(COCO_SEMANTIC.palette, image, masks)
    torch.testing.assert_close(found.classes, classes)
    ids, segments = merge(masks, scores, classes, COCO_SEMANTIC.decode(painted[1], size))
    np.testing.assert_array_equal(found.ids, ids)
    assert found.segments == segments
    assert {segment["category_id"] for segment in segments} == {PERSON, SKY, GRASS}


@pytest.mark.parametrize(("noise", "low", "high", "shown"), [(12, 0.55, 0.6, [PERSON]), (13, 0.5, 0.55, [])])
def test_instances_count_from_a_score_of_55_percent(root, noise, low, high, shown):
    """The more an instance is disturbed, in levels of 255, the lower is its score."""
    one = one_photo(root, (120, 120), [(5, PERSON, 0, (20, 100, 20, 100))])
    instances, classes = (
        torch.nn.functional.interpolate(double(x)[None], (120, 120))[0] for x in BENCHMARK.targets(one)
    )
    instances += (
        noise / 255 * torch.from_numpy(np.random.default_rng(0).standard_normal((3, 120, 120))) * (instances > 0)
    )
    found = BENCHMARK.decode([instances, classes], one)
    assert low < found.scores[0] < high
    assert [segment["category_id"] for segment in found.segments] == shown


@pytest.mark.parametrize(("taken", "num"), [(5, 2), (6, 1)])
def test_of_an_instance_half_may_be_taken(taken, num):
    """Two strips of ten pixels, at the thresholds that decoding merges with."""
    masks = torch.zeros(2, 1, 20, dtype=torch.bool)
    masks[0, 0, :10] = masks[1, 0, 10 - taken : 20 - taken] = True
    things, semantic = torch.zeros(2, dtype=torch.long), torch.zeros(1, 20, dtype=torch.long)
    assert len(merge(masks, torch.tensor([0.9, 0.8]), things, semantic)[1]) == num


@pytest.mark.parametrize("category", [CATEGORIES[i].id for i in (0, 11, 79, 80, 100, 132)])
def test_categories_have_their_own_numbers_from_painting_to_score(root, category):
    """COCO's ids have gaps, the 133 colours have none."""
    one = one_photo(root, (120, 120), [(77, category, 0, (10, 110, 10, 110))])
    found = perfect(one)
    middle = found.ids[60, 60]
    assert [segment["category_id"] for segment in found.segments if segment["id"] == middle] == [category]
    record = BENCHMARK.measure(found, one)
    assert [record["quality"][category][i] for i in (1, 2, 3)] == [1, 0, 0]
    if CATEGORIES[TABLE[category]].is_thing:
        assert record["instances"][0]["category_id"] == record["things"][0]["category_id"] == category


def test_stored_paintings_score_what_is_stored(tmp_path):
    """Paintings of the original -> its panoptic quality and, but for ties, its AP; through all of the benchmark."""
    with np.load(GOLDEN / "panoptic_end2end.npz", allow_pickle=False) as file:
        stored = dict(file)
    content = json.loads((GOLDEN / "panoptic_end2end.json").read_text())
    for i, entry in enumerate(content["gt_annotations"]):
        ids = stored[f"gt_panoptic_id_{i}"]
        picture = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
        save(tmp_path / f"coco/annotations/panoptic_val2017/{entry['file_name']}", picture)
        save(tmp_path / f"coco/val2017/{Path(entry['file_name']).stem}.jpg", picture)
    truth = {"annotations": content["gt_annotations"]}
    (tmp_path / "coco/annotations/panoptic_val2017.json").write_text(json.dumps(truth))
    records = []
    for i, query in enumerate(BENCHMARK.queries([tmp_path])):
        one = BENCHMARK.read(query)
        painted = [double(stored[f"pred_{kind}_img_{i}"]) for kind in ("inst", "sem")]
        found = BENCHMARK.decode(painted, one)
        np.testing.assert_array_equal(found.ids, stored[f"run0_panoptic_{i}"])
        records.append(BENCHMARK.measure(found, one))
    metrics = BENCHMARK.summarise(json.loads(json.dumps(records)), [])
    due = content["runs"][0]
    assert (due["overlap"], due["stuff_area"], due["score_thr"]) == (0.5, 8192, 0.55)
    assert {key: metrics[key] for key in due["results"]} == pytest.approx(due["results"], rel=0, abs=1e-6)
    for stats, suffix in zip(content["inst_coco_stats"], ("", "_agnostic"), strict=False):
        theirs = {f"{key}{suffix}": 100 * stats[key] if stats[key] >= 0 else math.nan for key in STATS}
        assert {key: metrics[key] for key in theirs} == pytest.approx(theirs, rel=0, abs=1, nan_ok=True)


# Files and pictures


def test_saved_files_are_cocos(tmp_path):
    ids = np.array([[1, 255, 256], [65_536, 16_777_215, 0]], np.int32)
    segments = [{"id": i, "category_id": SKY, "isthing": False, "area": 1} for i in np.unique(ids).tolist() if i]
    masks = torch.zeros(0, 2, 3, dtype=torch.bool)
    pred = Found(masks, torch.zeros(0), torch.zeros(0, dtype=torch.long), np.zeros((2, 3), np.uint8), ids, segments)
    BENCHMARK.save(pred, tmp_path / "images/000000000042")
    picture = Image.open(tmp_path / "images/000000000042.png")
    assert picture.mode == "RGB"
    red, green, blue = np.moveaxis(np.asarray(picture).astype(int), -1, 0)
    np.testing.assert_array_equal(red + 256 * green + 65_536 * blue, ids)
    annotation = json.loads((tmp_path / "images/000000000042.json").read_text())
    assert annotation == {"image_id": 42, "file_name": "000000000042.png", "segments_info": segments}
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == ["000000000042.json", "000000000042.png"]


def test_a_prediction_of_a_photograph_can_be_saved(root, tmp_path):
    found = perfect(case(root))
    BENCHMARK.save(found, tmp_path / "000000000007")
    infos = json.loads((tmp_path / "000000000007.json").read_text())["segments_info"]
    assert infos == found.segments
    assert {info["id"] for info in infos} == set(np.unique(found.ids).tolist()) - {0}


def test_pictures_show_segments_and_what_is_wrong(root):
    one = case(root)
    found = perfect(one)
    shown = BENCHMARK.show(found, one)
    assert {key: picture.shape for key, picture in shown.items()} == dict.fromkeys(
        ("decoded", "truth", "error"), (200, 240, 3)
    )
    assert all(picture.dtype == np.uint8 for picture in shown.values())
    sky = COCO_SEMANTIC.palette.colors[TABLE[SKY]] // 2
    np.testing.assert_array_equal(shown["truth"][5, 5], sky)
    np.testing.assert_array_equal(shown["decoded"][5, 5], sky)
    assert not shown["truth"][195].any()  # void
    first, second = shown["truth"][100, 40], shown["truth"][100, 160]
    assert (first != second).any()
    assert min(first.min(), second.min()) >= 64
    np.testing.assert_array_equal(shown["decoded"] == 0, (found.ids == 0)[..., None].repeat(3, axis=2))
    assert not shown["error"][195].any()  # without a label nothing is wrong
    np.testing.assert_array_equal(shown["error"][5, 5], (200, 200, 200))
    np.testing.assert_array_equal(shown["error"][100, 40], (200, 200, 200))
    np.testing.assert_array_equal(shown["error"][100, 220], (220, 40, 40))  # a crowd is never found


def test_a_found_thing_of_another_category_is_wrong_in_the_picture(root):
    one = one_photo(root, (120, 120), [(5, PERSON, 0, (20, 100, 20, 100))])
    dog = perfect(one_photo(root, (120, 120), [(5, DOG, 0, (20, 100, 20, 100))]))
    np.testing.assert_array_equal(BENCHMARK.show(dog, one)["error"][60, 60], (220, 40, 40))
    other = perfect(one)
    np.testing.assert_array_equal(BENCHMARK.show(other, one)["error"][60, 60], (200, 200, 200))


def test_an_empty_photograph_can_be_shown(root):
    one = case(root, "000000000009")
    shown = BENCHMARK.show(perfect(one), one)
    assert not shown["truth"].any()
    assert not shown["error"].any()


# Prompts


@pytest.fixture
def trained(root) -> Path:
    """Two training photographs, of which the paper's prompt is one; prepared as the lists are by default."""
    other = ((90, 60), [(3, DOG, 0, (20, 70, 10, 50)), (4, SKY, 0, (0, 20, 0, 60))])
    write_split(root, "train", {PROMPT: PHOTOS["000000000007"], "000000000001": other})
    for task in BENCHMARK.tasks:
        prepare(task, [root], root, "train", 1)
    return root


def test_a_prompt_of_the_lists_is_painted_while_loading(trained):
    (image, instances), (photo, classes) = read_prompt(BENCHMARK, [trained], None).pairs
    assert image.size == instances.size == (1024, 1024)
    assert photo.size == classes.size == (240, 200)
    write_split(trained, "val", {PROMPT: PHOTOS["000000000007"]})
    due = BENCHMARK.targets(case(trained, PROMPT))
    np.testing.assert_array_equal(np.asarray(instances), due[0])
    np.testing.assert_array_equal(np.asarray(classes), due[1])
    assert candidates(BENCHMARK, [trained]) == ["000000000001", PROMPT]
    assert read_prompt(BENCHMARK, [trained], "000000000001").kind == "given"


def test_painted_files_come_before_the_lists(trained):
    """The lists say the same; the files show which was read."""
    pictures = {task: BENCHMARK.prompt_files(task, PROMPT) for task in BENCHMARK.tasks}
    image_file, target_file = pictures[COCO_INSTANCE]
    assert image_file == f"coco/pano_ca_inst/train_org/{PROMPT}_image_train_org.png"
    assert target_file == f"coco/pano_ca_inst/train_org/{PROMPT}_label_train_org.png"
    save(trained / image_file, np.full((30, 30, 3), 70, np.uint8))
    save(trained / target_file, np.full((30, 30, 3), 80, np.uint8))
    target_file = pictures[COCO_SEMANTIC][1]
    assert (trained / target_file).is_file()  # where preparation puts it
    save(trained / target_file, np.full((200, 240, 3), 90, np.uint8))
    pairs = read_prompt(BENCHMARK, [trained], None).pairs
    assert [pair[1].getpixel((3, 3))[0] for pair in pairs] == [80, 90]
    assert pairs[0][0].getpixel((3, 3)) == (70, 70, 70)
    (trained / image_file).unlink()
    assert read_prompt(BENCHMARK, [trained], None).pairs[0][0].size == (1024, 1024)


def test_files_as_preparation_writes_them_give_the_same_prompt(trained):
    ((image, target), _) = read_prompt(BENCHMARK, [trained], None).pairs
    job = COCO_INSTANCE.sources([trained], "train", offline=True)[0]
    for path, pixels in islice(job.make(), 2):  # the unchanged copy comes first
        save(trained / path, pixels)
    (trained / COCO_INSTANCE.lists["train"]).unlink()
    ((image_file, target_file), _) = read_prompt(BENCHMARK, [trained], None).pairs
    np.testing.assert_array_equal(np.asarray(image), np.asarray(image_file))
    np.testing.assert_array_equal(np.asarray(target), np.asarray(target_file))


def test_of_the_originals_copies_only_the_unchanged_has_a_name(trained):
    jobs = COCO_INSTANCE.sources([trained], "train", offline=True)
    write_list(trained / COCO_INSTANCE.lists["train"], COCO_INSTANCE, [entry for job in jobs for entry in job.entries])
    pairs = read_pairs([trained], COCO_INSTANCE.lists["train"])
    assert len(pairs) == 2 * 32
    named = BENCHMARK.named(pairs, [trained])
    assert sorted(named) == ["000000000001", PROMPT]
    for name, pair in named.items():
        assert (pair.image_path, pair.target_path) == BENCHMARK.prompt_files(COCO_INSTANCE, name)
    assert candidates(BENCHMARK, [trained]) == ["000000000001", PROMPT]


def test_a_prompt_that_is_not_there_is_named(trained):
    with pytest.raises(ValueError, match=r"^no prompt '000000391461' of .* 2 training pairs are listed, such as 000"):
        read_prompt(BENCHMARK, [trained], "000000391461")


def test_a_network_is_run_below_both_prompts(trained, tmp_path):
    subject = below_prompt(BENCHMARK, tiny_painter(), read_prompt(BENCHMARK, [trained], None))
    assert subject.facts["size"] == (64, 64)  # 48 x 1.25, in patches of 16
    queries = choose(BENCHMARK, [trained])
    content = run(BENCHMARK, subject, queries, tmp_path / "out", join_world("cpu"), save_images=True)
    assert 0 <= content["metrics"]["PQ"] <= 100
    saved = sorted(path.name for path in (tmp_path / "out/images").iterdir())
    assert saved == sorted(f"{name}.{suffix}" for name in PHOTOS for suffix in ("png", "json"))
    one = BENCHMARK.read(queries[1])
    (views,) = subject.paints.paint([subject.paints.prepare(one)])
    assert (views[0] != views[1]).any()  # one photograph, two prompts
    assert content["complete"] is False
