"""Learn a prompt: the pixels of a pair are the only weights that change, the network is frozen (paper, Figure S6)."""

import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from data.pair_dataset import Sample
from data.pairs import Pair, read_pair
from data.prompt import query_half, stitch
from data.roots import Roots
from data.tasks import Size
from engine.inpaint import Prompt, half
from engine.loss import RELEASED, Loss, masked_loss
from engine.optim import cosine_lr
from engine.precision import Precision
from engine.validate import Validation, to_device, validate
from models import Painter
from util.dist import World

Sides = Literal["both", "image", "target"]
Halves = tuple[Tensor, Tensor]
"""a prompt's image and target as half canvases (3, H, W), normalised"""

CHECKS = 20  # of the prompt, on held-out pairs, while it is learned
HELD_OUT, MOST_HELD_OUT = 0.1, 64  # of the training pairs, and how many at most


class BelowPrompt(nn.Module):
    """A network that sees one prompt pair, its parameters `image` and `target`, in place of any canvas's own."""

    def __init__(self, model: Painter, image: Tensor, target: Tensor, learn: Sides = "both") -> None:
        """`image`, `target`: half canvases (3, H, W), normalised. Freezes the network, and puts it to evaluation."""
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.image = nn.Parameter(image.clone(), requires_grad=learn != "target")
        self.target = nn.Parameter(target.clone(), requires_grad=learn != "image")

    def forward(self, images: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """Canvases (N, 3, 2H, W) and the half mask (N, h, w), as of the network; returns what it paints, as it does."""
        image, target = (side.expand(len(images), -1, -1, -1) for side in (self.image, self.target))
        below_image, below_target = stitch(image, query_half(images)), stitch(target, query_half(targets))
        return stitch(target, self.model(below_image, below_target, mask, query_only=True))

    def halves(self) -> Halves:
        """The prompt as it is now, a copy."""
        return self.image.detach().clone(), self.target.detach().clone()


class Learned(NamedTuple):
    """The best prompt on held-out pairs."""

    prompt: Halves
    step: int
    """after how many steps it was the best; 0: none was better than the one to start from"""
    losses: dict[int, float]
    """the loss on held-out pairs, by step"""


def learn(
    below: BelowPrompt,
    batches: Iterator[Sample],
    held_out: Sequence[Sample],
    steps: int,
    lr: float,
    world: World,
    precision: Precision,
    loss: Loss = RELEASED,
) -> Learned:
    """Adam on the prompt's pixels, the rate falling as half a cosine; `below` ends as learned last, not as the best.

    `batches` have the query half hidden. Raises ValueError if the loss is no longer finite.
    """
    optimizer = torch.optim.Adam([side for side in (below.image, below.target) if side.requires_grad])
    losses = {0: measure(below, held_out, world, precision, loss).loss}
    best, every = Learned(below.halves(), 0, losses), math.ceil(steps / CHECKS)
    bar = tqdm(range(1, steps + 1), "learn", unit="step")
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = cosine_lr(step - 1, 0, steps, lr, 0.0)
        _step(below, next(batches), optimizer, world, precision, loss)
        if step % every and step != steps:
            continue
        losses[step] = measure(below, held_out, world, precision, loss).loss
        if not math.isfinite(losses[step]):
            raise ValueError(f"the loss is {losses[step]} after step {step}; give a smaller --lr")
        if losses[step] < losses[best.step]:
            best = Learned(below.halves(), step, losses)
        bar.set_postfix(held_out=f"{losses[step]:.4f}", best=f"{losses[best.step]:.4f}")
    return best


def measure(
    below: BelowPrompt, batches: Sequence[Sample], world: World, precision: Precision, loss: Loss = RELEASED
) -> Validation:
    """Loss and PSNR of the queries of these batches below the prompt, as training validates."""
    return validate(below, batches, world, precision, loss, num_strips=0)


def _step(
    below: BelowPrompt,
    batch: Sample,
    optimizer: torch.optim.Optimizer,
    world: World,
    precision: Precision,
    loss: Loss,
) -> None:
    canvas = to_device(batch, world.device)
    with precision.autocast():
        pred = below(canvas.image, canvas.target, canvas.mask)
    optimizer.zero_grad()
    masked_loss(pred, canvas.target, canvas.mask, canvas.weight, loss).backward()
    optimizer.step()


def split(pairs: Sequence[Pair], seed: int) -> tuple[list[Pair], list[Pair]]:
    """Pairs to learn from, and pairs that say when the prompt is best; ValueError if there are too few."""
    if len(pairs) < 2:
        raise ValueError(f"{pairs[0].listed_in} lists one pair; to learn a prompt takes 2 or more")
    order = np.random.default_rng((seed, 0)).permutation(len(pairs))
    num = min(max(1, round(HELD_OUT * len(pairs))), MOST_HELD_OUT)
    return [pairs[i] for i in order[num:]], [pairs[i] for i in order[:num]]


def listed_prompt(roots: Roots, pair: Pair, size: Size) -> Halves:
    """A training pair as a prompt."""
    return halves(read_pair(roots, pair), size)


def halves(prompt: Prompt, size: Size) -> Halves:
    """Image and target, resized as all prompts are."""
    return half(prompt[0], size), half(prompt[1], size)
