"""Semantic segmentation on the validation images of ADE20K (2000, 150 classes).

    python -m eval.ade20k_semantic --ckpt painter_vit_large.pth --data_root datasets

Expected with the released weights: mIoU 49.9.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from data.folders import paired
from data.roots import Roots, find
from data.tasks import Task
from data.tasks.semantic import ADE20K_SEMANTIC, IGNORE, read_ade
from eval.benchmark import Benchmark, Case, Picture, Record
from eval.command import main
from eval.metrics.semantic import confusion, dense, semantic_scores, sparse
from util.image import check_same_size, read_rgb
from util.visualize import mistakes

NUM_CLASSES = ADE20K_SEMANTIC.palette.num


class Labelled(NamedTuple):
    """A photograph and its annotation."""

    name: str
    image: Path
    annotation: Path


class AdeSemantic(Benchmark):
    """One matrix of pixels by predicted and true class, over all images."""

    name = "ade20k_semantic"
    views = (ADE20K_SEMANTIC,)
    prompt = "ADE_train_00009574"
    num_expected = 2000

    def prompt_files(self, task: Task, name: str) -> tuple[str, str]:
        """A training image."""
        return f"ade20k/images/training/{name}.jpg", f"ade20k/annotations_with_color/training/{name}.png"

    def queries(self, roots: Roots) -> list[Labelled]:
        """The validation images."""
        pairs = paired(roots, ("ade20k/images/validation", "ade20k/annotations/validation"))
        return [Labelled(Path(image).stem, find(roots, image), find(roots, label)) for image, label in pairs]

    def read(self, query: Labelled) -> Case:
        """The truth: classes (H, W)."""
        classes = read_ade(query.annotation)
        check_same_size(query.image, query.annotation, classes.shape)
        return Case(query.name, [read_rgb(query.image)], classes)

    def targets(self, case: Case) -> list[Picture]:
        """A colour a class."""
        return [ADE20K_SEMANTIC.encode(case.truth)]

    def decode(self, painted: Sequence[Tensor], case: Case) -> NDArray[np.uint8]:
        """Classes (H, W)."""
        return ADE20K_SEMANTIC.decode(painted[0], case.truth.shape).cpu().numpy()

    def measure(self, pred: NDArray[np.uint8], case: Case) -> Record:
        """The cells of the matrix."""
        return {"cells": sparse(confusion(pred, case.truth, NUM_CLASSES))}

    def summarise(self, records: Sequence[Record], queries: Sequence[Labelled]) -> dict[str, float]:
        """Of the sum of all matrices."""
        cells = itertools.chain.from_iterable(record["cells"] for record in records)
        return semantic_scores(dense(cells, NUM_CLASSES))

    def scores(self, record: Record) -> dict[str, float]:
        """Of the image alone."""
        found = semantic_scores(dense(record["cells"], NUM_CLASSES))
        return {key: found[key] for key in ("mIoU", "pACC")}

    def quality(self, record: Record) -> float:
        """The image's own mIoU."""
        return self.scores(record)["mIoU"]

    def show(self, pred: NDArray[np.uint8], case: Case) -> Mapping[str, Picture]:
        """The palette's colours; errors are red, what is not labelled is black."""
        labelled = case.truth != IGNORE
        return {
            "decoded": ADE20K_SEMANTIC.encode(pred),
            "truth": ADE20K_SEMANTIC.encode(case.truth),
            "error": mistakes(pred != case.truth, labelled),
        }


BENCHMARK = AdeSemantic()

if __name__ == "__main__":
    main(BENCHMARK, __doc__)
