"""Results to look at: one page with the paper's tables, every benchmark's scores and its best and worst pictures.

    python tools/report.py results                         # writes results/report.html
    python tools/report.py run_a run_b --out both.html

Expected: `results/report.html: 7 results, 21 pictures, 3.1 MB`. The page is one file and loads nothing.
"""

import datetime
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import Positional

from eval.paper import TITLES
from tools.paper_results import Result, read_results
from tools.paper_table import left_out, tables
from tools.report_block import block, check, checkpoint, device, versions
from tools.report_html import Html, definitions, document, join, scrolling_table, tag, tone
from util.files import write
from util.parallel import one_line_errors
from util.tables import Cell, Table

TITLE = "Painter: results"


def main(
    folders: Annotated[Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RESULTS_DIR...")], out: Path | None = None
) -> None:
    """Write a page of all results below the folders.

    Args:
        folders: searched for results.json, with all folders below
        out: the page; report.html in the first folder if not given
    """
    with one_line_errors():
        if not folders:
            raise ValueError("no folder given; name those that hold results, such as `results`")
        results = read_results(folders)
        for result in results:
            check(result)
        out = out or folders[0] / "report.html"
        html = page(results)
        write(out, html.encode("utf-8", "replace"))  # a name from a file may hold half a character
    print(f"{out}: {len(results)} results, {html.count('<img ')} pictures, {out.stat().st_size / 1e6:.1f} MB")


def page(results: Sequence[Result]) -> Html:
    """The whole page; a picture that cannot be read is replaced by a sentence."""
    groups = [(name, [result for result in results if result.content["benchmark"] == name]) for name in TITLES]
    groups = [(name, found) for name, found in groups if found]
    links = (tag("a", TITLES[name], href=f"#{name}") for name, _ in groups)
    return document(
        TITLE,
        tag("header", tag("h1", TITLE), definitions(_facts([result.content for result in results]))),
        tag("nav", tag("a", "Tables", href="#tables"), *links, aria_label="Parts of the page"),
        tag("main", _tables(results), *(_section(name, found) for name, found in groups)),
    )


def _facts(contents: Sequence[dict[str, Any]]) -> dict[str, str]:
    """What holds of the results together."""
    speeds = sorted(speed for content in contents if (speed := content["images_per_second"]))
    num_benchmarks = len({content["benchmark"] for content in contents})
    return {
        "Results": f"{len(contents)} ({num_benchmarks} of {len(TITLES)} benchmarks)",
        "Checkpoint": _distinct(map(checkpoint, contents)),
        "Device": _distinct(map(device, contents)),
        "Images a second": " to ".join(dict.fromkeys(f"{speed:.3g}" for speed in (*speeds[:1], *speeds[-1:]))),
        "Written": str(datetime.date.today()),
        "Versions": _distinct(map(versions, contents)),
    }


def _distinct(facts: Iterable[str]) -> str:
    return "; ".join(sorted({fact for fact in facts if fact}))


def _tables(results: Sequence[Result]) -> Html:
    lines = [tag("li", line) for line in left_out(results)]
    rest = [tag("h3", "In no table"), tag("ul", *lines, class_="note")] if lines else []
    legend = tag("p", "Below, the mark in a bar is the paper's score. Longer is better, for errors too.", class_="note")
    return tag("section", tag("h2", "Beside the paper"), *map(_table, tables(results)), *rest, legend, id="tables")


def _table(table: Table) -> Html:
    """A table of the paper; neighbouring columns share their group's name."""
    parted = [title.rpartition("\n") for title in table.header]
    groups = [(name, len(list(columns))) for name, columns in groupby(group for group, _, _ in parted)]
    head = [tag("tr", *(tag("th", name, scope="col") for _, _, name in parted))]
    if any(name for name, _ in groups):
        head.insert(0, tag("tr", *(tag("th", name, colspan=num, scope="colgroup") for name, num in groups)))
    rows = [tag("tr", tag("th", row[0].text, scope="row"), *map(_cell, row[1:])) for row in table.rows]
    notes = [tag("p", note, class_="note") for note in table.notes]
    return join(tag("h3", table.title), scrolling_table(head, rows), *notes)


def _cell(cell: Cell) -> Html:
    delta = [tag("small", cell.delta, class_=tone(cell.better))] if cell.delta else []
    return tag("td", tag("strong", cell.text) if cell.strong else cell.text, *delta)


def _section(name: str, results: Sequence[Result]) -> Html:
    blocks = (block(result, f"{name}-{i}") for i, result in enumerate(results, start=1))
    return tag("section", tag("h2", TITLES[name]), *blocks, id=name)


if __name__ == "__main__":
    tyro.cli(main)
