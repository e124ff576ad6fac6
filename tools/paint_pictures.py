"""Paint many pictures: read ahead, painted in batches, written while the next are painted."""

import glob
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import tee
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from data.tasks import Task
from engine.infer import Predictor, to_picture
from util.files import write_png
from util.image import FORMATS, to_rgb
from util.visualize import blend

AHEAD = 8  # pictures that wait to be painted, and to be written
WRITERS = 2  # each takes a hundred bytes a pixel
HINT = "give pictures, a folder, a pattern such as 'photos/*.jpg', or a video"
PICTURES = {suffix for suffix, kind in Image.registered_extensions().items() if kind in FORMATS}
LABEL, OVERLAY = "_label", "_overlay"  # ends of the names of what is written beside a painting

Item = TypeVar("Item")
Result = TypeVar("Result")


class Input(NamedTuple):
    """A file to paint."""

    path: Path
    name: Path
    """below the folder or the pattern that it is of, without suffix"""


class Painted(NamedTuple):
    """What a painting (3, h, w) shows, in the size of its image."""

    picture: NDArray[np.uint8]
    label: Any
    """decoded; None without a task"""
    overlay: NDArray[np.uint8] | None


def shown(image: Image.Image, painting: Tensor, task: Task | None, overlay: bool) -> Painted:
    """The painting itself, the label that `task` reads in it, and either drawn over the image."""
    size = image.height, image.width
    picture = to_picture(painting, size)
    label = task.label(painting, size) if task else None
    if not overlay:
        return Painted(picture, label, None)
    under = np.asarray(image)
    return Painted(picture, label, task.draw(label, under) if task else blend(under, picture))


def write(found: Painted, task: Task | None, stem: Path) -> None:
    """Into files that begin with `stem`."""
    write_png(stem, found.picture)
    if task:
        task.save(found.label, stem.with_name(stem.name + LABEL))
    if found.overlay is not None:
        write_png(stem.with_name(stem.name + OVERLAY), found.overlay)


def find_inputs(given: Sequence[str]) -> list[Input]:
    """The pictures of files, folders and patterns, in this order, none twice; ValueError where nothing is found."""
    if not given:
        raise ValueError(f"--input is empty; {HINT}")
    found = {path: base for one in given for path, base in _matches(one)}
    inputs = [Input(path, path.relative_to(base).with_suffix("")) for path, base in found.items()]
    if outside := [one.path for one in inputs if ".." in one.name.parts]:
        raise ValueError(f"--input {outside[0]} has '..' after a pattern; give it without")
    return inputs


def _matches(given: str) -> list[tuple[Path, Path]]:
    """Files, each with the folder that their names start from."""
    path = Path(given)
    if path.is_dir():
        files = [file for file in _listed(path, "*") if file.suffix.lower() in PICTURES]
        if not files:
            raise ValueError(f"{path} holds no picture; for folders in it give a pattern such as '{path}/**/*.jpg'")
        return [(file, path) for file in files]
    if path.exists():
        return [(path, path.parent)]
    fixed = next((i for i, part in enumerate(path.parts) if glob.escape(part) != part), len(path.parts))
    base = Path(*path.parts[:fixed])
    if files := _listed(base, str(path.relative_to(base))):
        return [(file, base) for file in files]
    raise ValueError(f"--input {given} matches no file; {HINT}")


def _listed(folder: Path, pattern: str) -> list[Path]:
    """Files in order of their names, without hidden ones."""
    names = sorted(glob.glob(pattern, root_dir=folder, recursive=True))
    return [folder / name for name in names if (folder / name).is_file()]


def counted(num: int, noun: str) -> str:
    """1 picture, 2 pictures."""
    return f"{num} {noun}{'s' * (num != 1)}"


def check_outputs(inputs: Sequence[Input], endings: Iterable[str]) -> None:
    """ValueError if files of two inputs would have one name."""
    taken: dict[str, Path] = {}
    for ending in endings:
        for path, name in inputs:
            if (other := taken.setdefault(f"{name}{ending}", path)) != path:
                raise ValueError(f"{other} and {path} would both become {name}{ending}; paint them into two folders")


def paint_pictures(
    predictor: Predictor, inputs: Sequence[Input], folder: Path, task: Task | None = None, overlay: bool = False
) -> list[str]:
    """Write NAME.png of each input into the folder, and what else is wanted; returns why others were not read."""
    failures: list[str] = []
    known, queries = tee(_readable(inputs, failures))  # holds a batch
    paintings = predictor.paintings(image for _, image in queries)
    jobs = ((name, image, painting) for (name, image), painting in zip(known, paintings, strict=True))
    written = _ahead(partial(_write, folder, task, overlay), jobs, WRITERS)
    deque(tqdm(written, total=len(inputs), unit="picture"), maxlen=0)
    return failures


def _readable(inputs: Sequence[Input], failures: list[str]) -> Iterator[tuple[Path, Image.Image]]:
    """Names and pictures; what is wrong with the others is added to `failures`."""
    for one, image in zip(inputs, _ahead(_read, inputs, 1), strict=True):  # one: Pillow's warnings are off meanwhile
        if isinstance(image, ValueError):
            failures.append(str(image))
        else:
            yield one.name, image


def _read(one: Input) -> Image.Image | ValueError:
    try:
        return to_rgb(one.path)
    except ValueError as error:
        return error


def _write(folder: Path, task: Task | None, overlay: bool, job: tuple[Path, Image.Image, Tensor]) -> None:
    name, image, painting = job
    write(shown(image, painting, task, overlay), task, folder / name)


def _ahead(function: Callable[[Item], Result], items: Iterable[Item], num_threads: int) -> Iterator[Result]:
    """`function` of each item, in order, by threads that are AHEAD items ahead, and not farther."""
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(num_threads) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
