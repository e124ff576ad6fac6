"""Look at pairs of a source as training draws them, before two are stitched: a row a pair, plain, then augmented.

    python tools/show_pairs.py coco_pose --root toy --rows 4

Expected: pairs_coco_pose.png, with the image above its painted target in every cell.
"""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from numpy.random import Generator
from numpy.typing import NDArray
from tyro.conf import Positional

from data.pairs import Pair, read_pair, read_pairs
from data.tasks import SOURCES, task_of
from data.transforms import AugmentConfig, augment_pair, resize_pair
from util.parallel import one_line_errors
from util.visualize import save_png

GAP = 4


def main(
    source: Annotated[Positional[str], tyro.conf.arg(metavar="|".join(SOURCES))],
    root: tuple[Path, ...] = (Path("datasets"),),
    split: Literal["train", "val"] = "train",
    rows: int = 4,
    draws: int = 4,
    side: int = 224,
    seed: int = 0,
    out: Path | None = None,
) -> None:
    """Write a picture of pairs.

    Args:
        source: whose pairs
        root: data roots, searched in order
        split: which list
        rows: how many pairs, drawn at random
        draws: how many augmented versions of each
        side: pixels of a picture
        seed: of all that is random
        out: the picture; pairs_SOURCE.png in this folder if not given
    """
    with one_line_errors():
        if source not in SOURCES:
            raise ValueError(f"unknown source {source}; it must be one of {', '.join(SOURCES)}")
        if min(rows, side) < 1 or draws < 0:
            raise ValueError(f"rows {rows} and side {side} must be 1 or more, draws {draws} 0 or more")
        rng, pairs = np.random.default_rng(seed), read_pairs(root, SOURCES[source].lists[split])
        chosen = [pairs[i] for i in rng.choice(len(pairs), min(rows, len(pairs)), replace=False)]
        sheet = grid([[cell(root, pair, side, rng if draw else None) for draw in range(draws + 1)] for pair in chosen])
        save_png(out := out or Path(f"pairs_{source}.png"), sheet)
    print(f"{out}: {len(chosen)} of {len(pairs)} pairs; the first column is plain, the others as training draws them")


def cell(roots: tuple[Path, ...], pair: Pair, side: int, rng: Generator | None) -> NDArray[np.uint8]:
    """(2 side, side, 3): the image above its painted target; `rng` None: not augmented."""
    task = task_of(pair.type)
    image, target = read_pair(roots, pair, rng)
    if rng is not None and task.augment:
        both = augment_pair(image, target, (side, side), task.target_interp, AugmentConfig(), rng)
    else:
        both = resize_pair(image, target, (side, side), task.target_interp)
    return np.concatenate(both, axis=1).transpose(1, 2, 0)


def grid(cells: list[list[NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """Rows of pictures of one size, white between them."""
    padded = [[np.pad(x, ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for x in row] for row in cells]
    return np.concatenate([np.concatenate(row, axis=1) for row in padded])


if __name__ == "__main__":
    tyro.cli(main)
