"""The predictor: the prompt above, the query below, its target hidden; what comes back is the query's half."""

import numpy as np
import pytest
import torch
from PIL import Image

from engine.infer import Predictor, half
from util.image import denormalize


def picture(seed: int, size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


PROMPT = (picture(0, (40, 50)), picture(1, (40, 50)))


class Spy:
    """Remembers its input and paints the image canvas."""

    def __call__(self, images, targets, mask):
        self.images, self.targets, self.mask = images, targets, mask
        return images


def test_queries_come_back_at_the_canvas_size():
    spy = Spy()
    queries = [picture(2, (64, 32)), picture(3, (20, 90))]
    painted = Predictor(spy, PROMPT, size=(32, 48), patch_size=16)(queries)
    assert painted.shape == (2, 3, 32, 48)
    assert painted.dtype == torch.float64
    for one, query in zip(painted, queries, strict=True):
        expected = np.asarray(query.resize((48, query.height), 3).resize((48, 32), 3)) / 255
        np.testing.assert_allclose(one.permute(1, 2, 0), expected, atol=1e-6)


def test_the_prompt_lies_above_and_its_target_twice():
    spy = Spy()
    Predictor(spy, PROMPT, size=(32, 48))([picture(2, (9, 9))] * 2)
    image, target = (half(x, (32, 48)) for x in PROMPT)
    for i in range(2):
        assert torch.equal(spy.images[i, :, :32], image)
        assert torch.equal(spy.targets[i], torch.cat((target, target), dim=1))
    assert spy.mask.shape == (2, 4, 3)
    assert spy.mask[:, 2:].all()
    assert not spy.mask[:, :2].any()


def test_gray_and_transparent_queries_are_pictures_too():
    predict = Predictor(Spy(), PROMPT, size=(32, 48))
    assert predict([picture(2, (9, 9)).convert(mode) for mode in ("L", "RGBA", "P")]).shape == (3, 3, 32, 48)


def test_a_size_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match=r"size \(40, 48\) must be a multiple of the patches' 16"):
        Predictor(Spy(), PROMPT, size=(40, 48))


def test_bilinear_queries_are_not_antialiased():
    query = picture(4, (64, 64))
    plain = torch.nn.functional.interpolate(
        torch.from_numpy(np.array(query)).permute(2, 0, 1)[None].double(), size=(16, 16), mode="bilinear"
    )[0]
    ours = denormalize(half(query, (16, 16), "bilinear").double()) * 255
    torch.testing.assert_close(ours, plain, atol=1e-3, rtol=0)
    assert (denormalize(half(query, (16, 16)).double()) * 255 - plain).abs().max() > 20
