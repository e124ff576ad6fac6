"""Drawn keypoints: on their pixels, in their colours, on a copy."""

import numpy as np

from data.skeletons import BLUE, BONES, GRAY, ORANGE, RED, SIDES, WHITE, compared, drawn
from tools.toy.write_coco import SKELETON

CROP = np.full((256, 192, 3), 90, np.uint8)
POINTS = np.array([[20 + 67 * k % 150, 20 + 13 * k] for k in range(17)], float)


def visible(*joints: int) -> np.ndarray:
    return np.isin(np.arange(17), joints)


def at(picture: np.ndarray, x: float, y: float) -> tuple[int, ...]:
    return tuple(picture[round(y), round(x)].tolist())


def test_the_bones_are_cocos():
    cocos = {frozenset(int(joint) - 1 for joint in bone.split()) for bone in SKELETON.split(",")}
    assert {frozenset(bone) for bone in BONES} == cocos
    assert len(BONES) == 19


def test_joints_have_the_colours_of_their_sides():
    picture = drawn(CROP, POINTS, np.ones(17, bool))
    assert [at(picture, x, y) for x, y in POINTS] == list(SIDES)
    assert SIDES[0] == WHITE
    assert SIDES[1::2] == (BLUE,) * 8  # left
    assert SIDES[2::2] == (ORANGE,) * 8
    assert CROP.min() == CROP.max() == 90


def test_only_bones_of_visible_joints_are_drawn():
    middles = {(a, b): (POINTS[a] + POINTS[b]) / 2 for a, b in ((7, 9), (5, 6))}
    both, one = drawn(CROP, POINTS, visible(5, 6, 7, 9)), drawn(CROP, POINTS, visible(5, 9))
    assert (at(both, *middles[7, 9]), at(both, *middles[5, 6])) == (BLUE, WHITE)
    assert (at(one, *middles[7, 9]), at(one, *middles[5, 6])) == ((90,) * 3, (90,) * 3)
    assert at(one, *POINTS[7]) == (90,) * 3
    np.testing.assert_array_equal(drawn(CROP, POINTS, visible()), CROP)


def test_joints_outside_do_no_harm():
    np.testing.assert_array_equal(drawn(CROP, POINTS + 1000, np.ones(17, bool)), CROP)
    drawn(CROP, POINTS - 1e6, np.ones(17, bool))


def test_found_joints_lie_on_true_ones_and_lines_tell_how_far_off():
    down = np.array([0, 20])
    found = POINTS + down
    picture = compared(CROP, found, visible(9), POINTS, visible(9, 15))
    assert at(picture, *POINTS[15]) == GRAY
    assert min(at(picture, *(POINTS[9] + down / 2))) > 200
    assert at(picture, *(found[9] + 1)) == RED
    assert at(picture, *(POINTS[9] - down / 10)) == GRAY
    assert at(picture, 0, 0) == (30, 30, 30)
    unlabelled = compared(CROP, found, visible(9), POINTS, visible())
    assert at(unlabelled, *(POINTS[9] + down / 2)) == (30, 30, 30)
