"""Persons' keypoints: those found twice are dropped by their similarity (OKS), the rest scored as COCO does.

Similarities, rescoring and the order of ties are those of mmpose, whose numbers are partly float32.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.person_crop import NUM_JOINTS, PIXEL_STD
from data.tasks.pose import VISIBLE

Json = dict[str, Any]

SIGMAS = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000  # COCO's, by joint
SAME = 0.9  # OKS above which the worse of two is dropped
STATS = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")
NEEDED = {
    "images": {"id"},
    "annotations": {"id", "image_id", "category_id", "iscrowd", "area", "bbox", "keypoints", "num_keypoints"},
    "categories": {"id"},
}


class FoundPerson(NamedTuple):
    """The keypoints found in the crop of a detection, in pixels of its photograph."""

    number: int
    """of the detection; unique within a photograph but for repetitions"""
    keypoints: NDArray[np.floating]
    """(17, 3), x, y and score 0..1"""
    center: NDArray[np.floating]
    """(2,), of the crop"""
    scale: NDArray[np.floating]
    """(2,), width and height of the crop over PIXEL_STD"""
    score: float
    """of the detection, 0..1"""

    @property
    def area(self) -> float:
        """Of the crop, in square pixels, as float32."""
        return float(np.prod(PIXEL_STD * np.asarray(self.scale, np.float32)))


def oks(keypoints: ArrayLike, areas: ArrayLike) -> NDArray[np.float32]:
    """Similarities (N, N), 0..1, of keypoints (N, 17, 3) in persons of areas (N,), in pixels and square pixels.

    All joints count, whatever their scores; the area of a pair is the mean of both.
    """
    points, area = np.asarray(keypoints, np.float32).reshape(-1, NUM_JOINTS, 3), np.asarray(areas)
    squares = (points[:, None, :, :2] - points[None, :, :, :2]) ** 2
    mean_area = (area[:, None] + area) / 2 + np.spacing(1.0)
    distance = (squares[..., 0] + squares[..., 1]) / (2 * SIGMAS) ** 2 / mean_area[..., None] / 2
    return np.exp(-distance).mean(axis=-1).astype(np.float32)


def oks_nms(keypoints: ArrayLike, scores: ArrayLike, areas: ArrayLike, thr: float = SAME) -> list[int]:
    """Indices of the persons kept, best first: each drops the worse ones that are more similar to it than `thr`.

    Keypoints (N, 17, 3), scores (N,), areas (N,). Of equal scores the last comes first, as in mmpose.
    """
    similar, order, kept = oks(keypoints, areas), np.argsort(scores, kind="stable")[::-1], []
    while len(order):
        kept.append(int(order[0]))
        order = order[1:][similar[order[0], order[1:]] <= np.float32(thr)]
    return kept


def rescore(det_score: float, scores: ArrayLike, vis_thr: float = VISIBLE) -> float:
    """The detection's score times the mean of the keypoint scores (17,) above `vis_thr`; 0 if none is."""
    exact = np.asarray(scores, np.float32).astype(np.float64)  # 51 / 255 in float32 is above .2
    visible = exact[exact > vis_thr]
    return float(np.float32(det_score)) * float(visible.mean()) if len(visible) else 0.0


def keypoint_results(persons: Sequence[FoundPerson], image_id: int) -> list[Json]:
    """The persons of a photograph as COCO's results, rescored, best first, without those found twice.

    Of persons of one number only the first counts.
    """
    by_number = {person.number: person for person in reversed(persons)}
    ordered = [by_number[number] for number in sorted(by_number)]
    scores = [rescore(person.score, person.keypoints[:, 2]) for person in ordered]
    kept = oks_nms([person.keypoints for person in ordered], scores, [person.area for person in ordered])
    return [_result(ordered[i], image_id, scores[i]) for i in kept]


def _result(person: FoundPerson, image_id: int, score: float) -> Json:
    arrays = {"center": person.center, "keypoints": person.keypoints, "scale": person.scale}
    lists = {key: np.asarray(value, np.float32).flatten().tolist() for key, value in arrays.items()}
    return {"image_id": image_id, "category_id": 1, "score": score, **lists}


def average_precision(
    annotations: Json, results: Sequence[Mapping[str, Any]], image_ids: Iterable[int] | None = None
) -> dict[str, float]:
    """COCO's ten numbers (STATS), 0..1, of results against keypoint annotations, of the given images or all of them.

    Without results they are 0; -1 where no person is to be found.
    Raises ValueError on annotations that lack something, and on results of images they do not list.
    """
    from pycocotools.cocoeval import COCOeval

    _check(annotations, results)
    with redirect_stdout(io.StringIO()):
        truth = _index(annotations | {"annotations": [dict(entry) for entry in annotations["annotations"]]})
        found = truth.loadRes([dict(result) for result in results]) if results else _index({"annotations": []})
        evaluation = COCOeval(truth, found, "keypoints")
        if image_ids is not None:
            evaluation.params.imgIds = sorted(set(image_ids))
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(STATS, evaluation.stats.tolist(), strict=True))


def _index(dataset: Json) -> Any:
    """A COCO object of what would be in its file."""
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = dataset
    coco.createIndex()
    return coco


def _check(annotations: Json, results: Sequence[Mapping[str, Any]]) -> None:
    for part, keys in NEEDED.items():
        if not isinstance(annotations, dict) or not isinstance(annotations.get(part), list):
            raise ValueError(f"the keypoint annotations have no list {part}; download COCO's again")
        for entry in annotations[part]:
            if missing := keys - (entry.keys() if isinstance(entry, dict) else set()):
                raise ValueError(f"{entry!r:.80} in {part} of the keypoint annotations has no {min(missing)}")
    if strangers := {result["image_id"] for result in results} - {image["id"] for image in annotations["images"]}:
        raise ValueError(
            f"image {min(strangers)} has keypoints but is not in the annotations; "
            "detections and annotations must be of the same photographs"
        )
