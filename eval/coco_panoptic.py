"""Panoptic segmentation on the validation photographs of COCO 2017 (5000): instances and semantic classes, merged.

    python -m eval.coco_panoptic --ckpt painter_vit_large.pth --data_root datasets

Expected with the released weights: PQ 43.4. `AP` is that of the instances with their classes, `AP_agnostic` without.
"""

import json
import math
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from data.coco import CATEGORIES, NUMBERS, panoptic_ids, read_panoptic
from data.pairs import Pair
from data.roots import Roots, find
from data.scale_jitter import PLAIN
from data.tasks import Task
from data.tasks.base import to_pixels
from data.tasks.instance import COCO_INSTANCE, is_instance
from data.tasks.semantic import COCO_SEMANTIC, panoptic_classes, vote
from eval.benchmark import Benchmark, Case, Picture, Record
from eval.command import main
from eval.metrics.instances import average_precision, instance_record, truth_record
from eval.metrics.panoptic import VOID, Segment, merge, panoptic_scores, quality_record
from eval.metrics.semantic import confusion, dense, semantic_scores, sparse
from util.files import write, write_png
from util.image import check_same_size, read_bytes, read_rgb
from util.visualize import mistakes

COPY = "train_org"  # the original's files of unchanged photographs, of which its prompt is one


class Photo(NamedTuple):
    """A photograph, its panoptic file and the segments in it."""

    name: str
    image: Path
    png: Path
    segments: list[dict[str, int]]


class Truth(NamedTuple):
    """What a panoptic file shows."""

    png: Picture
    ids: NDArray[np.int32]
    segments: list[dict[str, int]]


class Found(NamedTuple):
    """A prediction: the instances with their classes, the class of each pixel, and both merged."""

    masks: Tensor
    scores: Tensor
    classes: Tensor
    semantic: NDArray[np.uint8]
    ids: NDArray[np.int32]
    segments: list[Segment]


class CocoPanoptic(Benchmark):
    """Two paintings of a photograph: where its instances are, and what class each pixel is of."""

    name = "coco_panoptic"
    views = (COCO_INSTANCE, COCO_SEMANTIC)
    prompt = "000000391460"
    num_expected = 5000
    zoom = 1.25

    def prompt_files(self, task: Task, name: str) -> tuple[str, str]:
        """A training photograph; painted files of both tasks."""
        if task is COCO_INSTANCE:
            stem = f"coco/pano_ca_inst/{COPY}/{name}"
            return f"{stem}_image_{COPY}.png", f"{stem}_label_{COPY}.png"
        return f"coco/train2017/{name}.jpg", f"coco/pano_sem_seg/panoptic_segm_train2017_with_color/{name}.png"

    def named(self, pairs: Sequence[Pair], roots: Roots) -> dict[str, Pair]:
        """By photograph; of the original's copies, the unchanged one."""
        stems = ((PurePosixPath(pair.image_path).stem.removesuffix(f"_image_{COPY}"), pair) for pair in pairs)
        return {stem: pair for stem, pair in stems if "_image_" not in stem}

    def queries(self, roots: Roots) -> list[Photo]:
        """The validation photographs, also those without any segment."""
        return [
            Photo(Path(image).stem, find(roots, image), find(roots, png), segments)
            for image, png, segments in read_panoptic(roots, "val")
        ]

    def read(self, query: Photo) -> Case:
        """The photograph for both tasks."""
        panoptic = read_bytes(query.png, "RGB")
        check_same_size(query.image, query.png, panoptic.shape)
        photo = read_rgb(query.image)
        return Case(query.name, [photo, photo], Truth(panoptic, panoptic_ids(panoptic), query.segments))

    def targets(self, case: Case) -> list[Picture]:
        """Instances by the places of their centres, and classes."""
        truth: Truth = case.truth
        things = [segment["id"] for segment in truth.segments if is_instance(segment)]
        index = np.zeros(truth.ids.shape, np.uint16)
        for number, thing in enumerate(things, 1):
            index[truth.ids == thing] = number
        instances = COCO_INSTANCE.paint(PLAIN.of_labels(index), len(things))
        return [instances, COCO_SEMANTIC.encode(panoptic_classes(truth.png, truth.segments))]

    def decode(self, painted: Sequence[Tensor], case: Case) -> Found:
        """Instances; the class of each, as the semantic painting votes; both merged."""
        size = case.truth.ids.shape
        masks, scores = COCO_INSTANCE.decode(painted[0], size)
        image = to_pixels(painted[1], size, "bilinear")
        classes = vote(COCO_SEMANTIC.palette, image, masks)
        semantic = COCO_SEMANTIC.nearest(image)
        return Found(masks, scores, classes, semantic.cpu().numpy(), *merge(masks, scores, classes, semantic))

    def measure(self, pred: Found, case: Case) -> Record:
        """Counts of matched segments for PQ, all instances for AP, the cells of the matrix of classes for mIoU."""
        truth: Truth = case.truth
        pixels = panoptic_classes(truth.png, truth.segments)
        categories = [CATEGORIES[number].id for number in pred.classes.tolist()]
        return {
            "size": truth.ids.shape,
            "quality": quality_record(pred.ids, pred.segments, truth.ids, truth.segments),
            "instances": instance_record(pred.masks, pred.scores, categories),
            "things": truth_record(truth.ids, truth.segments),
            "cells": sparse(confusion(pred.semantic, pixels, len(CATEGORIES))),
        }

    def summarise(self, records: Sequence[Record], queries: Sequence[Photo]) -> dict[str, float]:
        """PQ of all, of things and of stuff; AP in percent, NaN where there is no truth; mIoU of what is painted."""
        truths, preds, sizes = ([record[key] for record in records] for key in ("things", "instances", "size"))
        classes = semantic_scores(dense(chain.from_iterable(record["cells"] for record in records), len(CATEGORIES)))
        aware, agnostic = (average_precision(truths, preds, sizes, class_aware=aware) for aware in (True, False))
        return (
            panoptic_scores([record["quality"] for record in records])
            | {key: _percent(value) for key, value in aware.items()}
            | {f"{key}_agnostic": _percent(value) for key, value in agnostic.items()}
            | {"mIoU": classes["mIoU"]}
        )

    def scores(self, record: Record) -> dict[str, float]:
        """The photograph's own, of all, things and stuff."""
        found = panoptic_scores([record["quality"]])
        return {key: found[key] for key in ("PQ", "PQ_th", "PQ_st")}

    def quality(self, record: Record) -> float:
        """The photograph's own PQ."""
        return self.scores(record)["PQ"]

    def save(self, pred: Found, stem: Path) -> None:
        """COCO's panoptic PNG, and its annotation beside it."""
        write_png(stem, np.stack([pred.ids >> shift & 255 for shift in (0, 8, 16)], axis=-1).astype(np.uint8))
        annotation = {"image_id": int(stem.name), "file_name": f"{stem.name}.png", "segments_info": pred.segments}
        write(stem.with_name(f"{stem.name}.json"), json.dumps(annotation).encode())

    def show(self, pred: Found, case: Case) -> Mapping[str, Picture]:
        """Stuff in its class's colour, things in the next of a row; an error is a wrong category."""
        truth: Truth = case.truth
        right, labelled = _category_map(truth.ids, truth.segments), truth.ids != VOID
        return {
            "decoded": _drawn(pred.ids, pred.segments),
            "truth": _drawn(truth.ids, truth.segments),
            "error": mistakes(_category_map(pred.ids, pred.segments) != right, labelled),
        }


def _percent(value: float) -> float:
    return 100 * value if value >= 0 else math.nan


def _category_map(ids: NDArray[np.int32], segments: Sequence[Mapping[str, Any]]) -> NDArray[np.int32]:
    """The category of each pixel (H, W), 0 where there is none."""
    table = {segment["id"]: segment["category_id"] for segment in segments}
    found, pixels = np.unique(ids, return_inverse=True)
    return np.array([table.get(i, 0) for i in found.tolist()], np.int32)[pixels].reshape(ids.shape)


def _drawn(ids: NDArray[np.int32], segments: Sequence[Mapping[str, Any]]) -> Picture:
    """A map (H, W) in colours, black where it is void."""
    picture, rng = np.zeros((*ids.shape, 3), np.uint8), np.random.default_rng(0)
    for segment in segments:
        n = NUMBERS[segment["category_id"]]
        stuff = COCO_SEMANTIC.palette.colors[n] // 2
        picture[ids == segment["id"]] = rng.integers(64, 256, 3) if CATEGORIES[n].is_thing else stuff
    return picture


BENCHMARK = CocoPanoptic()

if __name__ == "__main__":
    main(BENCHMARK, __doc__)
