"""The masked loss against the formula, value by value."""

import numpy as np
import pytest
import torch

from engine.loss import LOSSES, Loss, masked_loss
from util.image import denormalize

PER_VALUE = {
    "smoothl1": lambda d: 0.5 * d * d / 0.01 if abs(d) < 0.01 else abs(d) - 0.005,
    "l1": abs,
    "l2": lambda d: d * d,
    "l1l2": lambda d: (abs(d) + d * d) / 2,
}


def batch(n=2):
    g = torch.Generator().manual_seed(0)
    target = torch.randn(n, 3, 32, 16, generator=g)
    pred = target + torch.randn(n, 3, 32, 16, generator=g) * 0.02
    mask = torch.tensor([[[1], [0]], [[0], [1]]])[:n]
    weight = torch.rand(n, 3, 32, 16, generator=g)
    return pred, target + 3, mask, weight  # + 3: bright, so that the visible part counts


@pytest.mark.parametrize("kind", LOSSES)
def test_loss_equals_the_formula(kind):
    pred, target, mask, weight = batch()
    pred = pred + 3
    total = counted = 0.0
    for n, c, y, x in np.ndindex(*pred.shape):
        if mask[n, y // 16, x // 16]:
            total += PER_VALUE[kind](float(pred[n, c, y, x] - target[n, c, y, x])) * float(weight[n, c, y, x])
            counted += float(weight[n, c, y, x])
    assert float(masked_loss(pred, target, mask, weight, Loss(kind))) == pytest.approx(
        total / (counted + 0.01), rel=1e-4
    )


def test_a_black_prompt_counts_nothing():
    pred, target, mask, weight = batch()
    black = -denormalize(torch.zeros(1, 3, 1, 1)) / (
        denormalize(torch.ones(1, 3, 1, 1)) - denormalize(torch.zeros(1, 3, 1, 1))
    )
    target[1, :, :16] = black[0]  # sample 1 shows its top half
    assert masked_loss(pred, target, mask, weight) == pytest.approx(
        masked_loss(pred[:1], target[:1], mask[:1], weight[:1])
    )
    assert masked_loss(pred[1:], target[1:], mask[1:], weight[1:]) == 0


@pytest.mark.parametrize(("loss", "border"), [(Loss(), 300), (Loss(darkest=3), 3)])
def test_visible_brightness_has_a_border(loss, border):
    pred, _, mask, weight = batch(1)
    for brightness, counts in ((1.001 * border, True), (0.999 * border, False)):
        level = torch.full((1, 3, 32, 16), brightness / (3 * 16 * 16))
        mean, std = (
            denormalize(torch.zeros(1, 3, 1, 1)),
            denormalize(torch.ones(1, 3, 1, 1)) - denormalize(torch.zeros(1, 3, 1, 1)),
        )
        assert bool(masked_loss(pred, (level - mean) / std, mask, weight, loss) > 0) == counts


def test_all_weights_zero_gives_zero_and_no_nan():
    pred, target, mask, weight = batch()
    pred.requires_grad_()
    loss = masked_loss(pred, target, mask, weight * 0)
    loss.backward()
    assert loss == 0
    assert pred.grad.abs().max() == 0
