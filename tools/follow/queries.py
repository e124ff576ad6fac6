"""Pictures that leave the task open, with the painted truth of every task: fresh scenes, and damaged photographs."""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from data.pairs import read_pairs
from data.person_crop import CROP
from data.roots import Roots
from data.tasks import Task
from data.tasks.base import Picture
from data.tasks.depth import NYUV2_DEPTH
from data.tasks.instance import COCO_INSTANCE, is_instance
from data.tasks.pose import COCO_POSE
from data.tasks.restoration import DENOISE, DERAIN, ENHANCE
from data.tasks.semantic import ADE20K_SEMANTIC, COCO_SEMANTIC, ade_classes, panoptic_classes
from engine.inpaint import Prompt
from eval.prompts import read_listed
from tools.toy.annotate import PERSON, keypoints, segments
from tools.toy.compose import Theme, compose
from tools.toy.photographs import add_large_rain, add_noise, as_bytes, darken, view
from tools.toy.render import Rendering, render
from tools.toy.write_ade import semantic
from tools.toy.write_coco import panoptic
from tools.toy.write_nyu import FARTHEST_M

LABELS: tuple[Task, ...] = (NYUV2_DEPTH, ADE20K_SEMANTIC, COCO_SEMANTIC, COCO_INSTANCE, COCO_POSE)
RESTORATIONS: tuple[Task, ...] = (DENOISE, DERAIN, ENHANCE)
THEME = Theme((0, 0), objects=3, portrait=True)  # one figure in full, so that joints too can be painted
FEWEST_JOINTS = 12  # in the picture; or another scene is drawn
PHOTOGRAPH = (192, 256)  # (h, w) of a query that is a photograph

Floats = NDArray[np.float64]
Paint = Callable[[Prompt, Sequence[Picture]], Sequence[Picture]]
"""a prompt and pictures -> their paintings, (H, W, 3) bytes of their sizes"""


class Query(NamedTuple):
    """A picture, and what each task would paint: all (H, W, 3) bytes."""

    image: Picture
    truths: dict[Task, Picture]


def scene(rng: Generator) -> Query:
    """A rendered room with a figure, and the truth of the tasks that paint labels."""
    while True:
        rendering = render(compose(rng, THEME, CROP, indoors=True), rng)
        persons = [keypoints(rendering, found) for found in segments(rendering) if found.category == PERSON]
        if persons and persons[0]["num_keypoints"] >= FEWEST_JOINTS:
            return Query(rendering.image, _painted(rendering, np.reshape(persons[0]["keypoints"], (17, 3)), rng))


def _painted(rendering: Rendering, joints: NDArray[np.int64], rng: Generator) -> dict[Task, Picture]:
    metres = np.where(rendering.depth < FARTHEST_M, rendering.depth, 0)
    pixels, listed = panoptic(segments(rendering), CROP, rng)
    things = [found.mask for found, entry in zip(segments(rendering), listed, strict=True) if is_instance(entry)]
    return {
        NYUV2_DEPTH: NYUV2_DEPTH.encode(np.round(metres * 1000).astype(np.uint16)),
        ADE20K_SEMANTIC: ADE20K_SEMANTIC.encode(ade_classes(semantic(rendering))),
        COCO_SEMANTIC: COCO_SEMANTIC.encode(panoptic_classes(pixels, listed)),
        COCO_INSTANCE: COCO_INSTANCE.encode(np.stack(things)),
        COCO_POSE: COCO_POSE.encode((joints[:, :2], joints[:, 2] > 0)),
    }


def damaged(clean: Floats, rng: Generator, tasks: Sequence[Task] = RESTORATIONS) -> Query:
    """The damages of these tasks together on (H, W, 3) in 0..1; each truth lacks just its own."""
    rain, noise, seed = rain_of(clean, rng), noise_of(clean, rng), rng.integers(1 << 32)

    def seen(damages: set[Task]) -> Picture:
        light = (clean + rain * (DERAIN in damages) + noise * (DENOISE in damages)).clip(0, 1)
        return as_bytes(darken(light, np.random.default_rng(seed)) if ENHANCE in damages else light)

    return Query(seen({*tasks}), {task: seen({*tasks} - {task}) for task in tasks})


def damaged_scene(rng: Generator) -> Query:
    """A scene below rain and noise, where labels and two restorations are open; in the dark no label could be seen."""
    image, labels = scene(rng)
    query = damaged(image / 255, rng, (DENOISE, DERAIN))
    return Query(query.image, labels | query.truths)


def rain_of(clean: Floats, rng: Generator) -> Floats:
    """The streaks alone, as large as those that training shows."""
    return add_large_rain(np.zeros_like(clean), rng)


def noise_of(clean: Floats, rng: Generator) -> Floats:
    """The noise alone, not clipped."""
    return add_noise(np.zeros_like(clean), rng)


def photograph(rng: Generator, number: int, split: str = "val") -> Floats:
    """(192, 256, 3) in 0..1: a view of one that training has not seen, or (`train`) has."""
    return view(rng, split, number).pixels(PHOTOGRAPH)


def drawn_prompts(roots: Roots, task: Task, num: int, rng: Generator) -> list[Prompt]:
    """Training pairs at random, of those whose targets show something; ValueError where there are too few."""
    pairs = read_pairs(roots, task.lists["train"])
    read = (read_listed(roots, pairs[i]) for i in rng.permutation(len(pairs)))
    found = list(islice((pair for pair in read if weights(task, np.asarray(pair[1])).any()), num))
    if len(found) < num:
        raise ValueError(f"{task.lists['train']} has {len(found)} pairs that show something; give fewer --draws")
    return list(found)


def weights(task: Task, target: Picture) -> Floats:
    """What each value (H, W, 3) of a painted target counts in the loss."""
    return task.loss_weight(torch.from_numpy(target / 255).permute(2, 0, 1)).permute(1, 2, 0).double().numpy()
