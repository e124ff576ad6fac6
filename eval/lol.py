"""Low-light enhancement on the 15 test photographs of LoL.

    python -m eval.lol --ckpt painter_vit_large.pth --data_root datasets

Expected with the released weights: PSNR 22.34, SSIM .872 (`ssim_paper`).
"""

from typing import Any

from numpy.typing import NDArray

from data.tasks import Task
from data.tasks.restoration import ENHANCE
from eval.benchmark import Case, Record
from eval.command import main
from eval.metrics.restoration import lol_ssim_paper, lol_ssim_standard, psnr
from eval.restored import Restored


class Lol(Restored):
    """PSNR and SSIM an image, and their means."""

    name = "lol"
    task = ENHANCE
    prompt = "100"
    num_expected = 15

    def prompt_files(self, task: Task, name: str) -> tuple[str, str]:
        """A training photograph."""
        return f"light_enhance/our485/low/{name}.png", f"light_enhance/our485/high/{name}.png"

    def measure(self, pred: NDArray[Any], case: Case) -> Record:
        """Three numbers."""
        truth = case.truth / 255
        return {
            "psnr": psnr(pred, truth),
            "ssim_paper": lol_ssim_paper(pred, truth),
            "ssim_standard": lol_ssim_standard(pred, truth),
        }


BENCHMARK = Lol()

if __name__ == "__main__":
    main(BENCHMARK, __doc__)
