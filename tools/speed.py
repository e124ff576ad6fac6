"""Measure this code beside the plain way to do the same, in turn in one run, and how far the results differ.

    python tools/speed.py all --quick     in minutes, on a CPU or a GPU
    python tools/speed.py train           one kind of work, thoroughly
    python tools/speed.py infer --json    one JSON object: {"rows": [...], "machine": {...}}

| work    | ours                                         | the plain way                                        |
| forward | attention back ends; whole canvases          | explicit attention, in the same precision            |
| train   | optimiser steps, fused                       | explicit attention, AdamW that is not fused          |
| infer   | queries below a prompt, as predictors paint  | whole canvases in explicit float32                   |
| loader  | training samples on one core                 | Pillow and float tensors, as the original's pipeline |
| decode  | paintings to labels on one core              | each pixel against each colour                       |

Times are medians of seconds a sample; errors are relative, to the plain result (of networks: in explicit float32).
On a CPU `train` takes a smaller network; `--quick` decodes smaller pictures, no worst cases. Keep the machine quiet.
"""

import json
import platform
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from tqdm import tqdm
from tyro.conf import Positional

from tools import speed_network
from tools.speed_decode import decode
from tools.speed_loader import rows as loader
from tools.speed_network import Setting
from tools.speed_rows import Row
from util.dist import join_world
from util.parallel import one_line_errors

Work = Literal["forward", "train", "infer", "loader", "decode", "all"]


def main(
    work: Annotated[Positional[Work], tyro.conf.arg(metavar="WORK")],
    quick: bool = False,
    json_: Annotated[bool, tyro.conf.arg(name="json")] = False,
    model: str | None = None,
    canvas: tuple[int, int] = (896, 448),
    batch: int | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Measure one kind of work on this machine, or all.

    Args:
        work: forward, train, infer, loader, decode or all
        quick: fewer repeats, no worst cases
        json_: print one JSON object instead of a table
        model: a registered network; by default painter_vit_large, and painter_vit_small for training on a CPU
        canvas: its height and width in pixels
        batch: canvases of a pass; by default 1 on a CPU, 16 on a GPU
        device: of the network
    """
    with one_line_errors():
        place = join_world(device).device
        is_cpu = place.type == "cpu"
        large = Setting(
            model or "painter_vit_large", canvas, place, (1 if is_cpu else 16) if batch is None else batch, quick
        )
        small = Setting(model or "painter_vit_small", canvas, place, large.batch, quick) if is_cpu else large
        works: dict[str, list[Callable[[], list[Row]]]] = {
            "forward": [lambda: speed_network.attention(large), lambda: speed_network.forward(large)],
            "train": [lambda: speed_network.train(small)],
            "infer": [lambda: speed_network.infer(large)],
            "loader": [lambda: loader(quick)],
            "decode": [lambda: decode(quick)],
        }
        chosen = [part for name, parts in works.items() if work in (name, "all") for part in parts]
        rows = [row for part in tqdm(chosen, "measuring", leave=False) for row in part()]
    print(json.dumps({"rows": [row.flat() for row in rows], "machine": machine(place)}) if json_ else table(rows))


def machine(device: torch.device) -> dict[str, Any]:
    """On what it was measured."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name(),
        "cpu": cpu_name(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def cpu_name() -> str:
    """As the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # no Linux
        return platform.processor() or platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def table(rows: Sequence[Row]) -> str:
    """A line a row."""
    columns = (
        f"{'ours':>10} {'plain':>10} {'ratio':>7} {'error':>8} {'samples/s':>10} {'TFLOP/s':>8} {'share':>6} {'GB':>6}"
    )
    return "\n".join([f"{'work':42} {columns}", *map(_line, rows), *chain(*map(_stages, rows))])


def _line(row: Row) -> str:
    per_second = row.extra.get("samples_per_s", 1 / row.ours_s)
    columns = [("tflop_per_s", ">8.2f"), ("share_of_matmul_rate", ">6.0%"), ("peak_memory_gb", ">6.1f")]
    more = " ".join(format(row.extra[key], form) if key in row.extra else " " * int(form[1]) for key, form in columns)
    return (
        f"{row.work:42} {row.ours_s:8.4f} s {row.baseline_s:8.4f} s {row.ratio:7.1f} {row.rel_error:8.1e} "
        f"{per_second:10.2f} {more}".rstrip()
    )


def _stages(row: Row) -> list[str]:
    """Of a row that tells them, a line each."""
    times = {key: value for key, value in row.extra.items() if key.startswith("stage_") and isinstance(value, float)}
    lines = [f"  {key[6:-2].replace('_', ' '):40} {value * 1e3:8.2f} ms" for key, value in times.items()]
    return [f"stages of a sample, {row.work}:", *lines] if lines else []


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
