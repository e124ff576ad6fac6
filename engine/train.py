"""Training: draw, paint, compare, accumulate, clip, step (paper, section 3.3). `run` does all of a run."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace

import torch
from torch import Tensor, nn
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from data.pair_dataset import Sample
from engine.checkpoint import Checkpoints
from engine.config import RunConfig, flatten
from engine.cost import matmul_rate
from engine.faults import Guard, Quarantine
from engine.fit import fit
from engine.loaders import accumulation, read_lists, train_batches, val_batches
from engine.loss import mean_error, weighted_error
from engine.meter import Meter, profiler
from engine.optim import cosine_lr, set_lr, step_if
from engine.outcome import Micro, Outcome, gather_facts, is_prompt
from engine.parallel import exchange_gradients, total, whole
from engine.precision import Precision
from engine.start import make_logger, start_state, total_steps
from engine.stop import Stopped, StopSignals
from engine.summary import summary
from engine.validate import Validation, to_device, validate
from models import Painter
from util.cores import leave_cores, loaders_of_a_rank
from util.dist import World, all_sum, joined, on_main
from util.lock import check_shared, held
from util.logger import Logger, Scalars
from util.visualize import captioned
from util.workers import deaths_explained

Probe = Callable[[Painter, int, World], Scalars]
"""measures the network after so many steps; called by every rank, and numbers are logged that rank 0 returns"""


def run(config: RunConfig, probes: Sequence[Probe] = ()) -> dict[str, Validation]:
    """Train as configured, alone or as one rank of a launch; returns the last validation of each source.

    `probes` are called every log.benchmark_every steps. Raises Stopped, after a checkpoint, at a signal; ValueError on
    what the user can mend; NonFiniteError; LostRankError where another rank died or hung.
    """
    with StopSignals() as signals, joined(config.device, config.timeout_minutes) as world, ExitStack() as stack:
        stack.enter_context(deaths_explained("--data.num_workers"))
        owner = on_main(lambda: stack.enter_context(held(config.out_dir)))
        if not world.is_main:
            check_shared(config.out_dir, owner)
        leave_cores(world, loaders_of_a_rank(world, config.data.num_workers))
        this = Run(config, world, signals, probes)
        stack.callback(this.checkpoints.settle)  # before the folder is given free
        with closing(this.logger):
            results = this.train()
    if this.stopping:
        raise Stopped(this.state.step, signals.status)
    return results


class Run:
    """One training run, as one rank sees it."""

    def __init__(self, config: RunConfig, world: World, signals: StopSignals, probes: Sequence[Probe] = ()) -> None:
        self.config, self.world, self.signals, self.probes = config, world, signals, probes
        self.stopping = False
        self.outcome: Outcome | None = None
        self.scalars: Scalars = {}
        self.precision = Precision(config.optim.precision, world.device.type)
        self.accumulation = on_main(lambda: accumulation(config, world))
        self.lists = read_lists(config.data)
        self.total_steps = total_steps(config, self.lists)
        self.checkpoints = Checkpoints(config.out_dir, config.log.keep, world, config.log.keep_every)
        self.cost = fit(config, world)
        network = replace(config.model, checkpointing=self.cost.checkpointing)
        self.state, self.model = start_state(replace(config, model=network), world, self.precision, self.checkpoints)
        self.guard = Guard(config.optim, config.out_dir, world)
        self.quarantine = Quarantine(config.data, config.out_dir, world, self.state.broken)
        self.logger = make_logger(config, self.state.step) if world.is_main else Logger()
        self.meter = self._start_meter()

    def _start_meter(self) -> Meter:
        """Show the user what is ahead, and begin to measure it."""
        config, world, cost = self.config, self.world, self.cost
        rate = on_main(lambda: matmul_rate(world.device, config.optim.precision))
        if world.is_main:
            print(summary(config, self.lists, world, range(self.state.step, self.total_steps), cost, rate), flush=True)
        names = {config.data.sources[name].train: name for name in self.lists.train}
        samples = config.optim.global_batch
        return Meter(names, world, samples, samples * cost.flops, rate * world.size)

    def train(self) -> dict[str, Validation]:
        """Take all steps that are left; after the last one, validate and save whatever the intervals."""
        log, steps = self.config.log, range(self.state.step, self.total_steps)
        batches = train_batches(self.config, self.lists, self.world, steps)
        results: dict[str, Validation] = {}
        bar = tqdm(steps, "train", self.total_steps, initial=steps.start, disable=not self.world.is_main, unit="step")
        trace = profiler(self.config.profile, self.config.out_dir / "profile", self.world)
        with logging_redirect_tqdm(), trace as end_of_step:
            for _ in bar:
                if not self.step(batches):
                    break
                end_of_step()
                if is_prompt(self.world.device) or self._is_anything_due():
                    self.learn()
                if self.scalars:
                    bar.set_postfix(loss=f"{self.scalars['loss']:.4f}", refresh=False)
                if self._due(log.every):
                    self._record("train", self.scalars | self.meter.read())
                results = self._measure() or results
                self.checkpoints.poll()
                if self._due(log.save_every):
                    self._save()
                if self.stopping:
                    break
        if self.stopping and not self._due(log.save_every):
            self._save()
        self.checkpoints.finish()
        return results or ({} if self.stopping else self.validate())  # the latter where nothing was left to train

    def step(self, batches: Iterator[Sample]) -> bool:
        """Queue one optimiser step; False, and it is not taken, where the one before turns out to be the last."""
        micros = list[Micro]()
        for micro in range(self.accumulation):
            self.world.note(f"waiting for data of step {self.state.step + 1}")
            batch = self.meter.waiting(batches)
            self.world.note(f"computing step {self.state.step + 1}")
            micros.append(Micro(self._backward(batch, micro), list(batch.files), list(batch.broken)))
            self.learn()  # of the step before, now that the device has work again
            if self.stopping:
                return False
        self._update(micros)
        return True

    def _backward(self, batch: Sample, micro: int) -> Tensor:
        """Add one micro-batch's gradient; its random numbers depend on seed, step and place in the batch alone."""
        canvas = to_device(batch, self.world.device)
        place = (self.state.step * self.accumulation + micro) * self.world.size + self.world.rank
        torch.manual_seed(self.config.seed * 1_000_003 + place)
        with exchange_gradients(self.model, now=micro == self.accumulation - 1):
            with self.precision.autocast():
                pred = self.model(canvas.image, canvas.target, canvas.mask)
            error, weight = weighted_error(pred, canvas.target, canvas.mask, canvas.weight, self.config.optim.objective)
            loss = mean_error(error, weight)
            self.state.scaler.scale(loss / self.accumulation).backward()
        self.meter.add(batch.source, error.detach().sum((1, 2, 3)), weight.sum((1, 2, 3)))
        return loss.detach()

    def _update(self, micros: Sequence[Micro]) -> None:
        """Clip and step, unless loss or gradient is not finite: the device decides, the host learns of it later."""
        state, optim = self.state, self.config.optim
        self.quarantine.note([text for micro in micros for text in micro.broken])
        lr = cosine_lr(state.step, optim.warmup, self.total_steps, optim.lr, optim.min_lr)
        set_lr(state.optimizer, lr)
        scale = state.scaler.scale(torch.ones((), device=self.world.device))
        state.scaler.unscale_(state.optimizer)
        norm = total(nn.utils.clip_grad_norm_(state.model.parameters(), optim.clip_grad))
        flags = [bool(self.signals.heard), len(self.quarantine.new)]
        facts = gather_facts(micros, norm, scale, flags, self.world.size)
        step_if(state.optimizer, facts[:2].isfinite().all())  # loss and norm
        state.scaler.update()
        state.optimizer.zero_grad()
        state.step += 1
        self.meter.end_step()
        self.outcome = Outcome(state.step, lr, micros, facts)

    def learn(self) -> None:
        """Take in the outcome of the last whole step, unless that was done. It may wait for the device.

        Raises as Guard.refuse and Quarantine.share.
        """
        outcome, self.outcome = self.outcome, None
        if not outcome:
            return
        state, facts = self.state, outcome.read()
        self.stopping = facts.stop > 0
        if facts.broken:
            self.checkpoints.settle()
            self.quarantine.share()
        if not self.guard.is_finite(facts.loss, facts.norm, facts.scale):
            self.checkpoints.settle()  # it may be the last one
            state.skipped = self.guard.refuse(outcome.step, state.skipped, facts.loss, facts.norm, outcome.micros)
        left_out = {"skipped": state.skipped, "broken": len(state.broken)}
        found = {"loss": facts.loss, "lr": outcome.lr, "grad_norm": facts.norm, "loss_scale": facts.scale}
        self.scalars = found | left_out

    def _measure(self) -> dict[str, Validation]:
        """Validations and benchmarks that are due now."""
        results, log = {}, self.config.log
        if self._due(log.val_every):
            results = self.validate()
        if self.probes and self._due(log.benchmark_every):
            self.checkpoints.settle()
            with whole(self.model):
                for probe in self.probes:
                    self._record("", probe(self.state.model, self.state.step, self.world))
        return results

    def validate(self) -> dict[str, Validation]:
        """Validate every source that has a list for it; log numbers and pictures."""
        self.checkpoints.settle()  # loader processes are forked, and should not be from amid a thread's work
        results = {}
        for name in self.lists.val:
            self.world.note(f"validating {name} after step {self.state.step}")
            batches = val_batches(self.config, self.lists, name, self.world)
            with whole(self.model):
                results[name] = validate(
                    self.state.model,
                    self._noted(batches),
                    self.world,
                    self.precision,
                    self.config.optim.objective,
                    self.config.log.pictures,
                )
            self._show(name, results[name])
        if all_sum(torch.tensor(len(self.quarantine.new), device=self.world.device)).item():
            self.quarantine.share()
        self.state.model.train()
        return results

    def _noted(self, batches: Iterator[Sample]) -> Iterator[Sample]:
        for batch in batches:
            self.quarantine.note(batch.broken)
            yield batch

    def _show(self, name: str, result: Validation) -> None:
        self._record("val", {f"{name}/loss": result.loss, f"{name}/psnr": result.psnr})
        if result.strips and self.world.is_main:
            self.logger.picture(self.state.step, f"val/{name}", captioned(result.strips))

    def _record(self, group: str, scalars: Scalars) -> None:
        finite = {f"{group}/{name}".strip("/"): value for name, value in scalars.items() if math.isfinite(value)}
        self.logger.scalars(self.state.step, finite)

    def _save(self) -> None:
        self.checkpoints.save(self.state, flatten(self.config))

    def _is_anything_due(self) -> bool:
        log = self.config.log
        return any(map(self._due, (log.every, log.val_every, log.benchmark_every, log.save_every)))

    def _due(self, every: int) -> bool:
        return self.state.step % every == 0 or self.state.step == self.total_steps
