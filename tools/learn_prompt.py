"""Learn a prompt for a task: the pixels of a pair are changed until a frozen network paints best below it.

    python tools/learn_prompt.py --task nyuv2_depth --ckpt assets/painter_toy --data_root demo/data --steps 300 \\
        --out bank/depth_learned.safetensors
    python -m eval.nyuv2_depth --ckpt assets/painter_toy --data_root demo/data --prompt bank/depth_learned.safetensors

The queries are the task's training pairs, the loss is that of training. A part of them is held out and says which
state of the prompt is kept; the validation list only measures it, beside prompts drawn from the training list.
Expected: a table of loss and PSNR, the file, its picture beside it and its line in the folder's manifest.json.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.random import Generator
from tqdm import tqdm

from data.pair_dataset import MaskConfig, Sample
from data.pairs import Pair
from data.tasks import Size, Task, task_named
from data.transforms import AugmentConfig
from engine.command import NetworkOptions, parse
from engine.config import DataConfig, LogConfig, OptimConfig, RunConfig, Source
from engine.learn_prompt import MOST_HELD_OUT, BelowPrompt, Halves, Sides, halves, learn, listed_prompt, measure, split
from engine.loaders import Lists, read_lists, train_batches, val_batches
from engine.loss import RELEASED
from engine.precision import Precision, fastest_precision
from engine.pretrained import load_painter, weights_of
from engine.prompts import SUFFIX, check_place, read_prompt_file, save_prompt
from engine.validate import Validation
from eval.results import digest
from eval.search import beside, deviation, mean
from models import Painter
from util.dist import World, join_world
from util.parallel import one_line_errors


@dataclass(frozen=True)
class LearningOptions(NetworkOptions):
    """Which network it is, and how it computes."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """arithmetic of the network; auto: bf16 where the device has instructions for it"""


@dataclass(frozen=True)
class Options:
    """What is learned, of what, and how long."""

    task: str
    """its name, such as nyuv2_depth or depth; for COCO panoptic give 1.25 times the --size of training"""
    ckpt: Path
    """weights: a checkpoint of a run, or the released .pth, or .safetensors"""
    out: Path
    """the prompt file to write, ending in .safetensors; its folder is a prompt bank"""
    data_root: tuple[Path, ...] = (Path("datasets"),)
    """data roots, searched in order"""
    steps: int = 300
    """of Adam"""
    lr: float = 0.03
    """learning rate at first, in normalised values (a standard deviation of photographs is 1); falls to 0"""
    learn: Sides = "both"
    """which side of the pair changes"""
    init: str = "random"
    """where to start: a training pair drawn, one by the end of its file's name without suffix, or a prompt file"""
    randoms: int = 8
    """random prompts that the learned one is compared with"""
    val_limit: int = 256
    """validation pairs that measure, at most"""
    seed: int = 0
    """of all draws"""
    batch_size: int = 8
    """queries of a step"""
    num_workers: int | None = None
    """loader processes; by default one a core, at most 8; on a CPU one"""
    network: LearningOptions = field(default_factory=LearningOptions)

    def check(self) -> None:
        """ValueError on numbers that make no sense."""
        if min(self.steps, self.val_limit, self.batch_size) < 1 or self.seed < 0:
            raise ValueError("--steps, --val_limit and --batch_size must be 1 or more, --seed 0 or more")
        if self.randoms < 2:
            raise ValueError(f"--randoms {self.randoms} must be 2 or more, to have a deviation")
        if not 0 < self.lr <= 100:
            raise ValueError(f"--lr {self.lr} must be above 0 and at most 100")
        self.network.check()


def main() -> None:
    """Learn, compare, write."""
    with one_line_errors():
        options = parse(Options, "tools/learn_prompt.py", __doc__)
        options.check()
        check_place(options.out)
        run(options, task_named(options.task), join_world(options.network.device))


def run(options: Options, task: Task, world: World) -> None:
    """The learning of a task's prompt."""
    painter, trained = load_painter(options.ckpt, options.network.model)
    config = run_config(options, task, painter, trained, world)
    made_of = source(options)
    lists, loss = read_lists(config.data), config.optim.objective
    precision = Precision(config.optim.precision, world.device.type)
    name, pairs, painter = task.name, lists.train[task.name], painter.to(world.device)
    rest, held = split(pairs, options.seed)
    rng, size = np.random.default_rng((options.seed, 1)), (config.model.img_size[0] // 2, config.model.img_size[1])
    begin = first_prompt(options, name, pairs, rng, size)
    drawn = rng.choice(len(pairs), min(options.randoms, len(pairs)), replace=False)
    others = [listed_prompt(options.data_root, pairs[i], size) for i in drawn]

    def batches(val: list[Pair]) -> list[Sample]:
        return list(val_batches(config, Lists({}, {name: val}), name, world))

    def below(prompt: Halves) -> BelowPrompt:
        return BelowPrompt(painter, *prompt, options.learn).to(world.device)

    training = train_batches(config, Lists({name: rest}, {}), world, range(options.steps))
    found = learn(below(begin), training, batches(held), options.steps, options.lr, world, precision, loss)
    val = batches(lists.val[name][: options.val_limit])
    before, after, *random = (
        measure(below(prompt), val, world, precision, loss)
        for prompt in tqdm([begin, found.prompt, *others], "compare")
    )
    print(table(name, before, after, random, found.step))
    scores = {key: beside(getattr(after, key), [getattr(one, key) for one in random]) for key in ("loss", "psnr")}
    facts = {"kind": "learned", "source": made_of | {"best_step": found.step}, "size": size, "score": scores}
    save_prompt(options.out, {name: found.prompt}, facts)
    print(options.out)


def run_config(options: Options, task: Task, painter: Painter, trained: dict[str, Any], world: World) -> RunConfig:
    """Loading and arithmetic, as of a training run of this task alone, its query halves hidden; nothing is written.

    `trained`: the config of the network's own run, which tells how targets were resized.
    """
    fast: Literal["bf16", "fp32"] = "bf16" if fastest_precision(world.device) == "bf16" else "fp32"
    source = Source(task.lists["train"], 1.0, task.lists["val"], trained.get(f"data.sources.{task.name}.target_interp"))
    precision = fast if options.network.precision == "auto" else options.network.precision
    canvas = (2 * side, side) if (side := options.network.size) else painter.config.img_size
    return RunConfig(
        DataConfig(
            {task.name: source},
            options.data_root,
            MaskConfig(half_ratio=1.0),
            AugmentConfig(crop_scale=(0.6, 1.0), jitter=0.0),
            options.num_workers,
        ),
        Path("unused"),
        replace(painter.config, img_size=canvas),
        OptimConfig(
            steps=options.steps,
            global_batch=options.batch_size,
            micro_batch=options.batch_size,
            precision=precision,
            darkest=trained.get("optim.darkest", RELEASED.darkest),
        ),
        LogConfig(val_limit=max(options.val_limit, MOST_HELD_OUT)),
        seed=options.seed,
    )


def first_prompt(options: Options, task: str, pairs: Sequence[Pair], rng: Generator, size: Size) -> Halves:
    """Where to start; ValueError if there is no such pair or file."""
    if options.init.endswith(SUFFIX):
        stored = read_prompt_file(Path(options.init)).pairs
        if task not in stored:
            raise ValueError(f"{options.init} is a prompt for {', '.join(stored)}, not for {task}")
        return halves(stored[task], size)
    if options.init == "random":
        return listed_prompt(options.data_root, pairs[int(rng.integers(len(pairs)))], size)
    for pair in pairs:
        if f"/{PurePosixPath(pair.image_path).with_suffix('')}".endswith(f"/{options.init}"):
            return listed_prompt(options.data_root, pair, size)
    raise ValueError(
        f"--init {options.init}: no image of {pairs[0].listed_in} ends so; "
        f"such as {PurePosixPath(pairs[0].image_path).with_suffix('')}, random, or a prompt file ({SUFFIX})"
    )


def table(name: str, before: Validation, after: Validation, random: Sequence[Validation], step: int) -> str:
    """Loss and PSNR on validation pairs."""
    losses, psnrs = ([getattr(one, key) for one in random] for key in ("loss", "psnr"))
    lines = {
        f"{len(random)} random prompts, mean": (mean(losses), mean(psnrs)),
        "    deviation": (deviation(losses), deviation(psnrs)),
        "    the best of them": (min(losses), max(psnrs)),
        "before learning": (before.loss, before.psnr),
        f"learned, after {step} steps": (after.loss, after.psnr),
    }
    rows = [f"{title:32} {loss:9.4f} {psnr:9.2f}" for title, (loss, psnr) in lines.items()]
    return "\n".join([f"{f'{name}, on validation pairs':32} {'loss':>9} {'PSNR, dB':>9}", *rows])


def source(options: Options) -> dict[str, Any]:
    """Of what a prompt is made, for its file; of another file its name, for the rest of its path is of this machine."""
    keys = ("steps", "lr", "learn", "seed", "batch_size")
    begin = Path(options.init).name if options.init.endswith(SUFFIX) else options.init
    made_of = {key: getattr(options, key) for key in keys}
    return made_of | {"init": begin, "checkpoint": digest(weights_of(options.ckpt))}


if __name__ == "__main__":
    main()
