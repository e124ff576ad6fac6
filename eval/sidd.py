"""Denoising on the 1280 validation blocks of SIDD.

    python -m eval.sidd --ckpt painter_vit_large.pth --data_root datasets

Expected with the released weights: PSNR 38.66, SSIM .954 (`ssim_paper`).
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from data.tasks import Task
from data.tasks.restoration import DENOISE
from eval.benchmark import Case, Record
from eval.command import main
from eval.metrics.restoration import psnr, sidd_ssim_paper, sidd_ssim_standard
from eval.restored import Restored


class Sidd(Restored):
    """PSNR and SSIM a block, and their means."""

    name = "sidd"
    task = DENOISE
    prompt = "9_9"
    num_expected = 1280
    query_interp: Literal["bicubic", "bilinear"] = "bilinear"

    def prompt_files(self, task: Task, name: str) -> tuple[str, str]:
        """A training patch."""
        return f"denoise/train/input/{name}.png", f"denoise/train/groundtruth/{name}.png"

    def measure(self, pred: NDArray[Any], case: Case) -> Record:
        """Three numbers, of single precision as MATLAB's."""
        pred, truth = pred.astype(np.float32), case.truth / np.float32(255)
        return {
            "psnr": psnr(pred, truth),
            "ssim_paper": sidd_ssim_paper(pred, truth),
            "ssim_standard": sidd_ssim_standard(pred, truth),
        }


BENCHMARK = Sidd()

if __name__ == "__main__":
    main(BENCHMARK, __doc__)
