"""Painters: every view below the prompt of its own task, in order; an oracle shows the truth, and known noise."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from data.tasks import SOURCES
from engine.inpaint import Inpainter
from eval.benchmark import Case
from eval.lol import BENCHMARK as LOL
from eval.lol import Lol
from eval.painters import Network, Oracle
from eval.prompts import Prompt
from eval.sidd import BENCHMARK as SIDD
from models import Painter
from tests.eval.conftest import TINY, smooth, tiny_painter

A, B = SOURCES["enhance"], SOURCES["derain"]
CPU = torch.device("cpu")


class Views(Lol):
    """A case of three views, of two tasks."""

    def __init__(self, *views):
        self.views = views


def picture(seed: int, size=(48, 48)) -> Image.Image:
    return Image.fromarray(smooth(np.random.default_rng(seed), size))


def cases(num_views: int) -> list[Case]:
    """Of other sizes and colours each."""
    return [
        Case(f"case {i}", [picture(10 * i + k, (30 + i, 40)) for k in range(num_views)], np.zeros((9, 9, 3), np.uint8))
        for i in range(3)
    ]


def pairs(num: int) -> list[tuple[Image.Image, Image.Image]]:
    return [(picture(100 + i), picture(200 + i)) for i in range(num)]


@pytest.mark.parametrize(
    "views", [(A, B, A), (B, A, A), (A, B), (A,), (A, A)], ids=lambda v: "".join(t.name for t in v)
)
def test_views_come_back_in_order_each_below_its_own_tasks_prompt(views):
    benchmark, painter = Views(*views), tiny_painter()
    prompt = pairs(len(benchmark.tasks))
    network = Network(painter, benchmark, Prompt("any", "given", prompt), (48, 48), CPU)
    these = cases(len(views))
    painted = network.paint([network.prepare(case) for case in these])
    assert [len(row) for row in painted] == [len(views)] * 3
    alone = {task: Inpainter(painter, [pair], (48, 48), 16) for task, pair in zip(benchmark.tasks, prompt, strict=True)}
    for case, row in zip(these, painted, strict=True):
        for view, image, found in zip(views, case.images, row, strict=True):
            torch.testing.assert_close(found, alone[view]([image])[0], rtol=0, atol=1e-4)
    if len(set(views)) > 1:  # the check above can tell the prompts apart
        image = these[0].images[0]
        assert (alone[A]([image]) - alone[B]([image])).abs().max() > 0.01


def test_a_batch_changes_nothing():
    benchmark = Views(A, B)
    network = Network(tiny_painter(), benchmark, Prompt("any", "given", pairs(2)), (48, 48), CPU)
    prepared = [network.prepare(case) for case in cases(2)]
    together = network.paint(prepared)
    for views, row in zip(prepared, together, strict=True):
        for a, b in zip(network.paint([views])[0], row, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-4)


def test_queries_are_resized_as_the_benchmark_says():
    prompt, case = Prompt("any", "given", pairs(1)), cases(1)[0]
    bicubic, bilinear = (Network(tiny_painter(), which, prompt, (48, 48), CPU) for which in (LOL, SIDD))
    assert (bicubic.prepare(case) - bilinear.prepare(case)).abs().max() > 0.01
    a, b = (x.inpainters[x.views[0]].prompt_images for x in (bicubic, bilinear))
    assert torch.equal(a, b)


def test_what_a_loader_takes_along_holds_no_network():
    network = Network(tiny_painter(), LOL, Prompt("any", "given", pairs(1)), (48, 48), CPU)
    assert len(pickle.dumps(network.prepare)) < 1000
    assert pickle.loads(pickle.dumps(Oracle(LOL, (32, 32), 2.0).prepare))(cases(1)[0]).shape == (1, 3, 32, 32)


def test_a_prompt_is_due_for_every_task():
    with pytest.raises(ValueError, match="shorter"):
        Network(tiny_painter(), Views(A, B), Prompt("any", "given", pairs(1)), (48, 48), CPU)


def test_a_size_must_fit_the_patches():
    with pytest.raises(ValueError, match="must be a multiple of the patches' 16"):
        Network(Painter(TINY), LOL, Prompt("any", "given", pairs(1)), (50, 50), CPU)


def test_an_oracle_paints_the_truth():
    truth = smooth(np.random.default_rng(5), (32, 48))
    oracle = Oracle(LOL, (32, 48))
    case = Case("1", [picture(1)], truth)
    ((painted,),) = oracle.paint([oracle.prepare(case)])
    np.testing.assert_allclose(painted, truth.transpose(2, 0, 1) / 255, atol=1e-6)


def test_noise_has_its_deviation_and_depends_on_the_name_alone():
    case = Case("1", [picture(1)], np.full((64, 64, 3), 128, np.uint8))
    plain, noisy, twice = (Oracle(LOL, (64, 64), noise).prepare(case)[0] for noise in (0.0, 10.0, 20.0))
    assert plain.unique().numel() == 1
    assert (noisy - plain).std() * 255 == pytest.approx(10, rel=0.05)
    torch.testing.assert_close(twice - plain, 2 * (noisy - plain))
    assert torch.equal(Oracle(LOL, (64, 64), 10.0).prepare(case)[0], noisy)
    assert not torch.equal(Oracle(LOL, (64, 64), 10.0).prepare(case._replace(name="2"))[0], noisy)
