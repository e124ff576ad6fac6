"""What a run leaves: results.json, a line for humans, and pictures of its best, median and worst query."""

import hashlib
import json
import math
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from engine.inpaint import Prompt as PromptPair
from engine.inpaint import picture_of
from eval.benchmark import Benchmark, Case, Picture, Query, Record
from eval.painters import Paints
from eval.paper import METRICS, PAPER
from util.files import write
from util.image import to_uint8
from util.sealed import SEAL
from util.visualize import panels, save_png

PACKAGES = ("painter", "torch", "numpy", "pillow", "opencv-python-headless", "scipy", "scikit-image", "pycocotools")


def write_results(folder: Path, content: Mapping[str, Any]) -> Path:
    """results.json, strictly JSON: what is not a number is null."""
    file = folder / "results.json"
    write(file, json.dumps(_finite(content), indent=1, allow_nan=False).encode())
    return file


def known_results(folder: Path) -> dict[str, Any]:
    """What an earlier run wrote to results.json; empty if there is none, or none that can be read."""
    try:
        content = json.loads((folder / "results.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def line(benchmark: Benchmark, content: Mapping[str, Any]) -> str:
    """The headline metrics of a results.json beside the paper's."""
    metrics = content["metrics"]
    columns = [metric for metric in METRICS if metric.benchmark == benchmark.name]
    shown = [
        f"{column.title} {metrics[column.name]:.{column.decimals}f}"
        f" (paper {PAPER[benchmark.name][column.name]:.{column.decimals}f})"
        for column in columns
    ]
    part = "" if content["complete"] else f", not the official {benchmark.num_expected}: not comparable"
    return f"{benchmark.name}: {', '.join(shown)}; {content['num_images']} images{part}"


def versions() -> dict[str, str]:
    """Of Python and the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def digest(path: Path) -> str:
    """The SHA-256 of a file, or of the seal of a checkpoint, which has those of its files."""
    with (path / SEAL if path.is_dir() else path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def show_some(
    benchmark: Benchmark,
    paints: Paints,
    prompt: Sequence[PromptPair],
    queries: Sequence[Query],
    records: Sequence[Record],
    folder: Path,
) -> list[dict[str, Any]]:
    """Paint the best, the median and the worst query once more, into folder/shown; what results.json says of them."""
    quality = [benchmark.quality(record) for record in records]
    order = sorted((i for i, value in enumerate(quality) if not math.isnan(value)), key=lambda i: -quality[i])
    if not order:
        return []
    ranks = {order[len(order) // 2]: "median", order[-1]: "worst", order[0]: "best"}  # of few, some are the same
    found = []
    for i, rank in sorted(ranks.items(), key=lambda item: order.index(item[0])):
        strip = _strip(benchmark, paints, prompt, benchmark.read(queries[i]))
        save_png(folder / "shown" / f"{rank}.png", panels(strip))
        about = {"rank": rank, "name": queries[i].name, "scores": benchmark.scores(records[i])}
        found.append({**about, "file": f"shown/{rank}.png", "columns": list(strip)})
    return found


def _strip(benchmark: Benchmark, paints: Paints, prompt: Sequence[PromptPair], case: Case) -> dict[str, Picture]:
    """Prompt, query, paintings, decoded, truth, error."""
    (painted,) = paints.paint([paints.prepare(case)])
    tasks = benchmark.tasks
    first = [painted[benchmark.views.index(task)] for task in tasks]  # of each task; not the mirror image too
    name = dict(zip(tasks, [""] if len(tasks) == 1 else [f" {task.name}" for task in tasks], strict=True))
    columns = {"prompt": picture_of(prompt[0][0])} if prompt else {}
    for task, (_, target) in (dict(zip(tasks, prompt, strict=True)) if prompt else {}).items():
        columns[f"prompt target{name[task]}"] = picture_of(target)
    columns["query"] = np.asarray(case.images[0].convert("RGB"))
    columns |= {f"painted{name[t]}": to_uint8(x) for t, x in zip(tasks, first, strict=True)}
    return columns | dict(benchmark.show(benchmark.decode(painted, case), case))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(child) for child in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
