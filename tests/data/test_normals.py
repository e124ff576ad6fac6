"""Surface normals: those of planes and a sphere, and back from colours."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data.tasks import SOURCES
from data.tasks.normals import FOCAL, mean_angular_error, normals_of

NORMALS = SOURCES["nyuv2_normals"]
SIZE = (96, 128)


def rays(size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3): the point each pixel sees at depth 1."""
    h, w = size
    y, x = np.mgrid[:h, :w]
    return np.stack([(x - (w - 1) / 2) / (FOCAL * w), (y - (h - 1) / 2) / (FOCAL * w), np.ones(size)], axis=2)


@pytest.mark.parametrize("normal", [(0, 0, -1), (0.3, 0, -0.9), (0, -0.8, -0.6), (-0.4, 0.5, -0.7), (0.7, 0.7, -0.5)])
def test_a_plane_has_one_normal(normal):
    normal = np.array(normal) / np.linalg.norm(normal)
    depth = -3000 / (rays(SIZE) @ normal)
    found = normals_of(np.where((depth > 0) & (depth < 60_000), depth, 0).round().astype(np.uint16))
    known = found.any(axis=2)
    assert known.mean() > 0.3
    assert mean_angular_error(torch.from_numpy(found), torch.from_numpy(known[..., None] * normal)) < 0.5


def test_a_sphere():
    center, radius = np.array([0, 0, 3000.0]), 900
    ray = rays(SIZE)
    b, c = ray @ center, center @ center - radius**2
    hit = b**2 > (ray**2).sum(2) * c
    depth = np.where(hit, (b - np.sqrt(np.maximum(b**2 - (ray**2).sum(2) * c, 0))) / (ray**2).sum(2), 0)
    true = (ray * depth[..., None] - center) / radius * hit[..., None]
    found = normals_of(depth.round().astype(np.uint16))
    inner = hit & (true[..., 2] < -0.5) & found.any(axis=2)
    assert inner.sum() > 300
    assert mean_angular_error(torch.from_numpy(found[inner]), torch.from_numpy(true[inner])) < 2


def test_unmeasured_pixels_and_their_neighbours_are_unknown():
    depth = np.full(SIZE, 2000, np.uint16)
    depth[40, 50] = 0
    unknown = ~normals_of(depth).any(axis=2)
    inside = unknown[5:-5, 5:-5]
    assert unknown[40, 50]
    assert 9 <= inside.sum() <= 25
    assert unknown[0].all()
    assert unknown[:, -1].all()


@given(st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 0.1))
def test_colours_come_back_as_unit_vectors(vector):
    label = np.tile(np.array(vector) / np.linalg.norm(vector), (2, 3, 1))
    painted = torch.from_numpy(NORMALS.encode(label)).permute(2, 0, 1).double() / 255
    decoded = NORMALS.decode(painted, (2, 3))
    torch.testing.assert_close(decoded.norm(dim=2), torch.ones(2, 3).double())
    assert mean_angular_error(decoded, torch.from_numpy(label)) < 0.4  # 1 / 255 a channel


def test_a_dim_picture_still_decodes_to_unit_vectors():
    decoded = NORMALS.decode(torch.tensor([0.6, 0.5, 0.45])[:, None, None].expand(3, 4, 4), (8, 8))
    torch.testing.assert_close(decoded[3, 3], torch.tensor([2.0, 0.0, -1.0]) / 5**0.5)


def test_unknown_pixels_are_black_and_count_nothing():
    label = np.zeros((1, 2, 3))
    label[0, 1] = (0, -1, 0)
    painted = NORMALS.encode(label)
    assert painted.tolist() == [[[0, 0, 0], [128, 0, 128]]]
    weight = NORMALS.loss_weight(torch.from_numpy(painted).permute(2, 0, 1) / 255)
    assert weight[:, 0].tolist() == [[0, 1]] * 3


def test_the_angular_error_of_known_angles():
    true = torch.tensor([[[0.0, 0, -1], [0, 0, -1], [0, 0, 0]]])
    pred = torch.tensor([[[0.0, 0, -1], [0, 1, 0], [1, 0, 0]]])
    assert mean_angular_error(pred, true) == pytest.approx(45)
