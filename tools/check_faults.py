"""Kill a training run again and again, and see that nothing is lost.

    python tools/check_faults.py                                             20 kills of one process: five minutes
    python tools/check_faults.py --ranks 2 --parallel fsdp --folder /shared/faults    on the file system of your choice

A tiny run is trained once in peace. Then the same command is started, killed and started again, at moments and in ways
that --seed deals; meanwhile disks fill up and checkpoints are damaged. Expected: a row a kill, then "20 kills, N inside
a save, all resumes bit-equal" with N of 6 or more, and exit status 0. What differs, hangs or ends with a wrong status
is told in its row; all that was printed is then kept, and the exit status is 1. Linux, CPU.
"""

import json
import random
import re
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count, cycle, islice
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro
from tqdm import tqdm

from engine.checkpoint import LAST
from models.weights import read_weights
from tools.faults import KINDS, REPOSITORY, Fault, Launch, checkpoints, losses, newest
from util.files import write_png
from util.sealed import check_seal

STEPS, SAVE_EVERY, CHAIN = 90, 4, 5  # of a run; kills of a run
DEAL = ("in_save", "at_once", "one_rank", "in_save", "sigterm", "full_disk", "damage", "in_save", "sigusr1", "start_up")
HEADER = "kill  kind       moment       step  saving  resumed  verdict"
CONFIG = """from pathlib import Path
from engine.config import DataConfig, LogConfig, OptimConfig, RunConfig, Source
from models import model_config
config = RunConfig(
    model=model_config("painter_vit_tiny", img_size=(64, 32), embed_dim=48, depth=4, num_heads=2, decoder_embed_dim=4),
    data=DataConfig({"derain": Source("derain.json", 1.0, "derain.json"), "depth": Source("depth.json", 2.0)}),
    optim=OptimConfig(warmup=10, global_batch=4, micro_batch=1, precision="fp32"),
    log=LogConfig(every=1, val_every=25, val_limit=2, pictures=1),
    out_dir=Path("run"),
    device="cpu",
)
"""


@dataclass
class Row:
    """A kill, and what became of the run."""

    kind: str
    seconds: float = 0.0
    step: int = 0
    saving: bool = False
    expected: int = 0
    """the step from which the next launch should go on"""
    resumed: int | None = None
    faults: list[str] = field(default_factory=list)

    def text(self, number: int) -> str:
        """A line of the table."""
        saving, resumed = "yes" if self.saving else "no", "-" if self.resumed is None else self.resumed
        verdict = "; ".join(self.faults) or "bit-equal"
        return f"{number:4d}  {self.kind:9s} {self.seconds:6.2f} s  {self.step:5d}  {saving:6s} {resumed:>7}  {verdict}"


def chain(start: Callable[[], Launch], kinds: Sequence[str], reference: Path, rng: random.Random) -> list[Row]:
    """Kill a run in these ways, as far as its length has room for them, then let it finish; ends at a fault."""
    rows: list[Row] = []
    for left, kind in zip(range(len(kinds), 0, -1), kinds, strict=True):
        launch = start()
        room = STEPS - 3 * SAVE_EVERY - launch.begin
        rows.append(strike(launch, kind, rng.randint(1, 1 + max(0, 2 * room // (left + 1))), rng))
        judge(rows[-2:], launch, reference)
        if any(row.faults for row in rows):
            return rows
        if newest(launch.folder) > STEPS - 4 * SAVE_EVERY:
            break
    launch, end = start(), Row("end")
    try:
        if status := launch.end():
            raise Fault(f"the end has status {status}")
        judge([rows[-1], end], launch, reference)
        if not same_end(launch.folder, reference):
            raise Fault("another end than in peace")
    except (Fault, ValueError) as fault:
        end.faults.append(f"{fault}: {launch.output}")
    rows[-1].faults += end.faults
    return rows


def strike(launch: Launch, kind: str, steps: int, rng: random.Random) -> Row:
    """Let it take so many steps, kill it, and look at what is left."""
    row = Row(kind)
    try:
        if kind != "start_up":
            launch.wait(lambda: launch.step() >= launch.begin + steps)
            time.sleep(rng.uniform(0, 0.1))
        KINDS[kind](launch, rng)
        if launch.resumed() is not None:  # else, one may be damaged from the kill before
            whole = checkpoints(launch.folder)
            for path in whole[:-1] if kind == "damage" else whole:
                check_seal(path)
    except (Fault, ValueError) as fault:
        launch.kill()
        row.faults.append(f"{fault}: {launch.output}")
    row.seconds, row.step = time.monotonic() - launch.started, launch.step()
    row.saving = launch.saving() and launch.resumed() is not None
    row.expected = newest(launch.folder, 2 if kind == "damage" else 1)
    return row


def judge(rows: Sequence[Row], launch: Launch, reference: Path) -> None:
    """What `launch`, which ended with the last of `rows`, shows of the kill before it."""
    before, last = rows[0], rows[-1]
    resumed, ours, right = launch.resumed(), losses(launch.folder), losses(reference)
    if resumed is None:
        last.expected = before.expected
    if len(rows) > 1:
        before.resumed = resumed
    if resumed not in (None, before.expected if len(rows) > 1 else 0):
        before.faults.append(f"expected to go on from {before.expected}: {launch.output}")
    if ours != right[: len(ours)]:
        before.faults.append(f"other losses: {launch.output}")
    if found := re.search("terminate called|Fatal Python error", launch.text()):
        last.faults.append(f"{found[0]}: {launch.output}")


def same_end(folder: Path, reference: Path) -> bool:
    """Whether both runs took the same steps to the same weights, to the bit."""
    ours, right = (read_weights(path / LAST) for path in (folder, reference))
    same = ours.keys() == right.keys() and all(torch.equal(ours[name], right[name]) for name in right)
    return same and losses(folder) == losses(reference)


def write_inputs(folder: Path) -> None:
    """Two sources of blocky pictures and the config of a run."""
    rng = np.random.default_rng(0)
    for name, pair_type, num in (("derain", "derain_image2derain", 5), ("depth", "nyuv2_image2depth", 3)):
        entries = [
            {"image_path": f"{name}/{i}.png", "target_path": f"{name}/{i}_target.png", "type": pair_type}
            for i in range(num)
        ]
        for entry in entries:
            image = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8).repeat(10, 0).repeat(9, 1)
            target = image // 2 if name == "derain" else image[..., 0].astype(np.uint16) * 30 + 1000
            write_png(folder / entry["image_path"].removesuffix(".png"), image)
            write_png(folder / entry["target_path"].removesuffix(".png"), target)
        (folder / f"{name}.json").write_text(json.dumps(entries))
    (folder / "config.py").write_text(CONFIG)


def main(
    kills: int = 20,
    ranks: int = 1,
    parallel: Literal["ddp", "fsdp"] = "ddp",
    seed: int = 0,
    folder: Path = Path("faults"),
    kinds: tuple[str, ...] = (),
    timeout: float = 240,
) -> int:
    """Kill a tiny training run, again and again; returns the exit status.

    Args:
        kills: how often
        ranks: processes that train; several are started by torchrun
        parallel: as the config's key
        seed: deals ways and moments
        folder: where to train; it is made, and removed if all went well
        kinds: ways to kill, dealt in turn and shuffled; all of them, if none is given
        timeout: seconds after which a launch hangs
    """
    folder = folder.resolve()
    if kills < 1:
        raise SystemExit(f"error: --kills {kills} must be 1 or more")
    if unknown := set(kinds) - KINDS.keys():
        raise SystemExit(f"error: --kinds has {', '.join(sorted(unknown))}; give some of {', '.join(KINDS)}")
    if folder.exists():
        raise SystemExit(f"error: {folder} is there already; choose a --folder to be made")
    several = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(ranks)] if ranks > 1 else []
    train = [sys.executable, *several, str(REPOSITORY / "tools/train.py"), str(folder / "config.py")]

    def start(run: str, workers: int) -> Launch:
        options = {"data.roots": folder, "parallel": parallel, "data.num_workers": workers, "out_dir": folder / run}
        options |= {"optim.steps": STEPS, "log.save_every": SAVE_EVERY}
        arguments = [str(part) for key, value in options.items() for part in (f"--{key}", value)]
        return Launch([*train, *arguments], folder / run, ranks, timeout)

    write_inputs(folder)
    peace = start("reference", 0)
    if peace.end():
        raise Fault(f"the run fails even in peace, see {peace.output}")
    ways, rng = kinds or DEAL + ("launcher",) * (ranks > 1), random.Random(seed)
    deal = list(islice(cycle(ways), kills))
    rng.shuffle(deal)
    rows = check(start, folder, deal, rng)
    faults = sum(bool(row.faults) for row in rows)
    verdict = f"{faults} with another end than expected, see {folder}" if faults else "all resumes bit-equal"
    print(f"{len(rows)} kills, {sum(row.saving for row in rows)} inside a save, {verdict}")
    if not faults:
        shutil.rmtree(folder)
    return int(faults > 0)


def check(start: Callable[[str, int], Launch], folder: Path, deal: Sequence[str], rng: random.Random) -> list[Row]:
    """Deal out the kills to as many runs as they need, every other with a loader process; prints a row a kill."""
    rows: list[Row] = []
    print(HEADER)
    with tqdm(total=len(deal), unit="kill") as bar:
        for number in count():
            if len(rows) == len(deal):
                break
            again = partial(start, f"chain_{number}", number % 2)
            for row in chain(again, deal[len(rows) : len(rows) + CHAIN], folder / "reference", rng):
                rows.append(row)
                bar.write(row.text(len(rows)))
                bar.update()
    return rows


if __name__ == "__main__":
    try:
        sys.exit(tyro.cli(main))
    except Fault as fault:
        sys.exit(f"error: {fault}")
