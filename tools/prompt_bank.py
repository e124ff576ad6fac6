"""A prompt bank: a folder of prompt files with a manifest that says where each is from, its SHA-256 and its score.

    python tools/prompt_bank.py list bank
    python tools/prompt_bank.py add bank/lamp.safetensors --task nyuv2_depth room.jpg room_depth.png
    python tools/prompt_bank.py join bank/panoptic.safetensors bank/instance.safetensors bank/semantic.safetensors
    python tools/prompt_bank.py check bank

`add` keeps a pair of your own, image and painted label; `join` makes one file of files for different tasks, as a
benchmark of two takes it; `check` expects `ok`, or says what is wrong, a line each, with exit status 1.
"""

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from data.tasks import task_named
from engine.prompts import check_place, faults, read_manifest, read_prompt_file, save_prompt
from util.image import to_rgb
from util.parallel import one_line_errors


def show(bank: Positional[Path]) -> None:
    """Print what is in a bank.

    Args:
        bank: its folder
    """
    if not (listed := read_manifest(bank)):
        raise ValueError(f"{bank} holds no prompts")
    width = max(map(len, listed))
    for name, facts in listed.items():
        scores = ", ".join(f"{key} {told(value)}" for key, value in facts.get("score", {}).items())
        print(f"{name:{width}}  {facts.get('kind', 'given'):8}  {', '.join(facts.get('tasks', ()))}  {scores}".rstrip())


def told(score: Mapping[str, float]) -> str:
    """A score beside that of random prompts."""
    prompt, random, deviation = (score.get(key, math.nan) for key in ("prompt", "random", "deviation"))
    return f"{prompt:.4g} (random {random:.4g} ± {deviation:.2g})"


def add(
    out: Positional[Path],
    image: Positional[Path],
    target: Positional[Path],
    task: Annotated[str, tyro.conf.arg(metavar="TASK")],
) -> None:
    """Keep a pair of your own.

    Args:
        out: the prompt file to write, ending in .safetensors
        image: a picture
        target: its painted label, of the same size
        task: which one the label shows, such as nyuv2_depth
    """
    name, pair = task_named(task).name, (to_rgb(image), to_rgb(target))
    if pair[0].size != pair[1].size:
        raise ValueError(f"{image} and {target} are of different sizes; give the painted label of this very image")
    save_prompt(out, {name: pair}, {"kind": "given", "source": {"image": str(image), "target": str(target)}})
    print(out)


def join(out: Positional[Path], parts: Positional[tuple[Path, ...]]) -> None:
    """Make one prompt file of several that are for different tasks.

    Args:
        out: the prompt file to write, ending in .safetensors
        parts: prompt files
    """
    if len(parts) < 2:
        raise ValueError("give two or more prompt files to join")
    check_place(out)
    stored = [read_prompt_file(part) for part in parts]
    tasks = [task for one in stored for task in one.pairs]
    if len(set(tasks)) < len(tasks):
        raise ValueError(f"these files are for {', '.join(tasks)}; give one for each task")
    kinds = {str(one.facts.get("kind", "given")) for one in stored}
    facts = {
        "kind": kinds.pop() if len(kinds) == 1 else "given",
        "source": {part.stem: one.facts.get("source") for part, one in zip(parts, stored, strict=True)},
    }
    save_prompt(out, {task: pair for one in stored for task, pair in one.pairs.items()}, facts)
    print(out)


def check(bank: Positional[Path]) -> None:
    """Say whether all files of a bank are there, whole, and those that were listed.

    Args:
        bank: its folder
    """
    if not bank.is_dir():
        raise ValueError(f"{bank} is not a folder")
    found = faults(bank)
    if not found and not read_manifest(bank):
        raise ValueError(f"{bank} holds no prompts")
    print("\n".join(found) or "ok")
    sys.exit(bool(found))


if __name__ == "__main__":
    with one_line_errors():
        tyro.extras.subcommand_cli_from_dict(
            {"list": show, "add": add, "join": join, "check": check}, description=__doc__, use_underscores=True
        )
