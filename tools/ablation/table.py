"""The tables of tools/ablate.py: Markdown to read, JSON with the numbers of each seed."""

from collections.abc import Callable, Iterable
from typing import Any

from tools.ablation.scores import MEASURES, NOT_TOLD, Found, Measure, by_chance
from util.tables import Cell, Table, markdown

ABOUT = "PSNR in dB, and L1 of normalised values, of held-out queries that are painted; ± sample deviation over seeds."
LEGEND = (
    f"The best first; A > B: told apart; A {NOT_TOLD} B: not. agrees: each pair of the paper's order is told apart and "
    "in that order; disagrees: one is told apart the other way; else undecided."
)


def as_markdown(found: Found, budget: str) -> str:
    """The scores, their differences from the first row, and the orders."""
    first, *others = found.rows

    def score(row: str, measure: Measure) -> str:
        return found.of(row, measure).text(measure.decimals)

    def change(row: str, measure: Measure) -> str:
        by = found.difference(row, first, measure)
        return by.text(measure.decimals, "+") + f" {NOT_TOLD}" * bool(by.seeds and not by.told_apart)

    about = [f"{row.title}: {row.about}." for row in found.rows.values() if row.about]
    orders = [
        (question.title, question.in_words, measure.title, order, verdict)
        for question, measure, order, verdict in found.verdicts()
    ]
    header = "", "paper", "by our", "our order", "verdict"
    tables = (
        _of_measures(found.plan.title, found.rows, score, (budget, *about, ABOUT)),
        _of_measures(f"Difference from {first}", others, change, (_caution(found),)),
        Table("The paper's order, and ours", header, tuple(tuple(map(Cell, row)) for row in orders), (LEGEND,)),
    )
    return "\n".join(map(markdown, tables))


def _of_measures(title: str, rows: Iterable[str], text: Callable[[str, Measure], str], notes: tuple[str, ...]) -> Table:
    header = "", *(measure.title + " ↓" * measure.lower for measure in MEASURES)
    cells = tuple((Cell(row), *(Cell(text(row, measure)) for measure in MEASURES)) for row in rows)
    return Table(title, header, cells, notes)


def _caution(found: Found) -> str:
    """What a difference is worth."""
    num = len(found.seeds)
    chance = (
        f" Of differences that are chance alone {by_chance(num):.0%} are above it with {num} seeds." if num > 1 else ""
    )
    return f"Paired by seed. {NOT_TOLD}: not told apart, the mean is not above its deviation.{chance}"


def as_json(found: Found, budget: str) -> dict[str, Any]:
    """The same numbers, and those of each seed."""
    first, *others = found.rows

    def change(row: str, measure: Measure) -> dict[str, Any]:
        by = found.difference(row, first, measure)
        return by.content() | {"told_apart": by.told_apart}

    return {
        "title": found.plan.title,
        "budget": budget,
        "scores": {row: {m.key: found.of(row, m).content() for m in MEASURES} for row in found.rows},
        f"difference from {first}": {row: {m.key: change(row, m) for m in MEASURES} for row in others},
        "orders": [
            {"question": question.title, "paper": question.in_words, "by": m.key, "ours": order, "verdict": verdict}
            for question, m, order, verdict in found.verdicts()
        ],
    }
