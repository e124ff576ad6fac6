"""Training: draw, paint, compare, accumulate, clip, step (paper, section 3.3). `run` does all of a run."""

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from data.pair_dataset import Sample
from engine.checkpoint import TrainState, find_resume, load_checkpoint, report_changes, save_checkpoint
from engine.config import RunConfig, flatten
from engine.loaders import Lists, accumulation, read_lists, train_batches, val_batches
from engine.loss import masked_loss
from engine.optim import cosine_lr, make_optimizer, set_lr
from engine.precision import Precision
from engine.validate import Validation, to_device, validate
from models import Painter
from models.weights import init_from_mae, load_strict, read_mae, read_weights
from util.dist import World, all_mean, join_world, leave_world
from util.logger import JsonLines, Logger, Scalars, TensorBoard, Wandb
from util.visualize import captioned, save_png


class NonFiniteError(RuntimeError):
    """The loss or its gradient became NaN or infinite; the message names the file that lists the batch."""


Probe = Callable[[Painter, int, World], Scalars]
"""measures the network after so many steps; called by every rank, and numbers are logged that rank 0 returns"""


def run(config: RunConfig, probes: Sequence[Probe] = ()) -> dict[str, Validation]:
    """Train as configured, alone or as one rank of a launch; returns the last validation of each source.

    `probes` are called every log.benchmark_every steps.
    """
    world = join_world(config.device)
    try:
        this = Run(config, world, probes)
        with closing(this.logger):
            return this.train()
    finally:
        leave_world()


class Run:
    """One training run, as one rank sees it."""

    def __init__(self, config: RunConfig, world: World, probes: Sequence[Probe] = ()) -> None:
        self.config, self.world, self.probes = config, world, probes
        self.precision = Precision(config.optim.precision, world.device.type)
        self.accumulation = accumulation(config, world)
        self.lists = read_lists(config.data, world)
        self.total_steps = total_steps(config, self.lists)
        self.state = start_or_resume(config, world, self.precision)
        self.model: nn.Module = self.state.model
        if world.size > 1:
            self.model = DistributedDataParallel(self.state.model)
        self.logger = make_logger(config, self.state.step) if world.is_main else Logger()
        if world.is_main:
            logging.info(
                "%d pairs of %d sources; %d steps of %d samples = %d accumulated x %d ranks x %d at once; %s, %s",
                self.lists.num_train,
                len(self.lists.train),
                self.total_steps,
                config.optim.global_batch,
                self.accumulation,
                world.size,
                config.optim.micro_batch,
                world.device,
                config.optim.precision,
            )

    def train(self) -> dict[str, Validation]:
        """Take all steps that are left; after the last one, validate and save whatever the intervals."""
        log, steps = self.config.log, range(self.state.step, self.total_steps)
        batches = train_batches(self.config, self.lists, self.world, steps)
        results: dict[str, Validation] = {}
        bar = tqdm(steps, "train", self.total_steps, initial=steps.start, disable=not self.world.is_main, unit="step")
        for _ in bar:
            started = time.perf_counter()
            scalars = self.step(batches)
            scalars["samples_per_second"] = self.config.optim.global_batch / (time.perf_counter() - started)
            bar.set_postfix(loss=f"{scalars['loss']:.4f}", refresh=False)
            if self._due(log.every):
                self.logger.scalars(self.state.step, {f"train/{name}": value for name, value in scalars.items()})
            if self._due(log.save_every) and self.world.is_main:
                save_checkpoint(self.config.out_dir, self.state, flatten(self.config), log.keep)
            if self._due(log.val_every):
                results = self.validate()
            if self._due(log.benchmark_every):
                for probe in self.probes:
                    self.logger.scalars(self.state.step, probe(self.state.model, self.state.step, self.world))
        return results or self.validate()  # the latter where nothing was left to train

    def step(self, batches: Iterator[Sample]) -> dict[str, float]:
        """One optimiser step: loss, learning rate, gradient norm before clipping, loss scale."""
        state, optim = self.state, self.config.optim
        lr = cosine_lr(state.step, optim.warmup, self.total_steps, optim.lr, optim.min_lr)
        set_lr(state.optimizer, lr)
        losses, files = list[Tensor](), list[list[str]]()
        for micro in range(self.accumulation):
            batch = next(batches)
            files.append(list(batch.files))
            with self._synchronise(last=micro == self.accumulation - 1):
                losses.append(self._backward(batch, micro))
        state.scaler.unscale_(state.optimizer)
        norm = nn.utils.clip_grad_norm_(state.model.parameters(), optim.clip_grad)
        loss = all_mean(torch.stack(losses).mean()).item()
        self._stop_if_not_finite(loss, norm, losses, files)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad()
        state.step += 1
        return {"loss": loss, "lr": lr, "grad_norm": norm.item(), "loss_scale": state.scaler.get_scale()}

    def _backward(self, batch: Sample, micro: int) -> Tensor:
        """Add one micro-batch's gradient; its random numbers depend on seed, step and place in the batch alone."""
        batch = to_device(batch, self.world.device)
        place = (self.state.step * self.accumulation + micro) * self.world.size + self.world.rank
        torch.manual_seed(self.config.seed * 1_000_003 + place)
        with self.precision.autocast():
            pred = self.model(batch.image, batch.target, batch.mask)
        loss = masked_loss(pred, batch.target, batch.mask, batch.weight, self.config.optim.loss)
        self.state.scaler.scale(loss / self.accumulation).backward()
        return loss.detach()

    def _synchronise(self, last: bool) -> AbstractContextManager[None]:
        """Ranks exchange gradients once an optimiser step, in the last backward pass."""
        if isinstance(self.model, DistributedDataParallel) and not last:
            return self.model.no_sync()
        return nullcontext()

    def _stop_if_not_finite(self, loss: float, norm: Tensor, losses: list[Tensor], files: list[list[str]]) -> None:
        """Stop all ranks before the weights are touched. A scaled fp16 gradient may overflow: its step is skipped."""
        finite_gradient = bool(norm.isfinite()) or self.precision.name == "fp16"
        if torch.tensor(loss).isfinite() and finite_gradient:
            return
        path = self.config.out_dir / f"non_finite_step{self.state.step + 1}_rank{self.world.rank}.json"
        batch = [{"loss": str(loss.item()), "pairs": names} for loss, names in zip(losses, files, strict=True)]
        path.write_text(json.dumps(batch, indent=1))
        raise NonFiniteError(
            f"loss {loss}, gradient norm {norm.item()} at step {self.state.step + 1}; "
            f"the pairs of the batch are in {path}"
        )

    def validate(self) -> dict[str, Validation]:
        """Validate every source that has a list for it; log numbers and pictures."""
        results = {}
        for name in self.lists.val:
            result = validate(
                self.state.model,
                val_batches(self.config, self.lists, name, self.world),
                self.world,
                self.precision,
                self.config.optim.loss,
                self.config.log.pictures,
            )
            scalars = {f"val/{name}/loss": result.loss, f"val/{name}/psnr": result.psnr}
            self.logger.scalars(self.state.step, {key: value for key, value in scalars.items() if math.isfinite(value)})
            if result.strips and self.world.is_main:
                picture = captioned(result.strips)
                self.logger.picture(self.state.step, f"val/{name}", picture)
                save_png(self.config.out_dir / "pictures" / f"{name}_step_{self.state.step:07d}.png", picture)
            results[name] = result
        self.state.model.train()
        return results

    def _due(self, every: int) -> bool:
        return self.state.step % every == 0 or self.state.step == self.total_steps


def total_steps(config: RunConfig, lists: Lists) -> int:
    """Optimiser steps of the run; epochs are turned into them."""
    if config.optim.epochs is None:
        return config.optim.steps
    return max(1, round(config.optim.epochs * lists.num_train / config.optim.global_batch))


def start_or_resume(config: RunConfig, world: World, precision: Precision) -> TrainState:
    """A fresh or initialised model with its optimiser, or the state of a checkpoint."""
    torch.manual_seed(config.seed)
    model = Painter(config.model)
    checkpoint = find_resume(config.out_dir, config.resume)
    if not checkpoint and config.init_mae:
        init_from_mae(model, read_mae(config.init_mae), config.init_mae)
    if not checkpoint and config.init:
        load_strict(model, read_weights(config.init), config.init)
    model = model.to(world.device).train()
    optimizer = make_optimizer(model, config.optim.weight_decay, config.optim.layer_decay, config.optim.betas)
    state = TrainState(model, optimizer, precision.scaler())
    if checkpoint:
        report_changes(load_checkpoint(checkpoint, state), flatten(config))
        logging.info("going on from %s, step %d", checkpoint, state.step)
    return state


def make_logger(config: RunConfig, start_step: int) -> Logger:
    """log.jsonl, TensorBoard and, if configured, wandb; config.json beside them."""
    folder = config.out_dir
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(flatten(config), indent=1))
    sinks = [Wandb(config.log.wandb, folder, flatten(config))] if config.log.wandb else []
    return Logger(
        [*sinks, JsonLines(folder / "log.jsonl", start_step), TensorBoard(folder / "tensorboard", start_step)]
    )
