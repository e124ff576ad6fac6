"""What the page of tools/web_demo.py does: uploads, drawings and banks become prompts, and queries paintings."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.tasks import Task
from engine.fit import ran_out
from engine.infer import Ensemble, Predictor
from engine.inpaint import Prompt, picture_of
from engine.prompts import SUFFIX, read_manifest, read_prompt_file
from tools.paint import read_prompt
from tools.paint_pictures import LABEL, Painted, shown, write
from util.files import write_png
from util.image import to_rgb

ADDRESS = "127.0.0.1"  # of the page: no other machine reaches it
PAGE_PIXELS = 13_000_000  # a telephone's photograph; decoding 100 instances in it takes 3 GB
MAX_PROMPTS, MAX_QUERIES = 8, 16
NO_MEMORY = "there is not enough memory for this; give fewer prompts, or smaller pictures"

Found = TypeVar("Found")


def uploaded(images: Sequence[str], targets: Sequence[str], task: Task | None) -> list[Prompt]:
    """Prompt pairs of uploaded files, the first image with the first label; ValueError unless as many are given.

    With a task labels may also be as its data set has them.
    """
    if len(images) != len(targets):
        raise ValueError(f"{len(images)} prompt images but {len(targets)} labels are given; give each image its label")
    _check_number(images, MAX_PROMPTS, "prompts")
    for image in images:
        read_upload(image)  # labels are of the same size
    return [_named(lambda *files: read_prompt(files, task), *pair) for pair in zip(images, targets, strict=True)]


def drawn(image: str | None, layers: Sequence[NDArray[np.uint8]]) -> list[Prompt]:
    """The pair of an uploaded image and the mask that was drawn on it."""
    if image is None:
        raise ValueError("there is no image to draw on; upload one")
    photo = read_upload(image)
    return [(photo, drawn_target(layers, photo.size))]


def drawn_target(layers: Sequence[NDArray[np.uint8]], size: tuple[int, int]) -> Image.Image:
    """The painted label of `size` (width, height), white where any layer (h, w, RGBA) is drawn on, else black."""
    masks = [Image.fromarray(layer[..., 3]).resize(size, Image.Resampling.BILINEAR) for layer in layers]
    mask = np.any([np.asarray(mask) > 127 for mask in masks], axis=0)
    if not mask.any():
        raise ValueError("nothing is drawn yet; mark with the brush what the network shall find")
    return Image.fromarray(mask).convert("RGB")


def bank_choices(bank: Path) -> list[str]:
    """`NAME: TASK` of each pair of a prompt bank, sorted; ValueError if there is none."""
    listed = {name: facts for name, facts in read_manifest(bank).items() if _file(bank, name).is_file()}
    choices = [f"{name}: {task}" for name, facts in sorted(listed.items()) for task in facts.get("tasks", ())]
    if not choices:
        raise ValueError(f"--bank {bank} lists no prompts; tools/prompt_bank.py and tools/search_prompt.py make a bank")
    return choices


def banked(bank: Path, choices: Sequence[str]) -> list[Prompt]:
    """The pairs of these choices; ValueError on a file that is broken or not there any more."""
    _check_number(choices, MAX_PROMPTS, "prompts")
    return [_stored(bank, *choice.rsplit(": ", 1)) for choice in choices]


def _stored(bank: Path, name: str, task: str) -> Prompt:
    pairs = read_prompt_file(_file(bank, name)).pairs
    if task not in pairs:
        raise ValueError(f"{name} holds no prompt for {task}, in spite of the bank's manifest; write it again")
    return pairs[task]


def read_queries(files: Sequence[str]) -> dict[str, Image.Image]:
    """Uploaded queries by a name that is their own; ValueError on none, too many, or a bad one."""
    if not files:
        raise ValueError("no query is given; upload an image to paint")
    _check_number(files, MAX_QUERIES, "queries")
    return {f"{number}_{Path(file).stem}": read_upload(file) for number, file in enumerate(files, 1)}


def read_upload(file: str) -> Image.Image:
    """An uploaded picture; ValueError says, by the name that the user knows, what is wrong with it."""
    return _named(_small, file)


def paint(
    predictor: Predictor,
    queries: Mapping[str, Image.Image],
    prompts: Sequence[Prompt],
    ensemble: Ensemble,
    instances: bool,
    task: Task | None,
    folder: Path,
) -> Iterator[tuple[str, Painted]]:
    """Paint all queries, write as tools/paint.py does what they show, and yield it; the predictor stays as it is.

    Prompts are written, too: what was drawn is nowhere else.
    """
    prompted = copy(predictor).set_prompts(prompts, ensemble, instances)  # of the same network
    for number, pair in enumerate(prompts, 1):
        for end, side in zip(("", LABEL), pair, strict=True):
            write_png(folder / f"prompt_{number}{end}", picture_of(side))
    for name, image in queries.items():
        (painting,) = prompted.paintings([image])
        found = shown(image, painting, task, overlay=True)
        write(found, task, folder / name)
        yield name, found


def sentence(error: Exception) -> str:
    """What the user of the page is told."""
    if ran_out(error):
        return NO_MEMORY
    if isinstance(error, ValueError | OSError):
        return str(error)
    return f"an unforeseen {type(error).__name__} happened; the terminal tells more, and the page goes on"


def _named(read: Callable[..., Found], *files: str) -> Found:
    """Read uploads; errors leave out their folders, which users do not know."""
    paths = [Path(file) for file in files]
    try:
        return read(*paths)
    except ValueError as error:
        message = str(error)
        for path in paths:
            message = message.replace(str(path), path.name)
        raise ValueError(message) from None


def _small(path: Path) -> Image.Image:
    image = to_rgb(path)
    if image.width * image.height > PAGE_PIXELS:
        found = f"{image.width} x {image.height} pixels"
        raise ValueError(f"{path} has {found}, more than the {PAGE_PIXELS} of this page; shrink it")
    return image


def _check_number(given: Sequence[Any], most: int, kind: str) -> None:
    if len(given) > most:
        raise ValueError(f"{len(given)} {kind} are given, and this page takes {most} at most")


def _file(bank: Path, name: str) -> Path:
    return bank / f"{name}{SUFFIX}"
