"""COCO 2017: pictures with panoptic, instance and keypoint annotations, and the detections of persons."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.coco import CATEGORIES
from tools.toy.annotate import PERSON, Json, Segment, detections, instance, keypoints, segments
from tools.toy.figures import JOINTS
from tools.toy.files import write_image, write_json
from tools.toy.render import Rendering
from tools.toy.world import World, renderings

PROMPTS = {0: 165, 5: 391460}  # training scene -> id: the prompts of the pose and the panoptic benchmark
FIRST_ID = {"train": 1000, "val": 500000}
DETECTIONS = "coco_pose/person_detection_results/COCO_val2017_detections_AP_H_56_person.json"
SKELETON = """
16 14, 14 12, 17 15, 15 13, 12 13, 6 12, 7 13, 6 7, 6 8, 7 9, 8 10, 9 11, 2 3, 1 2, 1 3, 2 4, 3 5, 4 6, 5 7
"""
THING_GROUPS = {  # supercategory -> its last category
    **{"person": 1, "vehicle": 9, "outdoor": 15, "animal": 25, "accessory": 33, "sports": 43, "kitchen": 51},
    **{"food": 61, "furniture": 70, "electronic": 77, "appliance": 82, "indoor": 90},
}
STUFF_GROUPS = {
    "textile": (92, 93, 109, 141, 168, 200),
    "building": (95, 128, 151, 166, 197),
    "raw-material": (100, 195),
    "furniture-stuff": (107, 112, 130, 133, 156, 161, 188, 189),
    "floor": (118, 190),
    "plant": (119, 184, 193),
    "food-stuff": (122, 196),
    "ground": (125, 144, 145, 147, 149, 154, 159, 191, 194),
    "structural": (138, 185),
    "water": (148, 155, 178),
    "wall": (171, 175, 176, 177, 199),
    "window": (180, 181),
    "ceiling": (186,),
    "sky": (187,),
    "solid": (192, 198),
}


class Annotations(NamedTuple):
    """What a split's JSON files list."""

    images: list[Json]
    panoptic: list[Json]
    instances: list[Json]
    keypoints: list[Json]
    detections: list[Json]


def write_coco(root: Path, world: World) -> None:
    """`{train,val}2017/%012d.jpg` and `annotations/`; of the validation pictures also the detections."""
    for split in ("train", "val"):
        lists = Annotations([], [], [], [], [])
        for number, rendering in renderings(world, "coco", split):
            image_id = PROMPTS.get(number, FIRST_ID["train"] + number) if split == "train" else FIRST_ID["val"] + number
            _add(root / "coco", f"{split}2017", image_id, rendering, lists, world.rng("coco labels", split, number))
        _write_lists(root / "coco/annotations", f"{split}2017", lists)
        if split == "val":
            write_json(root / DETECTIONS, lists.detections)


def _add(
    folder: Path, split: str, image_id: int, rendering: Rendering, lists: Annotations, rng: np.random.Generator
) -> None:
    """Write the picture and its panoptic PNG, and list what is in them."""
    h, w = rendering.owner.shape
    write_image(folder / f"{split}/{image_id:012}.jpg", rendering.image)
    lists.images.append({"id": image_id, "file_name": f"{image_id:012}.jpg", "height": h, "width": w, "license": 1})
    found = segments(rendering)
    pixels, entry = panoptic(found, (h, w), rng)
    write_image(folder / f"annotations/panoptic_{split}/{image_id:012}.png", pixels)
    lists.panoptic.append({"image_id": image_id, "file_name": f"{image_id:012}.png", "segments_info": entry})
    for number, segment in enumerate(segment for segment in found if segment.category <= 90):
        common = {"id": image_id * 100 + number, "image_id": image_id, **instance(segment)}
        lists.instances.append(common)
        if segment.category == PERSON:
            lists.keypoints.append(common | keypoints(rendering, segment))
    lists.detections.extend({"image_id": image_id, **box} for box in detections(found, (h, w), rng))


def panoptic(found: list[Segment], shape: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, list[Json]]:
    """(h, w, 3) uint8 with the id of each pixel's segment as R + 256 G + 65536 B, 0 = unlabelled; the segments."""
    ids = rng.choice(np.arange(1, 1 << 24), len(found), replace=False)
    flat = np.zeros(shape, np.int64)
    entries = []
    for number, segment in zip(ids.tolist(), found, strict=True):
        flat[segment.mask] = number
        box = {"bbox": segment.bbox, "area": segment.area, "iscrowd": int(segment.crowd)}
        entries.append({"id": number, "category_id": segment.category, **box})
    return np.stack((flat, flat >> 8, flat >> 16), -1).astype(np.uint8), entries


def _write_lists(folder: Path, split: str, lists: Annotations) -> None:
    people = {"keypoints": JOINTS, "skeleton": [[int(n) for n in bone.split()] for bone in SKELETON.split(",")]}
    everything = [_category(category.id, category.name) for category in CATEGORIES]
    panoptic_categories = [entry | {"isthing": int(entry["id"] <= 90)} for entry in everything]
    objects = [entry for entry in everything if entry["id"] <= 90]
    head = {
        "info": {"description": "a toy world in the format of COCO 2017", "version": "1.0"},
        "licenses": [{"id": 1, "name": "rendered", "url": ""}],
        "images": lists.images,
    }
    for name, entries, categories in (
        ("panoptic", lists.panoptic, panoptic_categories),
        ("instances", lists.instances, objects),
        ("person_keypoints", lists.keypoints, [objects[0] | people]),
    ):
        write_json(folder / f"{name}_{split}.json", head | {"annotations": entries, "categories": categories})


def _category(number: int, name: str) -> Json:
    if number <= 90:
        group = next(group for group, last in THING_GROUPS.items() if number <= last)
    else:
        group = next(group for group, members in STUFF_GROUPS.items() if number in members)
    return {"supercategory": group, "id": number, "name": name}
