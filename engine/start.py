"""How a run begins: its length, its network and optimiser, fresh or as a checkpoint has them, and its record."""

import json
import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.checkpoint import Checkpoints
from engine.config import RunConfig, flatten
from engine.loaders import Lists
from engine.optim import freeze, make_optimizer
from engine.parallel import parallelise
from engine.precision import Precision
from engine.pretrained import weights_of
from engine.state import TrainState
from models import Painter
from models.weights import at_canvas_of, init_from_mae, load_strict, read_mae, read_weights
from util.dist import World
from util.files import write
from util.logger import JsonLines, Logger, Pictures, TensorBoard, Wandb

HARMLESS = (
    *("log.", "out_dir", "resume", "profile", "timeout_minutes", "data.num_workers", "data.check_files"),
    *("compile", "model.attention", "model.checkpointing"),
)


def total_steps(config: RunConfig, lists: Lists) -> int:
    """Optimiser steps of the run; epochs are turned into them."""
    if config.optim.epochs is None:
        return config.optim.steps
    return max(1, round(config.optim.epochs * lists.num_train / config.optim.global_batch))


def start_state(
    config: RunConfig, world: World, precision: Precision, checkpoints: Checkpoints
) -> tuple[TrainState, nn.Module]:
    """A fresh or initialised network with its optimiser, or those of a checkpoint; and what the ranks train on."""
    found = checkpoints.find(config.resume)
    model = _fresh(config, with_weights=found is None).to(world.device).train()
    parallel = parallelise(model, config.parallel, world, config.compile)
    optimizer = make_optimizer(model, config.optim.weight_decay, config.optim.layer_decay, config.optim.betas)
    state = TrainState(model, optimizer, precision.scaler())
    if found:
        old = checkpoints.load(found, state)
        if world.is_main:
            report_changes(old, flatten(config))
            logging.info("going on from %s, step %d", found, state.step)
    return state, parallel


def _fresh(config: RunConfig, with_weights: bool) -> Painter:
    """The network of the config, the same on every rank; from its initial weights, if it names some and they count."""
    torch.manual_seed(config.seed)
    model = Painter(config.model)
    if with_weights and config.init_mae:
        init_from_mae(model, read_mae(config.init_mae), config.init_mae)
    if with_weights and config.init:
        load_strict(model, at_canvas_of(model, read_weights(weights_of(Path(config.init)))), config.init)
    freeze(model, config.optim.learn)
    return model


def report_changes(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Warn of every config value that differs from the resumed run's, and may change what is learned."""
    for change in changes(old, new):
        logging.warning("resumed with another %s", change)


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """`key: old -> new` of each value of two flattened configs that may change what is learned."""
    keys = sorted(key for key in old.keys() | new.keys() if not key.startswith(HARMLESS))
    return [f"{key}: {old.get(key)} -> {new.get(key)}" for key in keys if old.get(key) != new.get(key)]


def make_logger(config: RunConfig, start_step: int) -> Logger:
    """log.jsonl, TensorBoard, pictures and, if configured, wandb; config.json beside them."""
    folder = config.out_dir
    write(folder / "config.json", json.dumps(flatten(config), indent=1).encode())
    sinks = [Wandb(config.log.wandb, folder, flatten(config))] if config.log.wandb else []
    lines, board = JsonLines(folder / "log.jsonl", start_step), TensorBoard(folder / "tensorboard", start_step)
    return Logger([*sinks, lines, board, Pictures(folder / "pictures")])
