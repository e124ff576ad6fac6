"""Results of benchmarks: found, checked, and chosen for a row of the paper's tables."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from eval.paper import HEADLINE, PROMPTS, TITLES

Slot = tuple[str, str | float]  # training and kind of prompt; or "oracle" and its noise
PROBE = ("training", "under way")  # the slot of a network that was measured while it was trained: in no table
MOST_DIGITS = 16  # of a whole number
WRITER = "`python -m eval.NAME`"
WORDS = {dict: "an object", str: "text", int: "an integer", float: "a fraction", bool: "a boolean", None: "null"}
KEYS: dict[str, tuple[Any, ...]] = {  # of a results.json: types and values; a dot leads into an object
    "benchmark": tuple(TITLES),
    "metrics": (dict,),
    "prompt": (dict, None),
    "prompt.name": (str,),
    "prompt.kind": (*PROMPTS, "given"),
    "checkpoint": (dict, None),
    "checkpoint.sha256": (str,),
    "oracle": (dict, None),
    "oracle.noise": (int, float),
    "training": ("joint", "separate", None),
    "variant": (str, None),
    "seed": (int, None),
    "num_images": (int,),
    "num_expected": (int,),
    "complete": (bool,),
}


class Result(NamedTuple):
    """A results.json that was found and checked."""

    path: Path
    content: dict[str, Any]
    written: float = 0
    """when, seconds"""

    @property
    def slot(self) -> Slot:
        """What it may fill; a checkpoint that does not tell its training counts as joint, which the released are."""
        if self.content["oracle"] is not None:
            return "oracle", float(self.content["oracle"]["noise"])
        if self.content["checkpoint"] is None:
            return PROBE
        return self.content["training"] or "joint", self.content["prompt"]["kind"]

    @property
    def run(self) -> tuple[Any, ...]:
        """Alike for results of the same run."""
        prompt, checkpoint = self.content["prompt"] or {}, self.content["checkpoint"] or {}
        name, sha256 = prompt.get("name"), checkpoint.get("sha256")
        return self.content["benchmark"], self.slot, name, sha256, self.content["seed"], self.content["variant"]

    @property
    def series(self) -> tuple[Any, ...]:
        """Alike for results of one training run, whose checkpoints are no repetitions of each other."""
        return self.content["benchmark"], self.slot, (self.content["prompt"] or {}).get("name"), self.content["seed"]

    @property
    def reach(self) -> tuple[bool, bool, int]:
        """Larger for a result that is made as the paper's, and for one on more images."""
        return self.content["variant"] is None, self.content["complete"], self.content["num_images"]

    @property
    def comparable(self) -> bool:
        """Whether it is made as the paper's scores, on all images."""
        return self.content["complete"] and self.content["variant"] is None


def read_results(folders: Sequence[Path]) -> list[Result]:
    """Every results.json below the folders, checked, sorted by path; ValueError names what is wrong."""
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"{folder} is not a folder; name one that {WRITER} wrote to")
    found = {path.resolve(): path for folder in folders for path in folder.rglob("results.json")}
    if not found:
        raise ValueError(f"no results.json is below {', '.join(map(str, folders))}; {WRITER} writes them")
    return [Result(path, _read(path), path.stat().st_mtime) for path in sorted(found.values())]


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes(), parse_constant=_refuse, parse_float=_float, parse_int=_int)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}); write it again with {WRITER}") from None
    try:
        _check(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; write it again with {WRITER}") from None
    return content


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant[:20]} where a number or null is due")


def _float(digits: str) -> float:
    return value if math.isfinite(value := float(digits)) else _refuse(digits)


def _int(digits: str) -> int:
    return int(digits) if len(digits) < MOST_DIGITS else _refuse(digits)


def _check(content: Any) -> None:
    """ValueError unless a result holds what the tables need."""
    if not isinstance(content, dict):
        raise ValueError("it holds no object")
    metrics = HEADLINE.get(str(content.get("benchmark")), ())
    for key, allowed in (KEYS | {f"metrics.{name}": (int, float, None) for name in metrics}).items():
        outer, _, name = key.rpartition(".")
        holder = content[outer] if outer else content
        if holder is None:
            continue
        if name not in holder:
            raise ValueError(f"it lacks {key}")
        if type(holder[name]) not in allowed and holder[name] not in allowed:
            right = " or ".join(WORDS.get(x, str(x)) for x in allowed)
            raise ValueError(f"{key} is {json.dumps(holder[name])} where {right} is due")
    if content["prompt"] is None and content["oracle"] is None:
        raise ValueError("prompt and oracle are both null")


def pick(results: Sequence[Result], benchmark: str, slots: Sequence[Slot]) -> list[Result]:
    """What a row shows of a benchmark: of the first slot filled the results of most reach, the latest of a series."""
    for slot in slots:
        if found := [r for r in distinct(results) if r.slot == slot and r.content["benchmark"] == benchmark]:
            most = max(result.reach for result in found)
            ranked = sorted((result for result in found if result.reach == most), key=lambda result: result.written)
            return sorted({result.series: result for result in ranked}.values(), key=lambda result: result.path)
    return []


def distinct(results: Sequence[Result]) -> list[Result]:
    """Of each run the result on most images, the latest of several."""
    ranked = sorted(results, key=lambda result: (result.reach, result.written))
    return sorted({result.run: result for result in ranked}.values(), key=lambda result: result.path)
