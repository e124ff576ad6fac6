"""The paper's experiments in miniature: its Table S2 (ablations) or Table 2 (joint or separate training), trained anew.

    python tools/make_toy_datasets.py demo/data
    python tools/prepare.py all --root demo/data
    python tools/ablate.py table_s2 demo/data --seeds 0 1 2 --steps 1500 --out_dir ablations
    python tools/ablate.py table_2 demo/data --seeds 0 1 2 --steps 1500 --out_dir ablations

Each variant of a small network is trained with each seed, and measured on held-out pairs. Stop it at any time: the
same command goes on, and what is finished is not repeated. Processes with other --seeds may work in the same folder
side by side; one call with all of them makes the table. The baseline is shared by both tables.

Expected: OUT_DIR/table_s2.md and .json: mean and deviation of each variant, differences from the baseline paired by
seed, and for each of the paper's questions its order beside ours. docs/EXPERIMENTS.md says how to read them.
"""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from tqdm import tqdm

from engine.command import parse
from engine.loaders import read_lists
from engine.precision import fastest_precision
from engine.stop import Stopped
from eval.prompts import read_prompt
from eval.run import benchmark_of, choose
from tools.ablation.plan import BENCHMARKS, PLANS, Plan, base
from tools.ablation.run import QUERIES, Trial, trials_of
from tools.ablation.scores import Found
from tools.ablation.table import as_json, as_markdown
from util.dist import known_device
from util.files import check_writable, write
from util.parallel import one_line_errors


@dataclass(frozen=True)
class Options:
    """Which table, of what, and how thoroughly."""

    table: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="|".join(PLANS))]
    """which of the paper's tables"""
    world: tyro.conf.Positional[Path]
    """data root with the eight sources, prepared"""
    seeds: tuple[int, ...] = (0, 1)
    """of weights, draws and prompts; a deviation needs two, and more tell more apart"""
    steps: int = 1500
    """of each training, 4 samples each; changing it needs another --out_dir"""
    out_dir: Path = Path("ablations")
    """folder of the runs, OUT_DIR/VARIANT/seedN, and of the tables"""

    def check(self) -> None:
        """ValueError on a table that there is not, and on seeds that are no set."""
        if self.table not in PLANS:
            raise ValueError(f"unknown table {self.table!r}; known are {', '.join(PLANS)}")
        if not self.seeds:
            raise ValueError("--seeds names none; give two or more, such as 0 1")
        seed, times = Counter(self.seeds).most_common(1)[0]
        if times > 1:
            raise ValueError(f"--seeds has {seed} {times} times; give each seed once")


def main() -> None:
    """Check everything, train what is left, write the table of what is there."""
    with one_line_errors("stopped; the same command goes on"):
        options = parse(Options, "tools/ablate.py", __doc__)
        options.check()
        precision = fastest_precision(torch.device(known_device("auto")))
        plan = PLANS[options.table](base(options.world, options.steps, precision))
        trials = [trial for seed in options.seeds for trial in trials_of(plan, seed, options.out_dir)]
        check(trials, options.out_dir)
        try:
            carry_out(trials)
        except Stopped as stopped:
            print(stopped, file=sys.stderr)
            sys.exit(stopped.status)
        finally:
            write_table(options, plan, trials)


def check(trials: Sequence[Trial], out_dir: Path) -> None:
    """ValueError, before hours of work, if the world is not prepared or a folder holds a run of another plan."""
    joint = trials[0].config.data
    read_lists(joint)
    for name in BENCHMARKS:
        choose(benchmark_of(name), joint.roots)
        read_prompt(benchmark_of(name), joint.roots, None)
    check_writable(out_dir, "--out_dir")
    for trial in trials:
        trial.check()


def carry_out(trials: Sequence[Trial]) -> None:
    """Train and measure what has no result yet; the bar counts the steps of all."""
    left = [trial for trial in trials if trial.scores is None]
    total, todo = (sum(trial.config.optim.steps for trial in some) for some in (trials, left))
    with tqdm(total=total, initial=total - todo, unit="step", disable=not left) as bar:
        for number, trial in enumerate(left, len(trials) - len(left) + 1):
            bar.set_description(f"run {number} of {len(trials)} ({trial.name}, seed {trial.seed})")
            trial.perform()
            bar.update(trial.config.optim.steps)


def write_table(options: Options, plan: Plan, trials: Sequence[Trial]) -> None:
    """Write the table of the trials that are finished, and print it."""
    done = {(trial.name, trial.seed): scores for trial in trials if (scores := trial.scores) is not None}
    optim = plan.runs[0].config.optim
    budget = (
        f"{len(done)} of {len(trials)} runs; seeds {', '.join(map(str, options.seeds))}; {options.steps} steps of "
        f"{optim.global_batch} samples, {optim.precision}; at most {QUERIES} held-out queries a task."
    )
    found, stem = Found(plan, done), options.out_dir / options.table
    write(stem.with_suffix(".md"), as_markdown(found, budget).encode())
    write(stem.with_suffix(".json"), json.dumps(as_json(found, budget), indent=1, allow_nan=False).encode())
    print(f"{as_markdown(found, budget)}\n{stem}.md")


if __name__ == "__main__":
    main()
