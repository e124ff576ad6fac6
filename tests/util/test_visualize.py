"""The pictures: each column shows what its name says."""

import numpy as np
import torch
from PIL import Image

from util.image import normalize
from util.visualize import CAPTION, GAP, canvas_strip, captioned, heat, mistakes, panels, save_png


def test_columns_are_input_masked_pred_target():
    def flat(value):
        return normalize(torch.full((3, 32, 16), value))

    mask = torch.tensor([[False], [True]])
    strip = canvas_strip(flat(0.2), flat(0.4), mask, flat(1.7))
    assert strip.shape == (32, 4 * 16 + 3 * GAP, 3)
    top, bottom = ([strip[row, column * (16 + GAP) + 8, 0] for column in range(4)] for row in (8, 24))
    assert top == [51, 102, 102, 102]  # visible: the target in all columns
    assert bottom == [51, 128, 255, 102]  # hidden: gray, and the prediction clipped


def test_captioned_stacks_and_enlarges():
    strips = [np.zeros((4, 40, 3), np.uint8), np.full((4, 40, 3), 9, np.uint8)]
    sheet = captioned(strips, scale=2)
    assert sheet.shape == ((4 + GAP + 4) * 2 + CAPTION, 80, 3)
    assert (sheet[-1] == 9).all()
    assert (sheet[:CAPTION] < 255).any()  # the names of the columns


def test_titles_stand_above_their_strips():
    strips = [np.zeros((4, 200, 3), np.uint8), np.full((4, 200, 3), 9, np.uint8)]
    sheet = captioned(strips, scale=2, titles=("depth", "pose"))
    assert sheet.shape == (CAPTION + 2 * (CAPTION + 8), 400, 3)
    for row, value in enumerate((0, 9)):
        top = CAPTION + row * (CAPTION + 8)
        assert (sheet[top : top + CAPTION, :60] < 255).any()
        assert (sheet[top + CAPTION : top + CAPTION + 8] == value).all()


def test_save_png_makes_its_folder(tmp_path):
    save_png(tmp_path / "a" / "b.png", np.full((2, 3, 3), 7, np.uint8))
    with Image.open(tmp_path / "a" / "b.png") as image:
        assert np.asarray(image).tolist() == [[[7] * 3] * 3] * 2


def test_panels_stand_side_by_side_at_one_height_under_their_names():
    pictures = {"wide": np.full((10, 40, 3), 50, np.uint8), "high": np.full((40, 10, 3), 90, np.uint8)}
    sheet = panels(pictures, height=20)
    assert sheet.shape == (CAPTION + 20, 80 + GAP + 5, 3)
    assert (sheet[CAPTION:, :80] == 50).all()
    assert (sheet[CAPTION:, 80 : 80 + GAP] == 255).all()
    assert (sheet[CAPTION:, 80 + GAP :] == 90).all()
    assert (sheet[:CAPTION, :80] < 255).any()


def test_heat_is_clipped_and_of_two_kinds():
    values = np.array([[-1.0, 0.0, 0.5, 1.0, 7.0]])
    for inferno in (False, True):
        colors = heat(values, inferno)
        assert colors.shape == (1, 5, 3)
        assert colors[0, 0].tolist() == colors[0, 1].tolist() != colors[0, 2].tolist()
        assert colors[0, 3].tolist() == colors[0, 4].tolist()
    blue, red = heat(np.array([[0.1, 0.9]]))[0]
    assert blue[2] > blue[0]
    assert red[0] > red[2]
    black, white = heat(np.array([[0.0, 1.0]]), inferno=True)[0]
    assert black.max() < 10
    assert white.min() > 150


def test_mistakes_are_red_and_what_does_not_count_is_black():
    found = mistakes(np.array([[True, False, True]]), np.array([[True, True, False]]))
    assert found.tolist() == [[[220, 40, 40], [200, 200, 200], [0, 0, 0]]]
