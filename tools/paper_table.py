"""The paper's tables, with our own results beside its numbers.

    python tools/paper_table.py results
    python tools/paper_table.py results/seed_0 results/seed_1 --out_dir tables

Expected: the tables, printed and in OUT_DIR/table.md; as one picture in table.png; a line a number in table.csv.
"""

import csv
import itertools
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import tyro
from tyro.conf import Positional

from eval.paper import MAIN, METRICS, PAPER, PROMPTS, RELEASED, SEPARATE, TITLES, Metric, Scores
from tools.paper_results import PROBE, Result, Slot, distinct, pick, read_results
from util.parallel import one_line_errors
from util.tables import NOTHING, Cell, Table, escaped, markdown, picture
from util.visualize import save_png


class Row(NamedTuple):
    """The paper's numbers; or, with slots, our results that fill the first slot that any fills."""

    name: str
    paper: Scores
    slots: Sequence[Slot] = ()


class Plan(NamedTuple):
    """A table before it is filled."""

    title: str
    metrics: Sequence[Metric]
    rows: Sequence[Row]


class Score(NamedTuple):
    """A line of table.csv: the mean of `n` results; None where there is none."""

    table: str
    row: str
    benchmark: str
    metric: str
    value: float | None
    std: float | None
    n: int | None
    paper: float | None
    complete: bool | None


def plans(results: Sequence[Result]) -> list[Plan]:
    """The paper's Tables 1, 2 and 3, and a row for each noise of an oracle, if there are any."""
    joint, separate = [[(training, kind) for kind in ("searched", "given")] for training in ("joint", "separate")]
    released = Row("released weights (measured by the original code)", RELEASED)
    table_1 = [Row("paper", PAPER), released, Row("ours", PAPER, joint)]
    table_2 = _beside("joint", PAPER, joint) + _beside("separate", SEPARATE, separate)
    table_3 = [row for kind in PROMPTS for row in _beside(f"{kind} prompt", PROMPTS[kind], [("joint", kind)])]
    noises = sorted({slot[1] for slot in (result.slot for result in results) if slot[0] == "oracle"})
    ceilings = [Row(f"noise {noise:g}", {}, [("oracle", noise)]) for noise in noises]
    return [
        Plan("Table 1: joint training", METRICS, table_1),
        Plan("Table 2: joint and separate training", MAIN, table_2),
        Plan("Table 3: prompts", MAIN, table_3),
        *[Plan("Ceilings: the truth painted, disturbed by noise (std in 8-bit levels), decoded", METRICS, ceilings)]
        * bool(ceilings),
    ]


def _beside(name: str, paper: Scores, slots: Sequence[Slot]) -> list[Row]:
    return [Row(f"{name}, paper", paper), Row(f"{name}, ours", paper, slots)]


def score(plan: Plan, row: Row, metric: Metric, results: Sequence[Result]) -> Score:
    """A number of a table."""
    paper = row.paper.get(metric.benchmark, {}).get(metric.name)
    place = plan.title.partition(":")[0], row.name, metric.benchmark, metric.name
    if not row.slots:
        return Score(*place, paper, None, None, paper, None)
    chosen = pick(results, metric.benchmark, row.slots)
    values = [value for r in chosen if (value := r.content["metrics"][metric.name]) is not None]
    mean = statistics.fmean(values) if values else None
    std = statistics.stdev(values) if len(values) > 1 else None
    return Score(*place, mean, std, len(values), paper, chosen[0].comparable if chosen else None)


def tables(results: Sequence[Result]) -> list[Table]:
    """The paper's Tables 1, 2 and 3 with our results, and the ceilings, if any."""
    return [_table(plan, results) for plan in plans(results)]


def _table(plan: Plan, results: Sequence[Result]) -> Table:
    header = "", *map(_heading, plan.metrics)
    rows = []
    for row in plan.rows:
        ours = bool(row.slots and row.paper)
        cells = [_cell(metric, score(plan, row, metric, results), ours) for metric in plan.metrics]
        rows.append((Cell(row.name, ours), *cells))
    return Table(plan.title, header, tuple(rows), tuple(dict.fromkeys(_notes(plan, results))))


def _heading(metric: Metric) -> str:
    unit = f" [{metric.unit}]" if metric.unit else ""
    return f"{TITLES[metric.benchmark]}\n{metric.title}{unit}{' ↓' * metric.lower}"


def _cell(metric: Metric, found: Score, ours: bool) -> Cell:
    """A number with the paper's decimals, and its difference from the paper's, where the two may be compared."""
    if found.value is None:
        return Cell(NOTHING)
    text = f"{found.value:.{metric.decimals}f}" + "*" * (found.complete is False)
    if found.std is not None:
        text += f" ± {found.std:.{metric.decimals}f} (n={found.n})"
    if not (ours and found.complete and found.paper is not None):
        return Cell(text, ours)
    delta = round(round(found.value, metric.decimals) - found.paper, metric.decimals) or 0.0  # never -0
    return Cell(text, ours, f"{delta:+.{metric.decimals}f}", (delta < 0) == metric.lower if delta else None)


def _notes(plan: Plan, results: Sequence[Result]) -> Iterator[str]:
    """What a reader must know of the results in a table; some lines more than once."""
    if parts := list(dict.fromkeys(_parts(plan, results))):
        yield f"* not on the official images, not comparable with the paper: {', '.join(parts)}"
    for row, metric in itertools.product(plan.rows, plan.metrics):
        where = f"{TITLES[metric.benchmark]} ({row.name})"
        for result in pick(results, metric.benchmark, row.slots):
            if result.slot != row.slots[0]:
                name = result.content["prompt"]["name"]
                yield f"{where} with the prompt {name} that was given, as no result has the searched one"
            if variant := result.content["variant"]:
                yield f"{where} at {variant}: not as the paper's"
            if result.content["metrics"][metric.name] is None:
                yield f"{where}: {metric.title} is undefined in {result.path}"
    if any(score(plan, row, metric, results).std is not None for row in plan.rows for metric in plan.metrics):
        yield "±: sample standard deviation over n results, of different seeds or prompts"


def _parts(plan: Plan, results: Sequence[Result]) -> Iterator[str]:
    """Benchmarks with a result on a part of their images."""
    for metric, row in itertools.product(plan.metrics, plan.rows):
        for content in (result.content for result in pick(results, metric.benchmark, row.slots)):
            if not content["complete"]:
                yield f"{TITLES[metric.benchmark]} {content['num_images']} (due {content['num_expected']})"


def left_out(results: Sequence[Result]) -> list[str]:
    """A line for each result that no table shows, and why."""
    rows = [row for plan in plans(results) for row in plan.rows]
    shown = {result.path for row in rows for name in TITLES for result in pick(results, name, row.slots)}
    return [f"{result.path}: {_reason(result, results)}" for result in results if result.path not in shown]


def _reason(result: Result, results: Sequence[Result]) -> str:
    if result.slot == PROBE:
        return "measured while the network was trained"
    kept = next(other for other in distinct(results) if other.run == result.run)
    if kept is not result:
        return f"the same run as {kept.path}"
    training, kind = result.slot
    alike = [other for other in results if (other.series, other.reach) == (result.series, result.reach)]
    if (last := max(alike, key=lambda other: other.written)) is not result:
        return f"of another checkpoint of the same seed and prompt as {last.path}, which is later"
    if training == "separate" and kind in ("random", "learned"):
        return f"no table shows a {kind} prompt after separate training"
    if kind == "given" and pick(results, result.content["benchmark"], [(training, "searched")]):
        return "a given prompt, where another result has the searched one"
    if result.content["variant"]:
        return f"at {result.content['variant']}, where another is made as the paper's"
    return f"on {result.content['num_images']} of {result.content['num_expected']} images, where another has more"


def write_csv(path: Path, results: Sequence[Result]) -> None:
    """A line for each number of each table, and for each that is missing."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(Score._fields)
        for plan in plans(results):
            writer.writerows(score(plan, row, metric, results) for row in plan.rows for metric in plan.metrics)


def main(
    folders: Annotated[Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RESULTS_DIR...")],
    out_dir: Path | None = None,
) -> None:
    """Write the paper's tables with our results beside its numbers: table.md, table.png and table.csv.

    Every results.json below the folders counts. Of each run (benchmark, prompt, checkpoint, seed, oracle) the
    result on most images is taken, the latest of several; of several checkpoints of one seed and prompt the latest
    result, too. Several seeds or random prompts give mean ± sample standard deviation. Results that are not on the
    official images (*), or not made as the paper's, are shown only where there are no others. A prompt of your own
    choice counts in Tables 1 and 2 where no result has the searched prompt, never in Table 3. A checkpoint that does
    not tell its training counts as joint. Results that no table shows are named below the tables.

    Args:
        folders: searched for results.json, with all folders below
        out_dir: of the three files; the first of the folders if not given
    """
    with one_line_errors():
        if not folders:
            raise ValueError("no folder given; name those that hold results, such as `results`")
        print(write_tables(folders, out_dir or folders[0]))


def write_tables(folders: Sequence[Path], out_dir: Path) -> str:
    """Write the three files; returns the Markdown, and where they are."""
    results = read_results(folders)
    found, rest = tables(results), [f"left out: {line}" for line in left_out(results)]
    text = "\n".join([*map(markdown, found), *(f"{escaped(line)}\n" for line in rest)])
    out_dir.mkdir(parents=True, exist_ok=True)
    (out_dir / "table.md").write_text(text, encoding="utf-8")
    write_csv(out_dir / "table.csv", results)
    save_png(out_dir / "table.png", picture(found))
    return f"{text}\n{len(results)} results; table.md, table.csv and table.png are in {out_dir}"


if __name__ == "__main__":
    tyro.cli(main)
