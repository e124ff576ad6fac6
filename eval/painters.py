"""What paints the queries of a benchmark: a network below its prompts, an oracle that shows the truth, or no one.

Both work in two steps: `prepare` reads in a loader's process what `paint` takes in batches.
"""

import zlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from data.tasks import Size
from data.transforms import resize
from engine.inpaint import Inpainter, half
from eval.benchmark import Benchmark, Case
from eval.prompts import Prompt
from models import Painter
from util.image import denormalize


class Paints(Protocol):
    """Paints cases."""

    prepare: Callable[[Case], Tensor]
    """(V, 3, H, W): the views of a case; pickles without the network"""

    def paint(self, batch: Sequence[Tensor]) -> list[list[Tensor]]:
        """Prepared cases -> of each the paintings of its views (3, H, W), 0..1 but not clipped."""


class Network:
    """A Painter below the prompts of a benchmark."""

    def __init__(
        self,
        model: Painter,
        benchmark: Benchmark,
        prompt: Prompt,
        size: Size,
        device: torch.device,
        precision: Literal["fp32", "bf16", "fp16"] = "fp32",
    ) -> None:
        interp = benchmark.query_interp
        self.views = benchmark.views
        self.prepare: Callable[[Case], Tensor] = partial(_halves, size=size, interp=interp)
        self.inpainters = {
            task: Inpainter(model, [pair], size, model.config.patch_size, interp, device, precision)
            for task, pair in zip(benchmark.tasks, prompt.pairs, strict=True)
        }

    def paint(self, batch: Sequence[Tensor]) -> list[list[Tensor]]:
        """The views of each task in one go."""
        halves = torch.stack(list(batch))  # (N, V, 3, H, W)
        painted: dict[int, Tensor] = {}  # by view, (N, 3, H, W)
        for task, inpainter in self.inpainters.items():
            mine = [i for i, view in enumerate(self.views) if view is task]
            found = inpainter.paint(halves[:, mine].flatten(0, 1)).unflatten(0, (len(batch), -1))
            painted |= dict(zip(mine, found.unbind(1), strict=True))
        return [[painted[i][n] for i in range(len(self.views))] for n in range(len(batch))]


class Oracle:
    """The truth, painted as large as a network would, with Gaussian noise of `noise` levels of 255."""

    def __init__(self, benchmark: Benchmark, size: Size, noise: float = 0.0) -> None:
        self.prepare: Callable[[Case], Tensor] = partial(_truths, benchmark=benchmark, size=size, noise=noise)

    def paint(self, batch: Sequence[Tensor]) -> list[list[Tensor]]:
        """Nothing is left to do."""
        return [list(views) for views in batch]


class Copy:
    """The views as they are, at a network's size: what a painter must beat that has learnt anything."""

    def __init__(self, benchmark: Benchmark, size: Size) -> None:
        self.prepare: Callable[[Case], Tensor] = partial(_halves, size=size, interp=benchmark.query_interp)

    def paint(self, batch: Sequence[Tensor]) -> list[list[Tensor]]:
        """The views, 0..1."""
        return [list(denormalize(views.double())) for views in batch]


class Constant(Copy):
    """The same painting for every query, such as the prompt's target: one of each task, half a canvas (3, H, W)."""

    def __init__(self, benchmark: Benchmark, targets: Sequence[Tensor], size: Size) -> None:
        """`targets`: normalised, in the order of the benchmark's tasks."""
        super().__init__(benchmark, size)
        by_task = dict(zip(benchmark.tasks, targets, strict=True))
        self.painting = [denormalize(by_task[task].double()) for task in benchmark.views]

    def paint(self, batch: Sequence[Tensor]) -> list[list[Tensor]]:
        """The queries are not looked at."""
        return [self.painting for _ in batch]


def _halves(case: Case, size: Size, interp: Literal["bicubic", "bilinear"]) -> Tensor:
    return torch.stack([half(image, size, interp) for image in case.images])


def _truths(case: Case, benchmark: Benchmark, size: Size, noise: float) -> Tensor:
    targets = [
        np.array(resize(Image.fromarray(target), size, benchmark.target_interp or task.target_interp))
        for task, target in zip(benchmark.views, benchmark.targets(case), strict=True)
    ]
    rng = np.random.default_rng(zlib.crc32(case.name.encode()))
    painted = torch.from_numpy(np.stack(targets)).permute(0, 3, 1, 2)
    return (painted + noise * torch.from_numpy(rng.standard_normal(painted.shape))) / 255
