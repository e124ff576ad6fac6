"""Instance segmentation: COCO's average precision of masks, counted by pycocotools.

Images leave small records, masks run-length encoded, which can be written to JSON and put together later.
"""

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor

from data.coco import CATEGORIES
from data.tasks.instance import THINGS

STATS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")

Record = list[dict[str, Any]]


def instance_record(masks: Tensor, scores: Tensor, category_ids: Sequence[int]) -> Record:
    """One image's prediction: of each mask `category_id`, `score` and `segmentation`.

    Masks (N, H, W) bool, scores (N,), COCO's ids of their categories.
    """
    columns = masks.bool().transpose(1, 2).contiguous().numpy(force=True)  # (N, W, H): runs go down the columns
    return [
        {"category_id": int(category), "score": score, "segmentation": _encode(mask.T)}
        for mask, score, category in zip(columns, scores.tolist(), category_ids, strict=True)
    ]


def truth_record(ids: NDArray[np.integer[Any]], segments: Sequence[Mapping[str, Any]]) -> Record:
    """One image's truth: of each segment that is a thing, in the list's order, what COCO's annotations hold.

    `ids` (H, W) is a panoptic map; a segment has `id`, `category_id` and `iscrowd`.
    """
    things = [segment for segment in segments if segment["category_id"] in THINGS]
    codes = [_encode(np.asfortranarray(ids == segment["id"])) for segment in things]
    return [
        {
            "category_id": segment["category_id"],
            "iscrowd": int(segment["iscrowd"]),
            "segmentation": code,
            "area": _area(code),
            "bbox": mask_utils.toBbox(code).tolist(),
        }
        for segment, code in zip(things, codes, strict=True)
    ]


def _encode(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """(H, W), column by column in memory -> its size and runs."""
    code = mask_utils.encode(mask.view(np.uint8))
    return {"size": code["size"], "counts": code["counts"].decode()}


def _area(code: dict[str, Any]) -> int:
    """Pixels of an encoded mask."""
    return int(mask_utils.area(code))


def average_precision(
    truths: Sequence[Record], preds: Sequence[Record], sizes: Sequence[tuple[int, int]], class_aware: bool
) -> dict[str, float]:
    """Records of all images, in one order, and their sizes (h, w) -> `STATS`, 0..1; -1 where there is no truth.

    Unless `class_aware` a mask may match one of any class. Images without predictions or without truth are fine.
    """
    found = [
        [entry | {"iscrowd": 0, "area": _area(entry["segmentation"]) * class_aware} for entry in record]
        for record in preds
    ]
    # As in the original, whose class-agnostic run takes unmatched predictions for small ones: APs, APm, APl hang on it.
    with contextlib.redirect_stdout(io.StringIO()):
        run = COCOeval(_coco(truths, sizes), _coco(found, sizes), "segm")
        run.params.useCats = int(class_aware)
        run.evaluate()
        run.accumulate()
        run.summarize()
    return dict(zip(STATS, run.stats.tolist(), strict=True))


def _coco(records: Sequence[Record], sizes: Sequence[tuple[int, int]]) -> COCO:
    """An index of annotations, numbered from 1 as are the images."""
    flat = [(image, entry) for image, record in enumerate(records, 1) for entry in record]
    coco = COCO()
    coco.dataset = {
        "images": [{"id": image, "height": h, "width": w} for image, (h, w) in enumerate(sizes, 1)],
        "categories": [{"id": category.id} for category in CATEGORIES if category.is_thing],
        "annotations": [entry | {"id": number, "image_id": image} for number, (image, entry) in enumerate(flat, 1)],
    }
    coco.createIndex()
    return coco
