"""Learning a prompt: its pixels change and nothing else, towards what the queries need; the best one is kept."""

import math
from copy import deepcopy
from itertools import count, repeat

import pytest
import torch
from torch import nn

from data.pair_dataset import Sample
from data.pairs import Pair
from data.prompt import half_mask, stitch
from engine import learn_prompt
from engine.learn_prompt import CHECKS, BelowPrompt, halves, learn, measure, split
from engine.loss import Loss, masked_loss
from engine.precision import Precision
from engine.validate import to_device
from models import Painter, PainterConfig
from util.dist import join_world
from util.image import normalize

SMALL = PainterConfig((32, 16), 8, 16, 4, 2, decoder_embed_dim=4, pretrain_img_size=16, drop_path_rate=0.3)
FP32, ALONE = Precision("fp32", "cpu"), join_world("cpu")


def painter():
    torch.manual_seed(0)
    return Painter(SMALL)


def sample(seed=0, num=2, gray=None):
    """A batch; `gray`: the targets' value, else random."""
    torch.manual_seed(seed)
    image, target = torch.randint(1, 256, (2, num, 3, 32, 16), dtype=torch.uint8)
    if gray is not None:
        target.fill_(gray)
    target[:, :, :16] = 255  # a canvas whose own prompt is black counts nothing, as in training
    mask, whole = half_mask((4, 2)).expand(num, -1, -1), torch.tensor([0, 0, 32, 16]).expand(num, -1)
    return Sample(image, target, mask, whole, ["bicubic"] * num, ["derain_image2derain"] * num, [""], [""], [""])


class Copies(nn.Module):
    """Paints below a prompt its target, and a share of its image: what the best prompt is, is known."""

    def __init__(self, share=0.0):
        super().__init__()
        self.share = nn.Parameter(torch.tensor(share))

    def forward(self, images, targets, mask, query_only=False):
        assert query_only
        return targets[:, :, :16] + self.share * images[:, :, :16]


def constant(gray):
    """Half a canvas of a gray of 0..255."""
    return normalize(torch.full((3, 16, 16), gray / 255))


def test_the_query_is_painted_below_the_prompt_whatever_stood_above_it():
    model, canvas = painter().eval(), to_device(sample(), ALONE.device)
    image, target = torch.randn(2, 3, 16, 16)
    below = BelowPrompt(model, image, target)
    painted = below(canvas.image, canvas.target, canvas.mask)
    images = stitch(image.expand(2, -1, -1, -1), canvas.image[:, :, 16:])
    targets = stitch(target.expand(2, -1, -1, -1), torch.zeros(2, 3, 16, 16))  # hidden, so it may be anything
    torch.testing.assert_close(painted[:, :, 16:], model(images, targets, canvas.mask)[:, :, 16:])
    others = canvas.image.clone(), canvas.target.clone()
    for other in others:
        other[:, :, :16] = 0.3
    assert torch.equal(painted, below(*others, canvas.mask))


def test_gradients_reach_the_prompt_alone_and_are_those_of_finite_differences():
    model = painter().double()
    image, target = torch.randn(2, 3, 16, 16, dtype=torch.double)
    below = BelowPrompt(model, image, target)
    canvas = [x.double() for x in to_device(sample(), ALONE.device)]

    def loss():
        pred = below(*canvas[:3])
        return masked_loss(pred.double(), canvas[1], canvas[2], canvas[3], Loss("l2"))

    loss().backward()
    assert [name for name, p in below.named_parameters() if p.grad is not None] == ["image", "target"]
    for side in (below.image, below.target):
        place = side.grad.abs().flatten().argmax()
        found = side.grad.flatten()[place].item()
        values = []
        for step in (1e-2, -2e-2):
            side.data.flatten()[place] += step
            values.append(loss().item())
        assert (values[0] - values[1]) / 2e-2 == pytest.approx(found, rel=2e-2)  # the loss is of float32


@pytest.mark.parametrize("sides", ["both", "image", "target"])
def test_only_the_chosen_sides_change_and_no_weight(sides):
    model = painter()
    before, (image, target) = deepcopy(model.state_dict()), torch.randn(2, 3, 16, 16)
    below = BelowPrompt(model, image, target, sides)
    found = learn(below, map(sample, count()), [sample(0)], 4, 0.05, ALONE, FP32)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(below.image, image) == (sides == "target")
    assert torch.equal(below.target, target) == (sides == "image")
    assert found.losses.keys() == {0, 1, 2, 3, 4}


def test_it_finds_the_prompt_that_is_best():
    """The mean squared error to grays 60 and 180, one batch after the other, is least at their mean."""
    below = BelowPrompt(Copies(), constant(10), constant(30))
    batches = (sample(gray=(60, 180)[i % 2]) for i in count())
    held_out = [sample(gray=60), sample(gray=180)]
    found = learn(below, batches, held_out, 200, 0.05, ALONE, FP32, Loss("l2"))
    error = (found.prompt[1] - constant(120)).abs().max()
    assert error < 0.02 < (constant(30) - constant(120)).abs().max() / 10
    assert torch.equal(found.prompt[0], constant(10))  # that the network does not look at
    assert found.losses[found.step] == min(found.losses.values()) < found.losses[0] / 2


@pytest.mark.parametrize("side", ["image", "target"])
def test_the_best_on_held_out_pairs_is_kept_not_the_last(side):
    """Training pulls from gray 100 to 200, past the held-out 150."""
    model, nothing = Copies(float(side == "image")), torch.zeros(3, 16, 16)
    prompt = (constant(100), nothing) if side == "image" else (nothing, constant(100))
    below = BelowPrompt(model, *prompt, side)
    found = learn(below, repeat(sample(gray=200)), [sample(gray=150)], 60, 0.05, ALONE, FP32, Loss("l2"))
    assert len(found.losses) == CHECKS + 1
    assert 0 < found.step < 60
    assert found.losses[found.step] == min(found.losses.values())
    again = measure(BelowPrompt(model, *found.prompt), [sample(gray=150)], ALONE, FP32, Loss("l2"))
    assert again.loss == pytest.approx(found.losses[found.step])
    assert not all(map(torch.equal, found.prompt, below.halves()))


def test_a_prompt_that_only_gets_worse_stays_as_it_was():
    below = BelowPrompt(Copies(), constant(10), constant(100))
    found = learn(below, repeat(sample(gray=200)), [sample(gray=100)], 5, 0.05, ALONE, FP32)
    assert found.step == 0
    assert torch.equal(found.prompt[1], constant(100))


def test_the_rate_falls_to_nothing(monkeypatch):
    rates, step = [], learn_prompt._step

    def spy(below, batch, optimizer, *rest):
        rates.append(optimizer.param_groups[0]["lr"])
        step(below, batch, optimizer, *rest)

    monkeypatch.setattr(learn_prompt, "_step", spy)
    learn(BelowPrompt(Copies(), constant(1), constant(2)), repeat(sample()), [sample()], 8, 0.4, ALONE, FP32)
    assert rates == pytest.approx([0.2 * (1 + math.cos(math.pi * i / 8)) for i in range(8)])


def test_a_loss_that_is_not_finite_is_said():
    below = BelowPrompt(Copies(), constant(1), constant(2))
    with pytest.raises(ValueError, match=r"the loss is (nan|inf) after step 1; give a smaller --lr"):
        learn(below, repeat(sample()), [sample()], 5, 1e30, ALONE, FP32, Loss("l2"))


def test_measure_is_the_loss_and_psnr_of_the_queries():
    below = BelowPrompt(Copies(), constant(10), constant(100))
    found = measure(below, [sample(gray=151)], ALONE, FP32, Loss("l1"))
    assert found.psnr == pytest.approx(-20 * math.log10(51 / 255), abs=1e-4)
    assert found.loss == pytest.approx((constant(151) - constant(100)).abs().mean().item(), rel=1e-3)


@pytest.mark.parametrize(("num", "held"), [(2, 1), (5, 1), (40, 4), (1000, 64)])
def test_a_part_is_held_out_by_the_seed(num, held):
    pairs = [Pair(f"{i}", "", "", "list", i) for i in range(num)]
    rest, out = split(pairs, 3)
    assert len(out) == held
    assert sorted(rest + out) == sorted(pairs)
    assert (rest, out) == split(pairs, 3)
    if num == 40:
        assert set(out) != set(split(pairs, 4)[1])
    with pytest.raises(ValueError, match="list lists one pair; to learn a prompt takes 2 or more"):
        split(pairs[:1], 0)


def test_halves_of_another_size_are_refused():
    with pytest.raises(ValueError, match="the prompt was learned at 16 x 16 pixels and is used at 32 x 32"):
        halves((constant(1), constant(2)), (32, 32))
