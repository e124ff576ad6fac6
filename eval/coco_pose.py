"""Keypoints of the persons that a detector saw on the validation images of COCO (104125 boxes on 5000 photographs).

    python -m eval.coco_pose --ckpt painter_vit_large.pth --data_root datasets

Expected with the released weights: AP 72.1. A query is a box; the mirror image is painted too (flip test).
"""

import json
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from data.coco_persons import read_persons
from data.detections import Detection, read_detections
from data.pairs import Pair
from data.person_crop import CROP, NUM_JOINTS, Person, center_scale, flip, to_photo
from data.roots import Roots, find, names
from data.skeletons import compared, drawn
from data.tasks import Task
from data.tasks.base import to_pixels
from data.tasks.pose import COCO_POSE, VISIBLE, average_flipped, heatmaps, keypoints
from eval.benchmark import Benchmark, Case, Picture, Record
from eval.command import main
from eval.metrics.keypoints import FoundPerson, average_precision, keypoint_results
from eval.persons import Annotated, read_annotated, shown, similarity
from util.files import write_png
from util.image import read_rgb

PHOTOS, ANNOTATIONS = "coco/val2017", "coco/annotations/person_keypoints_val2017.json"
DETECTIONS = "coco_pose/person_detection_results/COCO_val2017_detections_AP_H_56_person.json"
COPY = "coco_pose/data_pair/train_256x192_aug0"  # training crops in the plain view, where there are files of them


class Detected(NamedTuple):
    """A box in which a detector saw a person."""

    name: str
    image: Path
    image_id: int
    detection: Detection
    person: Annotated | None
    """whom it shows best, if anyone with keypoints"""
    annotations: Path
    num_all: int
    """boxes of all photographs"""


class Views(NamedTuple):
    """What is known of a query: where its crops are, and the true joints in them."""

    query: Detected
    plain: Person
    mirrored: Person


class Skeleton(NamedTuple):
    """A prediction: keypoints (17, 3), x and y in crop pixels, score 0..1; the crop (256, 192, 3) shows them."""

    points: NDArray[np.floating]
    crop: Picture


class CocoPose(Benchmark):
    """COCO's average precision of keypoints and its companions, in percent."""

    name = "coco_pose"
    views = (COCO_POSE, COCO_POSE)
    prompt = "000000000165_box0"
    num_expected = 104125

    def prompt_files(self, task: Task, name: str) -> tuple[str, str]:
        """A training crop."""
        return f"{COPY}/{name}_image.png", f"{COPY}/{name}_label.png"

    def named(self, pairs: Sequence[Pair], roots: Roots) -> dict[str, Pair]:
        """By photograph and number of the person in it; of crops in files the plain ones alone."""
        listed = {pair.target_path for pair in pairs if pair.label is not None}
        known = {path: _numbered(roots, path) for path in listed}
        return {name: pair for pair in pairs if (name := _name(pair, known))}

    def queries(self, roots: Roots) -> list[Detected]:
        """Photograph by photograph, in the detector's order."""
        found, persons = read_detections(roots, DETECTIONS), read_annotated(roots, ANNOTATIONS)
        _check_photos(found, persons, names(roots, PHOTOS))
        annotations, num_all = find(roots, ANNOTATIONS), sum(map(len, found.values()))
        queries = []
        for image_id, group in found.items():
            image = find(roots, f"{PHOTOS}/{image_id:012}.jpg")
            for one in group:
                name, person = f"{image_id:012}_{one.number}", shown(one.box, persons[image_id])
                queries.append(Detected(name, image, image_id, one, person, annotations, num_all))
        return queries

    def read(self, query: Detected) -> Case:
        """The crop, and that of the mirror image of the whole photograph, which lies a pixel further right."""
        photo = _photo(query.image)
        points = query.person.points if query.person else np.zeros((NUM_JOINTS, 3))
        plain = Person(*center_scale(query.detection.box), points[:, :2], points[:, 2] > 0)
        mirrored = flip(plain, photo.shape[1])
        crops = [Image.fromarray(view.cut(photo)) for view in (plain, mirrored)]
        return Case(query.name, crops, Views(query, plain, mirrored))

    def targets(self, case: Case) -> list[Picture]:
        """The joints of the person that the box shows; black if it shows none."""
        views = (case.truth.plain, case.truth.mirrored)
        return [COCO_POSE.encode((view.crop_joints, view.visible)) for view in views]

    def decode(self, painted: Sequence[Tensor], case: Case) -> Skeleton:
        """From the mean heat maps of both views."""
        maps = heatmaps(torch.stack([to_pixels(view, CROP, "nearest") for view in painted]))
        return Skeleton(keypoints(average_flipped(*maps)).cpu().numpy(), np.asarray(case.images[0]))

    def measure(self, pred: Skeleton, case: Case) -> Record:
        """What COCO's results are made of, and, if the box shows a person, the similarity to it (OKS)."""
        query, (center, scale, *_) = case.truth.query, case.truth.plain
        points = np.column_stack((to_photo(pred.points[:, :2], center, scale), pred.points[:, 2]))
        record = {"image_id": query.image_id, "number": query.detection.number, "score": query.detection.score}
        record |= {"keypoints": points.tolist(), "center": center.tolist(), "scale": scale.tolist()}
        return record | ({"oks": similarity(points, query.person)} if query.person else {})

    def summarise(self, records: Sequence[Record], queries: Sequence[Detected]) -> dict[str, float]:
        """Over all annotated photographs; if not all boxes are given, over those that they are on."""
        photos = defaultdict(list)
        for record in records:
            points, center, scale = (np.array(record[key]) for key in ("keypoints", "center", "scale"))
            person = FoundPerson(record["number"], points, center, scale, record["score"])
            photos[record["image_id"]].append(person)
        results = [result for image_id, persons in photos.items() for result in keypoint_results(persons, image_id)]
        image_ids = None if len(queries) == queries[0].num_all else photos
        found = average_precision(json.loads(queries[0].annotations.read_bytes()), results, image_ids)
        return {key: 100 * value if value >= 0 else float("nan") for key, value in found.items()}

    def scores(self, record: Record) -> dict[str, float]:
        """The similarity to the person that the box shows, and the detector's score."""
        return {"oks": record.get("oks", float("nan")), "score": record["score"]}

    def quality(self, record: Record) -> float:
        """The similarity; boxes that show nobody take no part."""
        return self.scores(record)["oks"]

    def save(self, pred: Skeleton, stem: Path) -> None:
        """The crop with the skeleton drawn on it."""
        write_png(stem, COCO_POSE.draw(pred.points, pred.crop))

    def show(self, pred: Skeleton, case: Case) -> Mapping[str, Picture]:
        """Keypoints that count, and labelled joints; `error`: found ones red, the true gray, white lines between."""
        (points, crop), true = pred, case.truth.plain
        seen = points[:, 2] > VISIBLE
        return {
            "decoded": COCO_POSE.draw(points, crop),
            "truth": drawn(crop, true.crop_joints, true.visible),
            "error": compared(crop, points, seen, true.crop_joints, true.visible),
        }


def _check_photos(detected: Iterable[int], annotated: Container[int], files: Iterable[str]) -> None:
    """ValueError unless photographs with boxes, by id, are among those annotated and those that are there."""
    there = set(files)
    for image_id in detected:
        if image_id not in annotated:
            raise ValueError(f"image {image_id} is in {DETECTIONS} but not in {ANNOTATIONS}; download both again")
        if f"{image_id:012}.jpg" not in there:
            raise ValueError(f"{PHOTOS}/{image_id:012}.jpg, listed in {DETECTIONS}, is missing; download it again")


@lru_cache(maxsize=2)  # a photograph has many boxes
def _photo(path: Path) -> Picture:
    return np.asarray(read_rgb(path))


def _numbered(roots: Roots, listed: str) -> dict[tuple[str, str], int]:
    """The number of each person in its photograph, by the photograph's name and the label's JSON text."""
    return {
        (photo, json.dumps(label, separators=(",", ":"))): number
        for photo, labels in read_persons(roots, listed).items()
        for number, label in enumerate(labels)
    }


def _name(pair: Pair, known: Mapping[str, Mapping[tuple[str, str], int]]) -> str | None:
    """Such as 000000000165_box0."""
    path = PurePosixPath(pair.image_path)
    if pair.label is None:
        return path.stem.removesuffix("_image") if str(path.parent) == COPY else None
    number = known[pair.target_path].get((path.name, pair.label))
    return None if number is None else f"{path.stem}_box{number}"


BENCHMARK = CocoPose()

if __name__ == "__main__":
    main(BENCHMARK, __doc__)
