"""Low-light enhancement on the 15 test photographs of LoL.

    python -m eval.lol --ckpt painter_vit_large.pth --data_root datasets

Expected with the released weights: PSNR 22.34, SSIM .872 (`ssim_paper`).
"""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from data.roots import Roots
from data.tasks import Task
from data.tasks.restoration import ENHANCE
from eval.benchmark import Case, Record, means
from eval.command import main
from eval.metrics.restoration import lol_ssim_paper, lol_ssim_standard, psnr
from eval.restored import Degraded, Restored, degraded


class Lol(Restored):
    """PSNR and SSIM an image, and their means."""

    name = "lol"
    task = ENHANCE
    prompt = "100"
    num_expected = 15

    def prompt_files(self, task: Task, name: str) -> tuple[str, str]:
        """A training photograph."""
        return f"light_enhance/our485/low/{name}.png", f"light_enhance/our485/high/{name}.png"

    def queries(self, roots: Roots) -> list[Degraded]:
        """eval15."""
        return degraded(roots, [entry for job in ENHANCE.sources(roots, "val") for entry in job.entries])

    def measure(self, pred: NDArray[Any], case: Case) -> Record:
        """Three numbers."""
        truth = case.truth / 255
        return {
            "psnr": psnr(pred, truth),
            "ssim_paper": lol_ssim_paper(pred, truth),
            "ssim_standard": lol_ssim_standard(pred, truth),
        }

    def summarise(self, records: Sequence[Record], queries: Sequence[Degraded]) -> dict[str, float]:
        """Their means."""
        return means(records)


BENCHMARK = Lol()

if __name__ == "__main__":
    main(BENCHMARK, __doc__)
