"""Which pairs come when: a pure function of (seed, step, rank), so a run can stop and go on anywhere.

A global batch is drawn for each optimiser step and dealt to micro-batches and ranks in a fixed order;
the draws do not depend on how many ranks there are, as long as ranks x accumulation stays the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Sampler


@dataclass(frozen=True)
class Draw:
    """A pair's index in the data set, and the seed of all that is random about it."""

    index: int
    seed: tuple[int, ...]


@dataclass(frozen=True)
class TrainSampler(Sampler[Draw]):
    """One rank's draws, with replacement: a source by its weight, then a pair of it, all alike.

    Pairs are indexed source after source, in the order of `sizes`.
    """

    sizes: Sequence[int]
    weights: Sequence[float]
    seed: int
    micro_batch: int
    accumulation: int
    rank: int
    world: int
    steps: range

    def __len__(self) -> int:
        return len(self.steps) * self.accumulation * self.micro_batch

    def __iter__(self) -> Iterator[Draw]:
        for step in self.steps:
            batch = self.global_batch(step)
            for micro in range(self.rank, self.accumulation * self.world, self.world):
                yield from batch[micro * self.micro_batch : (micro + 1) * self.micro_batch]

    def global_batch(self, step: int) -> list[Draw]:
        """All draws of an optimiser step, those of every rank."""
        rng = np.random.default_rng((self.seed, step))  # a draw's seed is longer, and never this one padded with zeros
        count = self.accumulation * self.world * self.micro_batch
        chances = np.array(self.weights) / np.sum(self.weights)
        sizes = np.array(self.sizes)
        source = rng.choice(len(sizes), size=count, p=chances)
        index = (np.cumsum(sizes) - sizes)[source] + rng.integers(sizes[source])
        return [Draw(int(pair), (self.seed, step, slot)) for slot, pair in enumerate(index, start=1)]


@dataclass(frozen=True)
class ValSampler(Sampler[Draw]):
    """Each index once over all ranks, none twice; the same partner for it in every validation."""

    indices: Sequence[int]
    seed: int
    rank: int
    world: int

    def __len__(self) -> int:
        return len(self.indices[self.rank :: self.world])

    def __iter__(self) -> Iterator[Draw]:
        return (Draw(i, (self.seed, i)) for i in self.indices[self.rank :: self.world])
