"""Depth on the official test images of NYU Depth V2 (654).

    python -m eval.nyuv2_depth --ckpt painter_vit_large.pth --data_root datasets

Expected with the released weights: RMSE .288, A.Rel .080, d1 .950.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from data.pairs import Pair
from data.roots import Roots, find
from data.tasks import Task
from data.tasks.depth import MAX_MM, NYUV2_DEPTH, SYNC, TEST
from eval.benchmark import Benchmark, Case, Picture, Record, means
from eval.command import main
from eval.metrics.depth import depth_errors
from util.image import check_same_size, read_rgb, read_uint16
from util.visualize import heat


class Frame(NamedTuple):
    """A test image and its measured depth."""

    name: str
    image: Path
    depth: Path


class NyuDepth(Benchmark):
    """Nine errors an image, in Eigen's crop, and their means over images."""

    name = "nyuv2_depth"
    views = (NYUV2_DEPTH,)
    prompt = "study_room_0005b/rgb_00094"
    num_expected = 654

    def prompt_files(self, task: Task, name: str) -> tuple[str, str]:
        """A frame of the synced training data."""
        return f"{SYNC}/{name}.jpg", f"{SYNC}/{name.replace('/rgb_', '/sync_depth_')}.png"

    def named(self, pairs: Sequence[Pair], roots: Roots) -> dict[str, Pair]:
        """By scene and frame."""
        return {str(Path(pair.image_path).with_suffix("")).removeprefix(f"{SYNC}/"): pair for pair in pairs}

    def queries(self, roots: Roots) -> list[Frame]:
        """The official test images."""
        entries = [entry for job in NYUV2_DEPTH.sources(roots, "val") for entry in job.entries]
        return [
            Frame(str(Path(image).with_suffix("")).removeprefix(f"{TEST}/"), find(roots, image), find(roots, depth))
            for image, depth, _ in entries
        ]

    def read(self, query: Frame) -> Case:
        """The truth: millimetres (H, W)."""
        depth = read_uint16(query.depth)
        check_same_size(query.image, query.depth, depth.shape)
        return Case(query.name, [read_rgb(query.image)], depth)

    def targets(self, case: Case) -> list[Picture]:
        """Depth as gray."""
        return [NYUV2_DEPTH.encode(case.truth)]

    def decode(self, painted: Sequence[Tensor], case: Case) -> NDArray[np.int32]:
        """Millimetres (H, W)."""
        return NYUV2_DEPTH.decode(painted[0], case.truth.shape).cpu().numpy()

    def measure(self, pred: NDArray[np.int32], case: Case) -> Record:
        """The nine errors."""
        return depth_errors(pred, case.truth)

    def summarise(self, records: Sequence[Record], queries: Sequence[Frame]) -> dict[str, float]:
        """Their means."""
        return means(records)

    def scores(self, record: Record) -> dict[str, float]:
        """Those of the paper's table."""
        return {key: record[key] for key in self.headline}

    def quality(self, record: Record) -> float:
        """The less RMSE the better."""
        return -record["rms"]

    def show(self, pred: NDArray[np.int32], case: Case) -> Mapping[str, Picture]:
        """Near is blue, far is red; errors of 1 m and more are pale yellow."""
        measured = case.truth > 0
        error = np.abs(pred - case.truth.astype(int)) * measured
        return {
            "decoded": heat(pred / MAX_MM),
            "truth": heat(case.truth / MAX_MM) * measured[..., None],
            "error": heat(error / 1000, inferno=True),
        }


BENCHMARK = NyuDepth()

if __name__ == "__main__":
    main(BENCHMARK, __doc__)
