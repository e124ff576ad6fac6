"""Deraining on five test sets: Rain100L, Rain100H, Test100, Test1200 and Test2800.

    python -m eval.derain --ckpt painter_vit_large.pth --data_root datasets

Expected with the released weights: PSNR 29.42, SSIM .867, the means of five means. Sets that are not there are
left out; the result is then not comparable.
"""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from data.folders import is_folder, paired
from data.roots import Roots, names
from data.tasks import Entry, Task
from data.tasks.restoration import DERAIN
from eval.benchmark import Case, Record, means
from eval.command import main
from eval.metrics.restoration import psnr_y, ssim_y
from eval.restored import Degraded, Restored, degraded

FOLDER = "derain/test"
SETS = ("Rain100L", "Rain100H", "Test100", "Test1200", "Test2800")


class Derain(Restored):
    """PSNR and SSIM of the luma of an image in 8 bits; means over a set, and over sets."""

    name = "derain"
    task = DERAIN
    prompt = "100"
    num_expected = 100 + 100 + 98 + 1200 + 2800

    def prompt_files(self, task: Task, name: str) -> tuple[str, str]:
        """A training photograph."""
        return f"derain/train/input/{name}.jpg", f"derain/train/target/{name}.jpg"

    def queries(self, roots: Roots) -> list[Degraded]:
        """The photographs of all sets that are there."""
        names(roots, FOLDER)  # says what is due if there is none
        return [
            query
            for name in SETS
            if is_folder(roots, f"{FOLDER}/{name}")
            for query in degraded(roots, _pairs(roots, f"{FOLDER}/{name}"), f"{name}/")
        ]

    def measure(self, pred: NDArray[Any], case: Case) -> Record:
        """Two numbers; ValueError if a side is below 11 pixels."""
        shown = self.task.answer(pred)
        return {"psnr": psnr_y(shown, case.truth), "ssim": ssim_y(shown, case.truth)}

    def summarise(self, records: Sequence[Record], queries: Sequence[Degraded]) -> dict[str, float]:
        """Of each set, and the mean of these."""
        sets: dict[str, list[Record]] = {}
        for record, query in zip(records, queries, strict=True):
            sets.setdefault(query.name.split("/")[0], []).append(record)
        found = {name: means(of_set) for name, of_set in sets.items()}
        return means(list(found.values())) | {f"{k}_{name}": v for name, each in found.items() for k, v in each.items()}


def _pairs(roots: Roots, folder: str) -> list[Entry]:
    return [Entry(*pair) for pair in paired(roots, (f"{folder}/input", f"{folder}/target"))]


BENCHMARK = Derain()

if __name__ == "__main__":
    main(BENCHMARK, __doc__)
