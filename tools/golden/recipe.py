"""Weights and inputs of the golden cases: functions of name, shape and seed, so that no case stores them."""

import zlib
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from util.image import normalize


class Inputs(NamedTuple):
    """A batch as the model takes it, with the loss-weight map."""

    images: Tensor
    targets: Tensor
    mask: Tensor
    weight: Tensor


def make_weight(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The golden value of a parameter: noise seeded by its name, scaled by its role."""
    noise = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)
    leaf = name.rpartition(".")[2]
    if leaf == "weight" and ("norm" in name or name.startswith("decoder_pred.1.")):
        return 1.0 + 0.1 * noise
    if leaf == "bias":
        return 0.05 * noise
    if "rel_pos" in name:
        return 0.2 * noise
    if leaf == "pos_embed" or "_token" in leaf:
        return 0.5 * noise
    return noise / np.sqrt(int(np.prod(shape[1:])))


def make_inputs(seed: int, n: int, h: int, w: int, black: int | None = None) -> Inputs:
    """Blocky random canvases; sample 0 hides the bottom half, the others half of the tokens at random."""
    rng = np.random.RandomState(seed)
    images, targets = _blocks(rng, n, h, w), _blocks(rng, n, h, w)
    if black is not None:
        targets[black] = 0
    mask = np.zeros((n, h // 16 * (w // 16)), np.int64)
    mask[0, mask.shape[1] // 2 :] = 1
    for row in mask[1:]:
        row[rng.permutation(len(row))[: len(row) // 2]] = 1
    weight = (rng.rand(n, 3, h, w) > 0.2).astype(np.float32)
    weight[:, :, : h // 4] = 1
    if n > 1:
        weight[1] *= 10
    return Inputs(
        normalize(torch.from_numpy(images)),
        normalize(torch.from_numpy(targets)),
        torch.from_numpy(mask).view(n, h // 16, w // 16),
        torch.from_numpy(weight),
    )


def _blocks(rng: np.random.RandomState, n: int, h: int, w: int) -> NDArray[np.float32]:
    coarse = rng.rand(n, 3, h // 8, w // 8).astype(np.float32).repeat(8, 2).repeat(8, 3)
    return np.clip(coarse + 0.05 * rng.standard_normal((n, 3, h, w)).astype(np.float32), 0, 1)
