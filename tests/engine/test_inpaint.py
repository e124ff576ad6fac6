"""Painting below a prompt: it lies above, the query below, its target hidden; what comes back is the query's half."""

import pickle
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from engine.inpaint import Inpainter, half
from models import create_model
from util.image import denormalize, normalize


def picture(seed: int, size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


PROMPT = (picture(0, (40, 50)), picture(1, (40, 50)))
PROMPTS = [PROMPT, (picture(5, (30, 30)), picture(6, (30, 30))), (picture(7, (64, 20)), picture(8, (64, 20)))]
QUERIES = [picture(i, (30 + i, 40)) for i in (11, 12, 13)]
SIZE = (32, 48)


@pytest.fixture(scope="module")
def painter():
    torch.manual_seed(0)
    changes = {"img_size": (64, 48), "embed_dim": 24, "depth": 4, "num_heads": 2, "decoder_embed_dim": 4}
    model = create_model("painter_vit_tiny", **changes, drop_path_rate=0.5)
    with torch.no_grad():
        for parameter in model.parameters():  # far from the start, where all paint alike
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


class Spy:
    """Remembers its input and paints the image canvas."""

    def __call__(self, images, targets, mask):
        self.images, self.targets, self.mask = images, targets, mask
        return images


def test_queries_come_back_at_the_canvas_size():
    spy = Spy()
    queries = [picture(2, (64, 32)), picture(3, (20, 90))]
    painted = Inpainter(spy, [PROMPT], size=(32, 48), patch_size=16)(queries)
    assert painted.shape == (2, 3, 32, 48)
    assert painted.dtype == torch.float64
    for one, query in zip(painted, queries, strict=True):
        expected = np.asarray(query.resize((48, query.height), 3).resize((48, 32), 3)) / 255
        np.testing.assert_allclose(one.permute(1, 2, 0), expected, atol=1e-6)


def test_the_prompt_lies_above_and_its_target_twice():
    spy = Spy()
    Inpainter(spy, [PROMPT], size=(32, 48))([picture(2, (9, 9))] * 2)
    image, target = (half(x, (32, 48)) for x in PROMPT)
    for i in range(2):
        assert torch.equal(spy.images[i, :, :32], image)
        assert torch.equal(spy.targets[i], torch.cat((target, target), dim=1))
    assert spy.mask.shape == (2, 4, 3)
    assert spy.mask[:, 2:].all()
    assert not spy.mask[:, :2].any()


def test_gray_and_transparent_queries_are_pictures_too():
    predict = Inpainter(Spy(), [PROMPT], size=(32, 48))
    assert predict([picture(2, (9, 9)).convert(mode) for mode in ("L", "RGBA", "P")]).shape == (3, 3, 32, 48)


def test_a_size_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match=r"size \(40, 48\) must be a multiple of the patches' 16"):
        Inpainter(Spy(), [PROMPT], size=(40, 48))


def test_bilinear_queries_are_not_antialiased():
    query = picture(4, (64, 64))
    plain = torch.nn.functional.interpolate(
        torch.from_numpy(np.array(query)).permute(2, 0, 1)[None].double(), size=(16, 16), mode="bilinear"
    )[0]
    ours = denormalize(half(query, (16, 16), "bilinear").double()) * 255
    torch.testing.assert_close(ours, plain, atol=1e-3, rtol=0)
    assert (denormalize(half(query, (16, 16)).double()) * 255 - plain).abs().max() > 20


def stitched(prompt, query):
    """One canvas of images and one of targets, by hand."""
    image, target = (half(x, SIZE) for x in prompt)
    return torch.cat((image, half(query, SIZE)), dim=1), torch.cat((target, target), dim=1)


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("prompts", [PROMPTS[:1], PROMPTS], ids=len)
def test_painting_is_calling_the_model_by_hand(painter, prompts, is_known):
    """Whether it is known to be a Painter, which is asked for what the query alone needs, or any function."""
    painted = Inpainter(painter if is_known else partial(painter), prompts, SIZE)(QUERIES)
    mask = torch.tensor([[0] * 3, [0] * 3, [1] * 3, [1] * 3]).expand(len(prompts), -1, -1)
    for found, query in zip(painted, QUERIES, strict=True):
        images, targets = (torch.stack(x) for x in zip(*(stitched(p, query) for p in prompts), strict=True))
        with torch.no_grad():
            below = painter(images, targets, mask, num_prompts=len(prompts))[:, :, 32:]
        torch.testing.assert_close(found, denormalize(below[0].double()), rtol=0, atol=1e-6)
        torch.testing.assert_close(below[:, :, 1:], below[:1, :, 1:].expand_as(below[:, :, 1:]), rtol=0, atol=1e-5)


def test_each_query_lies_below_every_prompt():
    inpainter = Inpainter(Spy(), PROMPTS, SIZE)
    images, targets = inpainter.canvases(torch.stack([inpainter.prepare(query) for query in QUERIES]))
    expected = [stitched(prompt, query) for query in QUERIES for prompt in PROMPTS]
    assert torch.equal(images, torch.stack([image for image, _ in expected]))
    assert torch.equal(targets, torch.stack([target for _, target in expected]))


def test_prompts_matter(painter):
    one, other, both = (Inpainter(painter, p, SIZE)(QUERIES) for p in (PROMPTS[:1], PROMPTS[1:2], PROMPTS[:2]))
    assert (one - other).abs().max() > 1e-3
    assert (one - both).abs().max() > 1e-3


def test_a_batch_is_painted_as_its_queries_alone(painter):
    for prompts in (PROMPTS[:1], PROMPTS):
        predict = Inpainter(painter, prompts, SIZE)
        alone = torch.cat([predict([query]) for query in QUERIES])
        torch.testing.assert_close(predict(QUERIES), alone, rtol=0, atol=1e-6)


def test_queries_are_prepared_without_the_network():
    predict = Inpainter(lambda images, targets, mask: images, [PROMPT], SIZE, query_interp="bilinear")
    prepare = pickle.loads(pickle.dumps(predict.prepare))
    assert torch.equal(prepare(QUERIES[0]), half(QUERIES[0], SIZE, "bilinear"))
    halves = torch.stack([prepare(query) for query in QUERIES])
    assert torch.equal(predict.paint(halves), predict(QUERIES))


def test_half_precision_paints_nearly_the_same(painter):
    full, bf16 = (Inpainter(painter, [PROMPT], SIZE, precision=p)(QUERIES) for p in ("fp32", "bf16"))
    assert bf16.dtype == torch.float64
    assert 0 < (bf16 - full).abs().mean() < 0.02 * full.std()


def test_a_model_in_training_paints_as_in_evaluation_and_trains_on(painter):
    expected = Inpainter(painter, [PROMPT], SIZE)(QUERIES)
    painter.train()
    try:
        painted = Inpainter(painter, [PROMPT], SIZE)(QUERIES)
        assert all(module.training for module in painter.modules())
    finally:
        painter.eval()
    assert torch.equal(painted, expected)
    Inpainter(painter, [PROMPT], SIZE)(QUERIES)
    assert not painter.training


def test_a_model_in_training_trains_on_after_an_error():
    class Broken(torch.nn.Module):
        def forward(self, *_):
            raise RuntimeError("broken")

    model = Broken()
    with pytest.raises(RuntimeError, match="broken"):
        Inpainter(model, [PROMPT], SIZE)(QUERIES)
    assert model.training


def test_values_outside_0_to_1_are_kept():
    painted = Inpainter(lambda images, *_: normalize(torch.full_like(images, 1.5)), [PROMPT], SIZE)(QUERIES)
    torch.testing.assert_close(painted, torch.full((3, 3, *SIZE), 1.5).double(), rtol=0, atol=1e-6)


def test_nothing_to_paint_is_refused():
    with pytest.raises(ValueError, match="no prompt is given; give at least one pair"):
        Inpainter(Spy(), [], SIZE)
    with pytest.raises(ValueError, match="no query is given; give at least one image"):
        Inpainter(Spy(), [PROMPT], SIZE)([])
