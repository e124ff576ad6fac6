"""From a run's data config to batches."""

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from data.pair_dataset import PairDataset, Sample
from data.pairs import Pair, check_files, read_pairs
from data.roots import places
from data.sampler import Draw, TrainSampler, ValSampler
from data.tasks import task_of
from engine.config import DataConfig, RunConfig
from util.cores import loaders_of_a_rank
from util.dist import World, on_main
from util.workers import deaths_explained, start


@dataclass(frozen=True)
class Lists:
    """The pairs of each source in use, by the source's name."""

    train: dict[str, list[Pair]]
    val: dict[str, list[Pair]]

    @property
    def num_train(self) -> int:
        """Pairs in all training lists: an epoch."""
        return sum(map(len, self.train.values()))


def read_lists(config: DataConfig) -> Lists:
    """Read and check the lists of every source with a weight; rank 0 looks for all files meanwhile."""
    used = {name: source for name, source in config.sources.items() if source.weight > 0}
    if not used:
        raise ValueError("no source has a weight above 0; set --data.sources.NAME.weight")
    lists = Lists(
        {name: read_pairs(config.roots, source.train) for name, source in used.items()},
        {name: read_pairs(config.roots, source.val) for name, source in used.items() if source.val},
    )
    if config.check_files:
        on_main(lambda: check_files(config.roots, chain(*lists.train.values(), *lists.val.values())))
    return lists


def accumulation(config: RunConfig, world: World) -> int:
    """Forward passes a rank makes for one optimiser step; ValueError if the batch does not divide."""
    at_once = config.optim.micro_batch * world.size
    if config.optim.global_batch % at_once:
        raise ValueError(
            f"optim.global_batch {config.optim.global_batch} must be a multiple of micro_batch x ranks = "
            f"{config.optim.micro_batch} x {world.size}"
        )
    return config.optim.global_batch // at_once


def train_batches(config: RunConfig, lists: Lists, world: World, steps: range) -> Iterator[Sample]:
    """This rank's micro-batches for `steps`, in order; ValueError names what cannot be read, or a loader's fate."""
    sampler = TrainSampler(
        sizes=[len(source) for source in lists.train.values()],
        weights=[config.data.sources[name].weight for name in lists.train],
        seed=config.seed,
        micro_batch=config.optim.micro_batch,
        accumulation=accumulation(config, world),
        rank=world.rank,
        world=world.size,
        steps=steps,
    )
    return _batches(config, _dataset(config, lists.train, train=True), sampler, world)


def val_batches(config: RunConfig, lists: Lists, name: str, world: World) -> Iterator[Sample]:
    """This rank's share of the first `log.val_limit` validation pairs of the source `name`; else as `train_batches`."""
    indices = range(min(len(lists.val[name]), config.log.val_limit))
    sampler = ValSampler(indices, config.seed, world.rank, world.size)
    return _batches(config, _dataset(config, {name: lists.val[name]}, train=False), sampler, world)


def _dataset(config: RunConfig, lists: dict[str, list[Pair]], train: bool) -> PairDataset:
    """The pairs of these sources, one source after the other."""
    wanted = {name: config.data.sources[name].target_interp for name in lists}
    interp = {
        pair.type: wanted[name] or task_of(pair.type).target_interp for name, pairs in lists.items() for pair in pairs
    }
    return PairDataset(
        config.data.roots,
        [pair for pairs in lists.values() for pair in pairs],
        config.model.img_size,
        config.model.grid,
        config.data.mask,
        train,
        config.data.augment,
        interp,
        quarantine=config.data.broken == "quarantine",
    )


class Told(Dataset[Sample | ValueError]):
    """Samples; of one that cannot be made, the error, which is raised where batches arrive."""

    def __init__(self, dataset: PairDataset) -> None:
        self.dataset = dataset

    def __getitem__(self, draw: Draw) -> Sample | ValueError:
        try:
            return self.dataset[draw]
        except ValueError as error:
            return ValueError(str(error))


def _collate(samples: list[Sample | ValueError]) -> Sample | ValueError:
    """A batch, or the first error in it."""
    errors = (sample for sample in samples if isinstance(sample, ValueError))
    return next(errors, None) or default_collate(samples)


def _batches(
    config: RunConfig, dataset: PairDataset, sampler: TrainSampler | ValSampler, world: World
) -> Iterator[Sample]:
    """The batches of these draws; loader processes start now."""
    workers = loaders_of_a_rank(world, config.data.num_workers)
    loader: DataLoader[Sample | ValueError] = DataLoader(
        Told(dataset),
        batch_size=config.optim.micro_batch,
        sampler=sampler,
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=world.device.type == "cuda",
        timeout=config.timeout_minutes * 60 if workers else 0,
        generator=torch.Generator(),
    )
    return _explained(start(loader), config, world)


def _explained(batches: Iterator[Sample], config: RunConfig, world: World) -> Iterator[Sample]:
    """The same batches; a source that hangs, or a loader process that dies, is a ValueError."""
    with deaths_explained("--data.num_workers"):
        try:
            yield from batches
        except RuntimeError as error:
            if "DataLoader timed out" not in str(error):
                raise
            raise ValueError(
                f"rank {world.rank} on {platform.node()} waited {config.timeout_minutes:g} minutes for data of "
                f"{places(config.data.roots)}; see whether the disk or mount answers, or raise --timeout_minutes"
            ) from None
