"""Similar images: by the network's own features, and the order is that of cosines."""

import numpy as np
import torch
from PIL import Image

from eval.similar import image_features, most_similar
from tests.eval.conftest import TINY, smooth, tiny_painter


def test_the_order_is_that_of_mean_cosines_after_the_common_part():
    rng = np.random.default_rng(0)
    candidates, queries = rng.normal(3, 1, (9, 5)), rng.normal(3, 1, (4, 5))
    common = np.concatenate((candidates, queries)).mean(0)
    cosines = [
        np.mean(
            [(c - common) @ (q - common) / np.linalg.norm(c - common) / np.linalg.norm(q - common) for q in queries]
        )
        for c in candidates
    ]
    found = most_similar(torch.from_numpy(candidates), torch.from_numpy(queries))
    assert found == np.argsort(cosines)[::-1].tolist()


def test_features_are_of_the_image_alone_and_leave_the_network_as_it_was():
    painter, rng = tiny_painter(), np.random.default_rng(1)
    first, second = (Image.fromarray(smooth(rng, (40, 56))) for _ in range(2))
    features = image_features(painter, first, (48, 48))
    assert features.shape == (4 * TINY.embed_dim,)
    assert torch.equal(features, image_features(painter, first, (48, 48)))
    noisy = np.clip(np.asarray(first) + rng.normal(0, 8, (40, 56, 3)), 0, 255).astype(np.uint8)
    near = image_features(painter, Image.fromarray(noisy), (48, 48))
    far = image_features(painter, second, (48, 48))
    assert (near - features).norm() < 0.5 * (far - features).norm()
    assert not painter.decoder_embed._forward_pre_hooks
    half = image_features(painter, first, (48, 48), "bf16")
    assert 0 < (half - features).norm() < 0.1 * features.norm()
