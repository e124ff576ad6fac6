"""Paint pictures, or a video, as prompts show: pairs of an image and its painted label.

    python tools/paint.py --ckpt assets/painter_toy --prompt room.jpg room_depth.png --input photos --output painted
    python tools/paint.py --ckpt C --prompt a.jpg a.png --prompt b.jpg b.png --input 'photos/**/*.jpg' --output painted
    python tools/paint.py --ckpt C --prompt bank/depth.safetensors --input walk.mp4 --output walk_painted.mp4

Expected: `painted: 12 pictures`. Each input NAME becomes OUTPUT/NAME.png, of its size; with --task also NAME_label,
the label as its data set has it (depth: 16-bit millimetres); with --overlay also NAME_overlay.png. Inputs that
cannot be read are told at the end, with exit status 1, and all others are painted. See docs/USE.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tyro
from PIL import Image

from data.tasks import SOURCES, Task, task_named
from engine.command import NetworkOptions, parse
from engine.fit import ran_out
from engine.infer import Ensemble, Predictor, grid
from engine.inpaint import Prompt
from engine.prompts import SUFFIX, read_prompt_file
from tools.paint_pictures import LABEL, OVERLAY, PICTURES, Input, check_outputs, counted, find_inputs, paint_pictures
from tools.paint_video import Paintings, beside, outputs, paint_video, with_memory
from util.files import check_writable
from util.image import to_rgb
from util.parallel import one_line_errors
from util.video import SUFFIXES, Video


@dataclass(frozen=True)
class Options:
    """What is painted, and how."""

    ckpt: str
    """weights: a run's checkpoint, a file, a folder of tools/export.py, or user/model of a hub"""
    prompt: tyro.conf.UseAppendAction[tuple[tuple[Path, ...], ...]]
    """an image and its painted label, of one size; or a prompt file (.safetensors). Again for more: an ensemble"""
    input: tuple[str, ...]
    """pictures, folders of them, patterns such as 'photos/**/*.jpg' (folders are kept); or one video"""
    output: Path
    """the folder to write; of a video the file, .mp4, which has no sound"""
    task: str | None = None
    """what the prompts show, such as depth: labels are decoded and written, too. Then a target may also be as its
    data set has it, such as 16-bit millimetres"""
    overlay: bool = False
    """write the label drawn over the image, too; without --task the painting over it"""
    ensemble: Ensemble = "feature"
    """of several prompts: feature, slower with each; or spatial, a grid of all of them as one prompt"""
    memory: int = 1
    """of a video: so many last frames, and its first, are prompts for the next one; 0: only the given ones"""
    instances: bool = False
    """tell a SegGPT that the prompts show single objects, and not all of a class"""
    network: NetworkOptions = field(default_factory=NetworkOptions)


def main() -> None:
    """Paint as the command line says."""
    with one_line_errors("stopped; what is painted so far is kept"):
        options = parse(Options, "tools/paint.py", __doc__)
        try:
            paint(options)
        except (RuntimeError, MemoryError) as error:
            if not ran_out(error):
                raise
            raise ValueError("the memory does not hold this; give fewer prompts, or a smaller --size") from None


def paint(options: Options) -> None:
    """Most that can be wrong is told before the network is read."""
    task, inputs = task_named(options.task) if options.task is not None else None, find_inputs(options.input)
    if task:
        task.check_decodes()
    prompts, video = [read_prompt(paths, task) for paths in options.prompt], only_video(inputs)
    check(options, inputs, video)
    network = options.network
    predictor = Predictor.from_pretrained(
        options.ckpt, network.device, network.precision, network.size, network.model
    ).set_prompts(prompts, options.ensemble, options.instances)
    if video:
        _paint_video(options, predictor, prompts, video, task)
        return
    failures = paint_pictures(predictor, inputs, options.output, task, options.overlay)
    print(f"{options.output}: {counted(len(inputs) - len(failures), 'picture')}")
    if failures:
        lines = "\n  ".join(failures)
        raise ValueError(f"{len(failures)} of {counted(len(inputs), 'input')} could not be painted:\n  {lines}")


def _paint_video(
    options: Options, predictor: Predictor, prompts: Sequence[Prompt], video: Video, task: Task | None
) -> None:
    paintings: Paintings = predictor.paintings
    if options.memory:
        given = [grid(prompts, predictor.size)] if options.ensemble == "spatial" else prompts
        paintings = with_memory(predictor, given, options.memory, options.instances)
    paint_video(paintings, video, options.output, task, options.overlay)
    print(f"{options.output}: {counted(video.num_read, 'frame')}")
    video.check_end()


def read_prompt(paths: tuple[Path, ...], task: Task | None) -> Prompt:
    """The pair of two files, or of a prompt file for the task, or its only one."""
    if len(paths) == 2:
        return to_rgb(paths[0]), _target(paths[1], task)
    if len(paths) != 1 or paths[0].suffix != SUFFIX:
        given = " ".join(map(str, paths))
        raise ValueError(f"--prompt {given}: give an image and its painted label, or one prompt file ({SUFFIX})")
    pairs = read_prompt_file(paths[0]).pairs
    if task is None and len(pairs) > 1:
        raise ValueError(f"{paths[0]} holds prompts for {', '.join(pairs)}; say with --task which one to take")
    name = task.name if task else next(iter(pairs))
    if name not in pairs:
        raise ValueError(
            f"{paths[0]} holds no prompt for {name}, only for {', '.join(pairs)}; give another file or --task"
        )
    return pairs[name]


def _target(path: Path, task: Task | None) -> Image.Image:
    """A painted label; of some tasks also a file of their data set, that is no picture for people."""
    try:
        target = to_rgb(path)
    except ValueError:
        if task:
            return task.read_target(path).convert("RGB")
        if not (reader := next((one.name for one in SOURCES.values() if _reads(one, path)), None)):
            raise
        raise ValueError(
            f"{path} is no picture but a label; give the task that reads it, such as --task {reader}"
        ) from None
    is_gray = not np.ptp(np.asarray(target), axis=2).any()
    if task and is_gray and (wrong := task.foreign(target)):
        raise ValueError(f"{path} {wrong}; give the painted label, not class numbers")
    return target


def _reads(task: Task, path: Path) -> bool:
    """Whether it paints this file, as that of its data set."""
    try:
        task.read_target(path)
    except ValueError:
        return False
    return True


def only_video(inputs: Sequence[Input]) -> Video | None:
    """The video that is the only input; None if all are pictures."""
    videos = [one.path for one in inputs if one.path.suffix.lower() in SUFFIXES]
    if videos and len(inputs) > 1:
        raise ValueError(f"{videos[0]} is a video, which takes a command of its own; give it alone, or pictures")
    return Video(videos[0]) if videos else None


def check(options: Options, inputs: Sequence[Input], video: Video | None) -> None:
    """ValueError on numbers out of range, and on an output that cannot be written or would replace what is read."""
    out = options.output
    options.network.check()
    if options.memory < 0:
        raise ValueError(f"--memory {options.memory} must be 0 or more")
    if video and (out.suffix.lower() != ".mp4" or out.is_dir()):
        raise ValueError(f"--output {out} must be a file that ends in .mp4, as the input is a video")
    if video and options.task and (labels := beside(out, LABEL).with_suffix("")).is_dir() and any(labels.iterdir()):
        raise ValueError(f"{labels} holds the labels of another video; remove it, or give another --output")
    if not video and (out.is_file() or out.suffix.lower() in PICTURES):
        raise ValueError(f"--output {out} must be a folder; each painted picture becomes a file in it")
    written = {file.resolve() for file in (outputs(out, options.overlay) if video else [out])}
    for file in (*(one.path for one in inputs), *(path for paths in options.prompt for path in paths)):
        if written & {file.resolve(), *file.resolve().parents}:
            raise ValueError(f"{file} is read, and --output {out} might replace it; give another place")
    if not video:
        check_outputs(inputs, ["", *[LABEL] * (options.task is not None), *[OVERLAY] * options.overlay])
    check_writable(out.parent if video else out, "--output")


if __name__ == "__main__":
    main()
