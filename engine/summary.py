"""What a run is about to do, on one screen: read it before a week of computing."""

from collections.abc import Iterator
from textwrap import wrap

import torch

from engine.config import RunConfig
from engine.cost import StepCost
from engine.fit import FROZEN_BYTES, activation_bytes, state_bytes
from engine.loaders import Lists, accumulation
from models import model_config
from util.dist import World

WIDTH, LABEL = 100, 9
TIED = "\N{NO-BREAK SPACE}"  # where no line may end
FEW_STEPS = 3_000  # about a twentieth of the released model's
EFFICIENCY = (0.6, 0.1)  # of the rate of plain products; the least is that of tiny networks
CHECKPOINT_BYTES = 12  # of a parameter that learns: weight and AdamW's two moments in fp32


def summary(config: RunConfig, lists: Lists, world: World, steps: range, cost: StepCost, rate: float) -> str:
    """Lines of at most 100 characters, unless a path is longer.

    `steps` are those left of the run, up to its last. `rate`: FLOP/s of one device, see engine.cost.matmul_rate.
    """
    facts = {
        "network": _network(config, cost),
        "weights": _weights(config, steps),
        "output": str(config.out_dir),
        "world": _world(config, world),
        "batch": _batch(config, world),
        "steps": _steps(config, lists, steps),
        "rate": _learning_rate(config),
        "time": _time(config, world, steps, cost, rate),
        "memory": _memory(config, world, cost),
        "saves": _saves(config, cost),
    }
    lines = [line for label, text in facts.items() for line in _paragraph(label, text)]
    warnings = [line for text in _warnings(config, steps) for line in _paragraph("WARNING", text)]
    return "\n".join([*lines, *_sources(config, lists, steps), *warnings])


def _paragraph(label: str, text: str) -> list[str]:
    lines = wrap(text, WIDTH - LABEL, break_long_words=False, break_on_hyphens=False)
    return [f"{'' if i else label:{LABEL}}{line}".replace(TIED, " ") for i, line in enumerate(lines)]


def _network(config: RunConfig, cost: StepCost) -> str:
    model, again = config.model, ""
    learning = f" ({(cost.num_parameters - cost.num_frozen) / 1e6:.3g} M learn)" if cost.num_frozen else ""
    if model.checkpointing == "auto":
        again = f", checkpointing {cost.checkpointing}, chosen by memory"
    elif model.checkpointing != "none":
        again = f", checkpointing {model.checkpointing}"
    return (
        f"{cost.num_parameters / 1e6:.1f} M parameters{learning}, {model.depth} blocks of {model.embed_dim}, "
        f"canvas {model.img_size[0]} x {model.img_size[1]}, {config.optim.precision}, {model.attention}{again}"
    )


def _weights(config: RunConfig, steps: range) -> str:
    if steps.start:
        return f"of this run, after {_count(steps.start)} steps"
    if config.init:
        return f"all from {config.init}"
    return f"encoder from {config.init_mae}" if config.init_mae else "random: neither init_mae nor init is given"


def _world(config: RunConfig, world: World) -> str:
    cuda = world.device.type == "cuda"
    name = torch.cuda.get_device_name(world.device) if cuda else world.device.type
    machines = world.size // world.local_size
    where = f" on {machines} machines" if machines > 1 else ""
    return f"{world.size} ranks{where}, {name}, {config.parallel}" if world.size > 1 else f"1 process, {name}"


def _batch(config: RunConfig, world: World) -> str:
    optim = config.optim
    return (
        f"{_count(optim.global_batch)} samples a step = {optim.micro_batch} at once x "
        f"{accumulation(config, world)} accumulated x {world.size} {'ranks' if world.size > 1 else 'rank'}"
    )


def _steps(config: RunConfig, lists: Lists, steps: range) -> str:
    samples = steps.stop * config.optim.global_batch
    left = f" ({_count(len(steps))} left)" if steps.start else ""
    return (
        f"{_count(steps.stop)}{left} = {_short(samples)} samples = {_passes(samples / lists.num_train)} passes over "
        f"the {_count(lists.num_train)} pairs of all lists"
    )


def _learning_rate(config: RunConfig) -> str:
    optim = config.optim
    ruled = 1e-3 * optim.global_batch / 2048
    ways = {"attention": config.model.attention, "checkpointing": config.model.checkpointing}
    ruling = config.model == model_config("painter_vit_large", **ways)
    differs = ruling and abs(optim.lr / ruled - 1) > 0.1
    rule = f"; the paper's 1e-3 x batch / 2048 would be {ruled:.3g}" if differs else ""
    return f"{_count(optim.warmup)} steps of warm-up to {optim.lr:.3g}, then half a cosine to {optim.min_lr:.3g}{rule}"


def _time(config: RunConfig, world: World, steps: range, cost: StepCost, rate: float) -> str:
    if not steps:
        return "nothing is left to train"
    flops = len(steps) * config.optim.global_batch * cost.flops
    fast, slow = (flops / (rate * world.size * share) for share in EFFICIENCY)
    return (
        f"estimated {_duration(fast, slow)}: {cost.flops / 1e12:.3g}{TIED}TFLOP a sample at {EFFICIENCY[0]:.0%} to "
        f"{EFFICIENCY[1]:.0%} of {rate / 1e12:.3g}{TIED}TFLOP/s, the speed of this device in matrix products; "
        "waits for data and validations are not in it"
    )


def _memory(config: RunConfig, world: World, cost: StepCost) -> str:
    """Of one device."""
    state, kept = state_bytes(config, world, cost), activation_bytes(config, cost)
    cuda = world.device.type == "cuda"
    total = f" of the GPU's {_gb(torch.cuda.get_device_properties(world.device).total_memory)}" if cuda else ""
    return (
        f"estimated {_gb(state + kept)}{total} on each rank, and temporary buffers: {_gb(state)} of weights, "
        f"gradients and AdamW, {_gb(kept)} of activations ({_gb(cost.saved_bytes)} a sample)"
    )


def _saves(config: RunConfig, cost: StepCost) -> str:
    log, learning = config.log, cost.num_parameters - cost.num_frozen
    size = learning * CHECKPOINT_BYTES + cost.num_frozen * FROZEN_BYTES
    kept = f"{log.keep} kept" + (f", and those of every {_count(log.keep_every)} steps" if log.keep_every else "")
    room = _gb((log.keep + 1) * size)
    return (
        f"a checkpoint of {_gb(size)} every {_count(log.save_every)} steps, {kept}: {room} of the disk; "
        f"validation every {_count(log.val_every)} steps"
    )


def _sources(config: RunConfig, lists: Lists, steps: range) -> Iterator[str]:
    """A table: how much of each source the whole run draws, as expected of chance."""
    weights = {name: config.data.sources[name].weight for name in lists.train}
    width = max(map(len, ["sources", *weights]))
    yield f"{'sources':{width}} {'pairs':>12} {'share':>8} {'samples':>10} {'passes':>8}"
    for name, weight in weights.items():
        pairs, share = len(lists.train[name]), weight / sum(weights.values())
        samples = steps.stop * config.optim.global_batch * share
        passes = _passes(samples / pairs)
        line = f"{name:{width}} {_count(pairs):>12} {share:>8.1%} {_short(samples):>10} {passes:>8}"
        yield line.replace(TIED, " ")


def _warnings(config: RunConfig, steps: range) -> Iterator[str]:
    optim, total = config.optim, steps.stop
    if total < FEW_STEPS and not config.init:  # to adapt trained weights takes few
        cure = "optim.steps" if optim.epochs is None else "optim.epochs, or take a smaller optim.global_batch"
        yield (
            f"{_count(total)} optimiser steps are few: the released model took {_count(54_000)}, and it is steps "
            f"that make a run converge, not passes over the lists; raise {cure}"
        )
    if optim.warmup >= total:
        yield (
            f"the learning rate never reaches its peak: optim.warmup {_count(optim.warmup)} is not below the "
            f"{_count(total)} steps of the run; the released model's is a fifteenth of its steps"
        )


def _count(number: int) -> str:
    """12 345"""
    return f"{number:,}".replace(",", TIED)


def _short(number: float) -> str:
    """12.3 M"""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.1f}{TIED}{unit}"
    return f"{number:.0f}"


def _passes(number: float) -> str:
    """12.3: three digits, or a whole number"""
    return f"{number:.3g}" if number < 100 else _count(round(number))


def _gb(num_bytes: float) -> str:
    """12.3 GB, or less with two digits, of 1e9 bytes"""
    gb = num_bytes / 1e9
    return f"{gb:.1f}{TIED}GB" if gb >= 1 else f"{gb:.2g}{TIED}GB"


def _duration(fast: float, slow: float) -> str:
    """A range of seconds, in the largest unit that the shorter holds."""
    units = (("days", 86_400), ("hours", 3_600), ("minutes", 60))
    unit, size = next((unit for unit in units if fast >= unit[1]), ("seconds", 1))
    digits = ".2g" if slow < 99.5 * size else ".0f"
    return f"{fast / size:{digits}} to {slow / size:{digits}}{TIED}{unit}"
