"""Does a Painter follow its prompt, or does it guess the task from the query? Four measurements, and pictures.

    python tools/follow_prompt.py assets/painter_toy demo/data --out_dir follow

1. Queries that leave the task open, painted below prompts of each task: whose truth does the output fit best?
2. Class colours that training has not seen, permuted or all new: does the output take up those of the prompt?
3. Damages that no training pair repairs; 4. noise and rain at once: does only that go whose prompt is given?

Expected: the tables, printed and in follow.md; the numbers in follow.json; follow.png, palette.png, restorations.png.
The queries are rendered, or made of photographs that training has not seen, as `--seed` says; see docs/EXPERIMENTS.md.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from numpy.random import Generator
from tqdm import tqdm, trange

from data.tasks import Task
from data.tasks.base import Picture
from data.tasks.semantic import ADE20K_SEMANTIC, COCO_SEMANTIC, Semantic
from data.transforms import Size
from engine.command import NetworkOptions, parse
from engine.infer import Predictor
from engine.inpaint import Prompt
from tools.follow.confusion import Confusion, confusion
from tools.follow.palette import Drawn, Kept, draw, measure
from tools.follow.pictures import follow_picture, palette_picture, restorations_picture
from tools.follow.queries import (
    LABELS,
    RESTORATIONS,
    Paint,
    Query,
    damaged,
    damaged_scene,
    drawn_prompts,
    photograph,
    scene,
)
from tools.follow.restoration import (
    TRAINED,
    UNSEEN,
    Restored,
    Separated,
    degraded,
    mixed,
    restored,
    separated,
    unseen_prompts,
)
from tools.follow.tables import Results
from util.files import check_writable, write
from util.parallel import one_line_errors
from util.tables import markdown
from util.visualize import save_png

SHOWN = 2  # queries of each kind in follow.png
OPEN: dict[str, Callable[[Generator, int], Query]] = {
    "scenes": lambda rng, number: scene(rng),
    "photographs below noise, rain and darkness": lambda rng, number: damaged(photograph(rng, number), rng),
    "scenes below noise and rain": lambda rng, number: damaged_scene(rng),
}

Prompts = dict[Task, list[Prompt]]


@dataclass(frozen=True)
class Options:
    """Whose prompts are tried, on what."""

    ckpt: Annotated[str, tyro.conf.Positional]
    """weights: a run's checkpoint, a file, a folder of tools/export.py, or user/model of a hub"""
    data_root: Annotated[Path, tyro.conf.Positional]
    """a prepared toy world, whose training pairs are the prompts"""
    out_dir: Path = Path("follow")
    """the folder to write"""
    limit: int = 24
    """queries of each kind"""
    draws: int = 3
    """prompts drawn for each task; results are means over them"""
    seed: int = 0
    """of queries and prompts"""
    network: NetworkOptions = field(default_factory=NetworkOptions)

    def check(self) -> None:
        """ValueError on numbers that measure nothing."""
        if self.limit < SHOWN or self.draws < 1 or self.seed < 0:
            raise ValueError(f"--limit must be {SHOWN} or more, --draws 1 or more, --seed 0 or more")
        self.network.check()

    def rng(self, name: str) -> Generator:
        """A stream of its own for each part."""
        return np.random.default_rng((self.seed, *name.encode()))


def main() -> None:
    """Measure, write, print."""
    with one_line_errors():
        options = parse(Options, "tools/follow_prompt.py", __doc__)
        options.check()
        check_writable(options.out_dir, "--out_dir")
        print(run(options))


def run(options: Options) -> str:
    """Write everything; returns the tables."""
    (paint, size), rng = painter(options), options.rng("prompts")
    prompts = {task: drawn_prompts([options.data_root], task, options.draws, rng) for task in (*LABELS, *RESTORATIONS)}
    results = Results(
        confusions(options, paint, prompts),
        palettes(options, paint),
        *restorations(options, paint, size, prompts),
    )
    text = "\n".join(map(markdown, results.tables()))
    write(options.out_dir / "follow.json", json.dumps(results.numbers(), indent=1).encode())
    write(options.out_dir / "follow.md", text.encode())
    return text


def painter(options: Options) -> tuple[Paint, Size]:
    """The network as a function of a prompt and queries, and (h, w) of half its canvas."""
    network = options.network
    predictor = Predictor.from_pretrained(options.ckpt, network.device, network.precision, network.size, network.model)

    def paint(prompt: Prompt, images: Sequence[Picture]) -> list[Picture]:
        return predictor.set_prompts([prompt]).paint(list(images))

    return paint, predictor.size


def confusions(options: Options, paint: Paint, prompts: Prompts) -> dict[str, Confusion]:
    """Of each kind of queries that leave the task open; and follow.png."""
    queries = {
        name: [make(options.rng(f"{name} {i}"), i) for i in trange(options.limit, desc=name, unit="query")]
        for name, make in OPEN.items()
    }
    shown = {f"{name} {i + 1}": found[i] for name, found in queries.items() for i in range(SHOWN)}
    picture = follow_picture(paint, shown, {task: given[0] for task, given in prompts.items()})
    save_png(options.out_dir / "follow.png", picture)
    return {name: confusion(paint, found, prompts, f"below all prompts: {name}") for name, found in queries.items()}


def palettes(options: Options, paint: Paint) -> dict[str, dict[str, Kept]]:
    """Of each task that paints classes and kind of colours; and palette.png."""
    rng = options.rng("palette")
    drawn: dict[Semantic, list[Drawn]] = {
        task: draw([options.data_root], task, options.draws, options.limit, rng)
        for task in (ADE20K_SEMANTIC, COCO_SEMANTIC)
    }
    save_png(options.out_dir / "palette.png", palette_picture(paint, drawn, rng))
    return {task.name: measure(paint, task, found, rng) for task, found in drawn.items()}


def restorations(
    options: Options, paint: Paint, size: Size, prompts: Prompts
) -> tuple[dict[str, Restored], dict[str, Separated]]:
    """Of each damage, and of noise and rain at once below each prompt; and restorations.png."""
    rng, trained = options.rng("restorations"), {task: prompts[task] for task in RESTORATIONS}
    own = {name: unseen_prompts(damage, options.draws, rng) for name, damage in UNSEEN.items()}
    pairs = {name: degraded(damage, options.limit, rng) for name, damage in UNSEEN.items()}
    known = {task: degraded(damage, options.limit, rng) for task, damage in TRAINED.items()}
    photos = [mixed(rng, number) for number in range(options.limit)]
    shown = {name: (own[name][0], *pairs[name][0]) for name in UNSEEN}
    picture = restorations_picture(paint, shown, photos[0], {task: given[0] for task, given in trained.items()})
    save_png(options.out_dir / "restorations.png", picture)
    found = {name: restored(paint, pairs[name], own[name], trained) for name in tqdm(UNSEEN, unit="damage")}
    for task, pair in known.items():
        others = {other: given for other, given in trained.items() if other != task}
        found[task.name] = restored(paint, pair, prompts[task], others)
    return found, separated(paint, photos, prompts, size)


if __name__ == "__main__":
    main()
