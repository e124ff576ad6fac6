"""The model family of golden cases: outputs of the original network on generated weights and inputs.

A case holds a model config, the seed of its inputs and the expected outputs; weights are a function of
parameter name and shape, inputs of the seed, so neither is stored.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.loss import Loss, masked_loss
from engine.optim import cosine_lr, make_optimizer, parameter_groups, set_lr
from models import Painter, PainterConfig, model_config
from tools.golden import Checks, Stored, load
from tools.golden.recipe import Inputs, make_inputs, make_weight

FORWARD, BACKWARD = 1e-5, 1e-4  # relative L2 error allowed in float32: outputs; gradients and steps


def cases(folder: Path, attention: str) -> Iterator[tuple[str, Any]]:
    """(name, function returning Checks) for every case of the folder; the function raises on an unknown case."""
    listed = {case["name"]: case for case in json.loads((folder / "cases.json").read_text())}
    for name in sorted(listed.keys() | {path.stem for path in folder.glob("*.npz")}):
        yield name, lambda name=name: _check_network(listed, name, folder, attention)
    for path in sorted(folder.glob("*.json")):
        if path.name != "cases.json":
            yield path.stem, lambda path=path: _check_facts(path)


def _check_network(listed: dict[str, dict], name: str, folder: Path, attention: str) -> Checks:
    if name not in listed:
        raise ValueError(f"{name}.npz is not listed in cases.json")
    case = listed[name]
    stored = load(folder / f"{name}.npz")
    config: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in case["config"].items() if k != "loss"
    }
    model = _fill(Painter(PainterConfig(**{**config, "attention": attention})))
    batch = make_inputs(**{k: v for k, v in case["inputs"].items() if k != "note"})
    objective = Loss(case["config"].get("loss", "smoothl1"))
    checks: Checks = {}
    if "loss" in stored:
        checks |= _check_forward(model.eval(), batch, objective, stored)
    if "step_losses" in stored:
        checks |= _check_steps(_fill(model), case, objective, stored)
    if any(key.startswith("pred_single") or key.startswith("pred_ensemble") for key in stored):
        checks |= _check_ensemble(model.eval(), batch, stored)
    return _complete(checks, stored)


def _check_forward(model: Painter, batch: Inputs, objective: Loss, stored: Stored) -> Checks:
    """Loss, painted canvas and, where stored, the gradients of one backward pass."""
    with torch.set_grad_enabled("grad_norms" in stored):
        pred = model(*batch[:3])
        loss = masked_loss(pred, batch.targets, batch.mask, batch.weight, objective)
    stride = pred.shape[-1] // stored["pred_sub"].shape[-1] if "pred_sub" in stored else 1
    found = {
        "loss": loss,
        "pred": pred,
        "pred_sub": pred[:, :, ::stride, ::stride],
        "pred_mean": pred.mean((2, 3)),
        "pred_std": pred.std((2, 3), unbiased=False),
        "x_sum": batch.images.double().sum(),
        "y_sum": batch.targets.double().sum(),
        "h": torch.tensor(pred.shape[2]),
        "w": torch.tensor(pred.shape[3]),
    }
    checks = _compare(found, stored, FORWARD)
    if "grad_norms" in stored:
        loss.backward()
        checks |= _compare(_gradient_norms(model, stored["grad_names"]), stored, BACKWARD)
    return checks


def _gradient_norms(model: Painter, names: NDArray[Any]) -> dict[str, Tensor]:
    parameters = dict(model.named_parameters())
    norms = torch.stack([_gradient(parameters[name]).double().norm() for name in names])
    return {"grad_norms": norms, "total_grad_norm": norms.norm()}


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def _check_steps(model: Painter, case: dict, objective: Loss, stored: Stored) -> Checks:
    """A few optimiser steps in train mode, with the recipe's schedule and clipping."""
    train, inputs = case["train"], case["inputs"]
    rule = r"warm-up ([\d.]+) epoch, half-cosine to 0 over ([\d.]+) epochs; step s is at epoch ([\d.]+)\+([\d.]+)\*s"
    schedule = re.fullmatch(rule, train["schedule"])
    if not schedule:
        raise ValueError(f"unknown schedule {train['schedule']!r}")
    warmup, total, first, every = map(float, schedule.groups())
    optimizer = make_optimizer(model.train(), train["weight_decay"], train["layer_decay"], tuple(train["betas"]))
    losses, norms = [], []
    for step in range(train["steps"]):
        batch = make_inputs(inputs["seed"] + 100 + step, inputs["n"], inputs["h"], inputs["w"])
        set_lr(optimizer, cosine_lr(first + every * step, warmup, total, train["lr"], 0.0))
        loss = masked_loss(model(*batch[:3]), batch.targets, batch.mask, batch.weight, objective)
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), train["clip_grad"]))
        optimizer.step()
        losses.append(loss.detach())
    parameters = dict(model.named_parameters())
    values = [parameters[name].detach().double() for name in stored["step_param_names"]]
    found = {
        "step_losses": torch.stack(losses),
        "step_grad_norms": torch.stack(norms),
        "step_param_sums": torch.stack([v.sum() for v in values]),
        "step_param_abs": torch.stack([v.abs().sum() for v in values]),
    }
    return _compare(found, stored, BACKWARD)


def _check_ensemble(model: Painter, batch: Inputs, stored: Stored) -> Checks:
    """Several prompts over one query, with each type token, apart and with the feature ensemble.

    The recipe scales type tokens by 0.5, yet stored outputs exist that were made with 1 / sqrt(C), its scale
    for matrices: a case may follow either.
    """
    images, targets, mask, _ = batch
    mask, half = mask[:1].expand_as(mask), images.shape[2] // 2
    images = torch.cat((images[:, :, :half], images[:1, :, half:].expand_as(images[:, :, half:])), dim=2)
    candidates = []
    for rescale in (1.0, 2 * model.config.embed_dim**-0.5):
        found = {}
        with torch.no_grad():
            model.type_token_cls.mul_(rescale)
            model.type_token_ins.mul_(rescale)
            for kind in (0, 1):
                found[f"pred_single_type{kind}"] = model(images, targets, mask, kind)
                found[f"pred_ensemble_type{kind}"] = model(images, targets, mask, kind, num_prompts=len(images))
        candidates.append(_compare(found, stored, FORWARD))
    return min(candidates, key=lambda checks: max(error for error, _ in checks.values()))


def _check_facts(path: Path) -> Checks:
    """State-dict names and shapes, or parameter groups, of a registered model."""
    known = re.fullmatch(r"(\w+)_(state_dict|param_groups)", path.stem)
    if not known:
        raise ValueError(f"{path.name} is no known kind of fact")
    expected = {name: list(value) for name, value in json.loads(path.read_text()).items()}
    with torch.device("meta"):
        model = Painter(model_config(f"painter_{known[1]}"))
    if known[2] == "state_dict":
        found = {name: list(value.shape) for name, value in model.state_dict().items()}
        return {"names and shapes": (float(found != expected), 0.5)}
    groups = parameter_groups(model, weight_decay=0.05, layer_decay=0.8)
    found = {name: [group["lr_scale"], group["weight_decay"]] for group in groups for name in group["names"]}
    if found.keys() != expected.keys():
        raise ValueError(f"parameter names differ: {sorted(found.keys() ^ expected.keys())[:5]}")
    return {"groups": (max(float(np.max(np.abs(np.subtract(found[n], expected[n])))) for n in found), 1e-12)}


def _compare(found: dict[str, Tensor], stored: Stored, tolerance: float) -> Checks:
    return {key: (relative_error(value, stored[key]), tolerance) for key, value in found.items() if key in stored}


def relative_error(found: Tensor, expected: NDArray[Any]) -> float:
    """|found - expected| / |expected| (L2); infinite where shapes differ or a value is not finite."""
    a, b = found.detach().double().numpy(), np.asarray(expected, np.float64)
    if a.shape != b.shape or not np.isfinite(a).all():
        return float("inf")
    return float(np.linalg.norm(a - b)) / max(float(np.linalg.norm(b)), 1e-30)


def _complete(checks: Checks, stored: Stored) -> Checks:
    """Refuse a case that stores something that was not compared."""
    labels = {"grad_names", "step_param_names", "seed"}
    unknown = stored.keys() - checks.keys() - labels
    if unknown or not checks:
        raise ValueError(f"the case stores values of an unknown kind: {', '.join(sorted(unknown)) or 'none at all'}")
    return checks


def _fill(model: Painter) -> Painter:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(make_weight(name, tuple(parameter.shape))))
    return model
