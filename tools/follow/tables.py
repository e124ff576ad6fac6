"""The results of tools/follow_prompt.py as tables and as numbers for JSON."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from tools.follow.confusion import Confusion
from tools.follow.palette import Kept
from tools.follow.restoration import Restored, Separated
from util.tables import Cell, Table


class Results(NamedTuple):
    """All four measurements."""

    confusions: Mapping[str, Confusion]
    """by the kind of queries"""
    palettes: Mapping[str, Mapping[str, Kept]]
    """by task and kind of colours"""
    restorations: Mapping[str, Restored]
    """by damage"""
    separations: Mapping[str, Separated]
    """by the prompted task"""

    def tables(self) -> list[Table]:
        """In the order above."""
        open_ = [confusion_table(name, found) for name, found in self.confusions.items()]
        return [
            *open_,
            palette_table(self.palettes),
            restoration_table(self.restorations),
            separation_table(self.separations),
        ]

    def numbers(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "confusion": {name: _confusion_numbers(found) for name, found in self.confusions.items()},
            "palette": {
                task: {kind: kept._asdict() for kind, kept in kinds.items()} for task, kinds in self.palettes.items()
            },
            "restoration": {name: found._asdict() for name, found in self.restorations.items()},
            "noise and rain": {name: found._asdict() for name, found in self.separations.items()},
        }


def confusion_table(name: str, found: Confusion) -> Table:
    """A row a prompt; the column of the same task stands out."""
    names = [task.name for task in found.tasks]
    rows = tuple(
        (Cell(names[i]), *(Cell(f"{s:.0%} ({p:.1f})", i == j) for j, (s, p) in enumerate(zip(*row, strict=True))))
        for i, row in enumerate(zip(found.shares, found.psnr, strict=True))
    )
    note = (
        f"Share of outputs that fit this truth best (mean PSNR to it in dB). The prompt's task: {found.followed:.1%}; "
        f"a painter that ignores its prompt: {1 / len(names):.1%}."
    )
    return Table(f"Whose truth is painted: {name}", ("prompt", *names), rows, (note,))


def palette_table(palettes: Mapping[str, Mapping[str, Kept]]) -> Table:
    """A row a task and kind of colours."""
    rows = tuple(
        (Cell(f"{task}, {kind} colours"), Cell(f"{kept.by_prompt:.1f}", strong=True), Cell(f"{kept.by_trained:.1f}"))
        for task, kinds in palettes.items()
        for kind, kept in kinds.items()
    )
    note = "Of the classes that prompt and query have in common; each pixel goes to the nearest of their colours."
    header = ("prompt", "mIoU by the prompt's colours", "mIoU by the trained palette")
    return Table("Class colours that training has not seen", header, rows, (note,))


def restoration_table(restorations: Mapping[str, Restored]) -> Table:
    """A row a damage."""
    rows = tuple(
        (
            Cell(name),
            Cell(f"{found.own:.2f}", strong=True),
            Cell(f"{found.copied:.2f}"),
            Cell(f"{found.other:.2f} ({found.other_name})"),
        )
        for name, found in restorations.items()
    )
    header = ("damage", "its own prompt", "input copied", "best of the other trained prompts")
    return Table("Restorations, PSNR in dB", header, rows, ("Damages without a task's name are in no training pair.",))


def separation_table(separations: Mapping[str, Separated]) -> Table:
    """A row a prompt."""
    rows = tuple(
        (
            Cell(name),
            *(Cell(f"{share:z.0%}", strong=True) for share in found[:3]),
            *(Cell(f"{x:.2f}") for x in found[3:]),
        )
        for name, found in separations.items()
    )
    header = ("prompt", "noise gone", "rain gone", "photograph kept", "PSNR to rain alone", "PSNR to noise alone")
    return Table("Photographs below noise and rain", header, rows, ())


def _confusion_numbers(found: Confusion) -> dict[str, Any]:
    return {
        "tasks": [task.name for task in found.tasks],
        "shares": found.shares.round(4).tolist(),
        "psnr": found.psnr.round(3).tolist(),
        "followed": found.followed,
    }
