"""ADE20K: pictures and their semantic labels, 1 .. 150 and 0 for everything else."""

from pathlib import Path

import numpy as np

from tools.toy.files import write_image
from tools.toy.objects import KINDS
from tools.toy.render import Rendering
from tools.toy.world import World, renderings

FOLDERS = {"train": "training", "val": "validation"}
PROMPT, PROMPT_SCENE = 9574, 5  # ADE_train_00009574, the benchmark's prompt, and the scene that it shows


def write_ade(root: Path, world: World) -> None:
    """`{images,annotations}/{training,validation}/ADE_{train,val}_%08d`."""
    folder = root / "ade20k"
    for split, name in FOLDERS.items():
        for number, rendering in renderings(world, "ade20k", split):
            picture = PROMPT if (split, number) == ("train", PROMPT_SCENE) else number + 1
            stem = f"{name}/ADE_{split}_{picture:08}"
            write_image(folder / f"images/{stem}.jpg", rendering.image)
            write_image(folder / f"annotations/{stem}.png", semantic(rendering))


def semantic(rendering: Rendering) -> np.ndarray:
    """(h, w) uint8: ADE20K's class of each pixel."""
    kinds = [*(thing.kind for thing in rendering.scene.things), "sky"]  # the sky is number -1
    return np.array([KINDS[kind].ade for kind in kinds], np.uint8)[rendering.owner]
