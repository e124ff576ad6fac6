"""Official tools, and stand-ins that follow their interfaces in plain loops, must find the numbers that we find."""

import json
import math
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from data.coco import CATEGORIES
from eval.ade20k_semantic import BENCHMARK as ADE
from eval.coco_panoptic import BENCHMARK as PANOPTIC
from eval.coco_panoptic import Found
from eval.cross_check import find_check, measure, table
from eval.derain import BENCHMARK as DERAIN
from eval.metrics.panoptic import panoptic_scores, quality_record
from tests.eval.conftest import save
from util.files import write_png

PERSON, CAR, SKY, ROAD = 1, 3, 187, 149


# stand-ins


class Catalog(dict):
    """detectron2's DatasetCatalog."""

    def register(self, name, func):
        assert callable(func)
        assert name not in self
        self[name] = func

    def get(self, name):
        return self[name]()

    def remove(self, name):
        self.pop(name)


class Facts(Catalog):
    """detectron2's MetadataCatalog."""

    def get(self, name):
        facts = SimpleNamespace()
        facts.set = lambda **values: facts.__dict__.update(values)
        return self.setdefault(name, facts)


DATASETS, FACTS = Catalog(), Facts()


class SemSegEvaluator:
    """detectron2's: pixels counted one by one, sums kept in sets of coordinates."""

    def __init__(
        self,
        dataset_name,
        distributed=True,
        output_dir=None,
        *,
        sem_seg_loading_fn,
        num_classes=None,
        ignore_label=None,
    ):
        assert not distributed
        assert num_classes is None, "deprecated"
        assert ignore_label is None, "deprecated"
        self.truths = {entry["file_name"]: entry["sem_seg_file_name"] for entry in DATASETS.get(dataset_name)}
        self.load, self.facts = sem_seg_loading_fn, FACTS.get(dataset_name)

    def reset(self):
        self.pixels = []

    def process(self, inputs, outputs):
        for given, output in zip(inputs, outputs, strict=True):
            assert len(output["sem_seg"]) == len(self.facts.stuff_classes)
            pred = np.array(output["sem_seg"].argmax(dim=0), dtype=int)
            truth = self.load(self.truths[given["file_name"]], dtype=int)
            assert truth.dtype == int
            assert pred.shape == truth.shape
            self.pixels += zip(pred.ravel().tolist(), truth.ravel().tolist(), strict=True)

    def evaluate(self):
        counts = Counter((p, t) for p, t in self.pixels if t != self.facts.ignore_label)
        preds, truths = Counter(), Counter()
        for (p, t), n in counts.items():
            preds[p] += n
            truths[t] += n
        total, right = sum(truths.values()), {t: counts[t, t] for t in truths}
        iou = {t: right[t] / (preds[t] + truths[t] - right[t]) for t in truths}
        found = {
            "mIoU": 100 * sum(iou.values()) / len(iou),
            "fwIoU": 100 * sum(iou[t] * truths[t] / total for t in truths),
            "mACC": 100 * sum(right[t] / truths[t] for t in truths) / len(truths),
            "pACC": 100 * sum(right.values()) / total,
        }
        return {"sem_seg": found | {f"IoU-{self.facts.stuff_classes[t]}": 100 * iou[t] for t in truths}}


def rgb2ycbcr(img, y_only=False):
    """mmcv's, of bytes."""
    assert img.dtype == np.uint8
    assert y_only
    return (np.dot(img.astype(np.float32) / 255, [65.481, 128.553, 24.966]) + 16).round().astype(np.uint8)


def pq_compute(gt_json_file, pred_json_file, gt_folder=None, pred_folder=None):
    """panopticapi's: masks of segments compared one by one."""
    truths, preds = (json.loads(Path(file).read_text()) for file in (gt_json_file, pred_json_file))
    categories = {category["id"]: category for category in truths["categories"]}
    by_image = {pred["image_id"]: pred for pred in preds["annotations"]}
    stat = {id: [0.0, 0, 0, 0] for id in categories}
    for truth in truths["annotations"]:
        if truth["image_id"] not in by_image:
            raise Exception(f"no prediction for the image with id: {truth['image_id']}")
        count(stat, truth, by_image[truth["image_id"]], gt_folder, pred_folder)
    print("Evaluation panoptic segmentation metrics:")
    groups = {"All": (0, 1), "Things": (1,), "Stuff": (0,)}
    return {
        group: average([entry for id, entry in stat.items() if categories[id]["isthing"] in flags])
        for group, flags in groups.items()
    }


def count(stat, truth, pred, gt_folder, pred_folder):
    there, found = (
        np.array(Image.open(f"{folder}/{each['file_name']}" if each is pred else Path(folder, each["file_name"])), int)
        @ [1, 256, 65536]
        for each, folder in ((truth, gt_folder), (pred, pred_folder))
    )
    assert all({"id", "category_id", "iscrowd", "area"} <= segment.keys() for segment in truth["segments_info"])
    assert set(np.unique(found)) - {0} == {segment["id"] for segment in pred["segments_info"]}
    matched = set()
    for t in truth["segments_info"]:
        if t["iscrowd"]:
            continue
        for p in pred["segments_info"]:
            a, b = there == t["id"], found == p["id"]
            iou = (a & b).sum() / ((a | b) & ~(b & (there == 0))).sum()
            if p["category_id"] == t["category_id"] and iou > 0.5:
                stat[t["category_id"]][0] += iou
                stat[t["category_id"]][1] += 1
                matched.add(p["id"])
                break
        else:
            stat[t["category_id"]][3] += 1
    for p in pred["segments_info"]:
        crowds = [t["id"] for t in truth["segments_info"] if t["iscrowd"] and t["category_id"] == p["category_id"]]
        if p["id"] not in matched and np.isin(there[found == p["id"]], [0, *crowds]).mean() <= 0.5:
            stat[p["category_id"]][2] += 1


def average(entries):
    counted = [entry for entry in entries if any(entry[1:])]
    pq = sum(iou / (tp + fp / 2 + fn / 2) for iou, tp, fp, fn in counted) / len(counted)
    sq = sum(iou / tp if tp else 0 for iou, tp, _, _ in counted) / len(counted)
    rq = sum(tp / (tp + fp / 2 + fn / 2) for _, tp, fp, fn in counted) / len(counted)
    return {"pq": pq, "sq": sq, "rq": rq, "n": len(counted)}


STAND_INS = {
    "detectron2": {
        "detectron2.data": {"DatasetCatalog": DATASETS, "MetadataCatalog": FACTS},
        "detectron2.evaluation": {"SemSegEvaluator": SemSegEvaluator},
    },
    "mmcv": {"mmcv": {"rgb2ycbcr": rgb2ycbcr}},
    "panopticapi": {"panopticapi.evaluation": {"pq_compute": pq_compute}},
}


def install(monkeypatch, tool):
    monkeypatch.setitem(sys.modules, tool, ModuleType(tool))
    for name, content in STAND_INS[tool].items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture(params=["stand-in", "real"])
def provide(request, monkeypatch):
    """Makes a tool importable, or skips where the real one is not."""

    def provide(tool):
        if request.param == "stand-in":
            return install(monkeypatch, tool)
        for name in STAND_INS[tool]:
            pytest.importorskip(name)

    return provide


# each tool against our metrics


def ade(world, images):
    """Partly wrong predictions, saved -> queries, our metrics."""
    rng, records, queries = np.random.default_rng(0), [], ADE.queries([world])
    cases = [ADE.read(query) for query in queries]
    classes = np.unique([case.truth for case in cases])[:-1]  # all but the last, which is of what is not labelled
    for case in cases:
        pred = np.where(case.truth == 255, 149, case.truth)
        pred = np.where(rng.random(pred.shape) < 0.6, pred, rng.choice([*classes, 149], pred.shape)).astype(np.uint8)
        ADE.save(pred, images / case.name)
        records.append(ADE.measure(pred, case))
    return queries, ADE.summarise(records, queries)


def test_semantic(tmp_path, world, provide):
    provide("detectron2")
    queries, ours = ade(world, tmp_path / "images")
    theirs = measure(find_check("ade20k_semantic"), tmp_path / "images", queries, [world])
    assert theirs == {"tool": "detectron2", "metrics": pytest.approx(ours, abs=1e-9)}
    assert 0 < ours["mIoU"] < ours["mACC"] < 100


@pytest.mark.parametrize("fails", [False, True])
def test_semantic_leaves_catalogs_as_they_were(tmp_path, world, monkeypatch, fails):
    install(monkeypatch, "detectron2")
    queries, _ = ade(world, tmp_path / "images")
    if fails:
        (tmp_path / "images/v2.png").unlink()
        with pytest.raises(ValueError, match=r"v2\.png does not exist"):
            measure(find_check("ade20k_semantic"), tmp_path / "images", queries, [])
    else:
        measure(find_check("ade20k_semantic"), tmp_path / "images", queries, [])
    assert not DATASETS
    assert not FACTS


def test_luma(tmp_path, world, provide):
    provide("mmcv")
    queries, records, rng = DERAIN.queries([world]), [], np.random.default_rng(1)
    for i, query in enumerate(queries):
        case = DERAIN.read(query)
        pred = (case.truth / 255 + (0.02 + 0.1 * i) * rng.standard_normal(case.truth.shape)).clip(0, 1)
        DERAIN.save(pred, tmp_path / "images" / query.name)
        records.append(DERAIN.measure(pred, case))
    ours = DERAIN.summarise(records, queries)
    theirs = measure(find_check("derain"), tmp_path / "images", queries, [])
    assert theirs == {"tool": "mmcv", "metrics": pytest.approx({key: ours[key] for key in ("psnr", "ssim")}, abs=1e-6)}


def test_luma_of_equal_images(tmp_path, world, monkeypatch):
    install(monkeypatch, "mmcv")
    query = DERAIN.queries([world])[0]
    write_png(tmp_path / "images" / query.name, DERAIN.read(query).truth)
    theirs = measure(find_check("derain"), tmp_path / "images", [query], [])
    assert theirs["metrics"] == {"psnr": math.inf, "ssim": 1}


def panoptic_image(root, number, segments, other=None):
    """An annotation of COCO with its files; `segments`: (category, is it a crowd, rows)."""
    ids, infos = np.zeros((40, 30), np.int32), []
    for i, (category, crowd, rows) in enumerate(segments):
        ids[rows] = 70_000 + 300 * i
        infos.append({"id": 70_000 + 300 * i, "category_id": category, "iscrowd": crowd})
    for info in infos:
        info |= {"area": int((ids == info["id"]).sum()), "bbox": [0, 0, 1, 1]}
    name = f"{number:012}"
    colors = np.stack([ids >> shift & 255 for shift in (0, 8, 16)], axis=-1).astype(np.uint8)
    save(root / f"coco/val2017/{name}.jpg", colors)
    save((other or root) / f"coco/annotations/panoptic_val2017/{name}.png", colors)
    return {"image_id": number, "file_name": f"{name}.png", "segments_info": infos}


@pytest.fixture
def photos(tmp_path):
    """Three photographs below two roots; of the first two, predictions below `images`. -> queries, roots, ours."""
    roots = [tmp_path / "one", tmp_path / "two"]
    annotations = [
        panoptic_image(
            roots[0], 7, [(PERSON, 0, np.s_[0:10]), (SKY, 0, np.s_[10:30]), (CAR, 1, np.s_[30:36])], roots[1]
        ),
        panoptic_image(roots[0], 9, [(PERSON, 0, np.s_[0:20]), (ROAD, 0, np.s_[20:40]), (CAR, 0, np.s_[18:20])]),
        panoptic_image(roots[0], 11, [(PERSON, 0, np.s_[0:20])]),
    ]
    categories = [{"id": c.id, "name": c.name, "isthing": int(c.is_thing)} for c in CATEGORIES]
    file = roots[0] / "coco/annotations/panoptic_val2017.json"
    file.write_text(json.dumps({"annotations": annotations, "categories": categories}))
    queries = PANOPTIC.queries(roots)[:2]
    painted = {
        "000000000007": [(PERSON, np.s_[0:8]), (SKY, np.s_[12:28]), (CAR, np.s_[30:40]), (ROAD, np.s_[8:12])],
        "000000000009": [(PERSON, np.s_[0:11]), (ROAD, np.s_[19:40]), (CAR, np.s_[11:19])],
    }
    records = []
    for query in queries:
        ids, segments = np.zeros((40, 30), np.int32), []
        for i, (category, rows) in enumerate(painted[query.name], 1):
            ids[rows] = i
            segments.append({"id": i, "category_id": category, "isthing": category < 90})
        nothing = torch.zeros(0)
        PANOPTIC.save(
            Found(nothing, nothing, nothing, ids.astype(np.uint8), ids, segments), tmp_path / "images" / query.name
        )
        truth = PANOPTIC.read(query).truth
        records.append(quality_record(ids, segments, truth.ids, truth.segments))
    return queries, roots, panoptic_scores(records)


def test_panoptic(tmp_path, photos, provide, capsys):
    provide("panopticapi")
    queries, roots, ours = photos
    theirs = measure(find_check("coco_panoptic"), tmp_path / "images", queries, roots)
    assert theirs == {"tool": "panopticapi", "metrics": pytest.approx(ours, abs=1e-9)}
    assert len(ours) == 9
    assert 0 < ours["PQ_th"] < ours["PQ"] < ours["PQ_st"] < 100
    assert not capsys.readouterr().out
    preds = json.loads((tmp_path / "panoptic_predictions.json").read_text())["annotations"]
    assert [(pred["image_id"], pred["file_name"]) for pred in preds] == [
        (7, "000000000007.png"),
        (9, "000000000009.png"),
    ]


def test_tool_fails(tmp_path, photos, monkeypatch):
    install(monkeypatch, "panopticapi")
    monkeypatch.setattr(sys.modules["panopticapi.evaluation"], "pq_compute", lambda *paths: 1 / 0)
    with pytest.raises(ValueError, match=r"^panopticapi cannot measure .*images \(ZeroDivisionError: division by zero"):
        measure(find_check("coco_panoptic"), tmp_path / "images", *photos[:2])


# what the user sees


@pytest.mark.parametrize(
    ("benchmark", "message"),
    [
        (
            "ade20k_semantic",
            r"^--cross_check of ade20k_semantic needs detectron2 \(.+\); install it from its repository,",
        ),
        (
            "derain",
            r"^--cross_check of derain needs mmcv \(.+\); install it from the registry, where mmcv-lite is enough",
        ),
        ("coco_panoptic", r"needs panopticapi \(.+\); .* or leave the option out$"),
    ],
)
def test_tool_is_not_there(monkeypatch, benchmark, message):
    for tool in STAND_INS:
        monkeypatch.setitem(sys.modules, tool, None)
    with pytest.raises(ValueError, match=message):
        find_check(benchmark)


def test_tool_is_there_in_part(monkeypatch):
    install(monkeypatch, "detectron2")
    monkeypatch.setitem(sys.modules, "detectron2.evaluation", None)
    with pytest.raises(ValueError, match="needs detectron2"):
        find_check("ade20k_semantic")


@pytest.mark.parametrize("benchmark", ["nyuv2_depth", "coco_pose", "sidd", "lol"])
def test_no_tool_is_known(benchmark):
    with pytest.raises(ValueError, match=f"^no cross-check is known for {benchmark}; leave --cross_check out$"):
        find_check(benchmark)


def test_table():
    ours = {"PQ": 43.4, "SQ": 80.0, "PQ_st": math.nan, "AP": 1.0}
    assert table("panopticapi", ours, {"PQ": 43.40099, "SQ": 79.9999999, "PQ_st": math.nan}).splitlines() == [
        "metric      ours  panopticapi  difference",
        "PQ      43.40000     43.40099     0.00099",
        "SQ      80.00000     80.00000     0.00000",
        "PQ_st        nan          nan     0.00000",
    ]


def test_table_warns():
    ours = {"psnr": 30.0, "ssim": 0.9, "a": math.inf, "b": 1.0, "c": math.inf}
    theirs = {"psnr": 29.9989, "ssim": 0.9009, "a": math.inf, "b": math.nan, "c": 3.0}
    assert table("mmcv", ours, theirs).splitlines() == [
        "metric      ours      mmcv  difference",
        "psnr    30.00000  29.99890    -0.00110",
        "ssim     0.90000   0.90090     0.00090",
        "a            inf       inf     0.00000",
        "b        1.00000       nan         nan",
        "c            inf   3.00000        -inf",
        "warning: psnr, b, c of mmcv differ from ours by more than 0.001",
    ]


@pytest.fixture
def command(call, world, tmp_path):
    """Evaluate an oracle on deraining -> how that ended, and the results."""

    def command(*arguments):
        paths = ("--data_root", world, "--out_dir", tmp_path / "out")
        ended = call(DERAIN, "--oracle", "--size", 32, "--num_workers", 0, *paths, *arguments)
        file = tmp_path / "out/results.json"
        return ended, json.loads(file.read_text()) if file.is_file() else None

    return command


def test_command(command, monkeypatch):
    install(monkeypatch, "mmcv")
    ended, found = command("--save_images")
    assert ended.code is None
    assert "difference" not in ended.out
    assert found["cross_check"] is None
    ended, found = command("--save_images", "--cross_check")  # nothing is left to paint
    assert ended.code is None
    assert ended.out.splitlines()[1].split() == ["metric", "ours", "mmcv", "difference"]
    assert "warning" not in ended.out
    ours = {key: found["metrics"][key] for key in ("psnr", "ssim")}
    assert found["cross_check"] == {"tool": "mmcv", "metrics": pytest.approx(ours, abs=1e-6)}


def test_command_needs_saved_images(command, monkeypatch):
    install(monkeypatch, "mmcv")
    ended, found = command("--cross_check")
    assert "--cross_check measures saved predictions; add --save_images" in f"{ended.code}{ended.err}"
    assert found is None


def test_command_asks_for_the_tool_before_it_paints(command, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "mmcv", None)
    ended, _ = command("--save_images", "--cross_check")
    assert "--cross_check of derain needs mmcv" in f"{ended.code}{ended.err}"
    assert not (tmp_path / "out").exists()


def test_results_outlive_a_tool_that_fails(command, monkeypatch):
    install(monkeypatch, "mmcv")
    monkeypatch.setattr(sys.modules["mmcv"], "rgb2ycbcr", lambda img, y_only: 1 / 0)
    ended, found = command("--save_images", "--cross_check")
    assert "mmcv cannot measure" in f"{ended.code}{ended.err}"
    assert found["metrics"]["psnr"] > 0
    assert found["cross_check"] is None
