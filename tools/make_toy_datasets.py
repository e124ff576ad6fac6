"""All eight official data sets in their raw formats, rendered in a toy world: no download.

    python tools/make_toy_datasets.py toy --scenes 120 --size 128 --seed 0

Expected: 120 training and 20 validation scenes a data set in about 25 s on one core, at once where they are there;
`toy/contact_sheet.png` shows them. Depth, classes, instances and joints are true: the scenes are rendered from solids
whose places are known. The restoration sets hold photographs that the scikit-image wheel ships, degraded.

The pictures named like the benchmarks' prompts exist (study_room_0005b/rgb_00094, ADE_train_00009574, ...).
"""

import json
from pathlib import Path
from typing import Annotated

import tyro

from tools.toy.files import write_json
from tools.toy.sheet import write_sheet
from tools.toy.world import World
from tools.toy.write_ade import write_ade
from tools.toy.write_coco import write_coco
from tools.toy.write_nyu import write_nyu
from tools.toy.write_restoration import write_restoration
from util.parallel import one_line_errors

FORMAT = 5  # raise it whenever the files change, so that an older world is not taken for this one
STAMP = "toy_world.json"
FEWEST_SCENES, SMALLEST = 8, 48  # every theme once; figures of which something is left


def make_toy_datasets(
    root: Annotated[Path, tyro.conf.Positional], scenes: int = 120, size: int = 128, seed: int = 0
) -> None:
    """Write the raw data sets: a world that is there is left alone, an interrupted one is finished.

    The same numbers give the same bytes. Raises ValueError on impossible numbers, and where `root` holds other data.

    Args:
        root: folder to fill
        scenes: training scenes of each data set; a sixth of that for validation
        size: pixels of the longer side
        seed: another seed, another world
    """
    _check(scenes, size, seed)
    world = World(scenes, size, seed)
    stamp = {**world._asdict(), "format": FORMAT}
    if _found(root, stamp):
        print(f"{root} holds this world; remove the folder to have it made again")
        return
    write_json(root / STAMP, stamp | {"finished": False})
    for write in (write_nyu, write_ade, write_coco, write_restoration):
        write(root, world)
    write_sheet(root)
    write_json(root / STAMP, stamp | {"finished": True})


def _check(scenes: int, size: int, seed: int) -> None:
    if scenes < FEWEST_SCENES:
        raise ValueError(f"scenes must be {FEWEST_SCENES} or more, got {scenes}")
    if size < SMALLEST or size % 4:
        raise ValueError(f"size must be a multiple of 4, {SMALLEST} or more, got {size}")
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, got {seed}")


def _found(root: Path, stamp: dict[str, int]) -> bool:
    """Whether this world is there and whole; False too where it is to be begun or to be finished."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    path = root / STAMP
    if not root.is_dir():
        raise ValueError(f"{root} is a file; choose an empty folder")
    try:
        there = json.loads(path.read_text()) if path.is_file() else {}
    except ValueError:
        raise ValueError(f"{path} is broken; remove the folder to have the world made again") from None
    if {key: there.get(key) for key in stamp} != stamp:
        found = f"another world ({there}); remove it, or" if there else "other data;"
        raise ValueError(f"{root} holds {found} choose an empty folder")
    return there["finished"]


if __name__ == "__main__":
    with one_line_errors("stopped; the same command goes on from here"):
        tyro.cli(make_toy_datasets)
