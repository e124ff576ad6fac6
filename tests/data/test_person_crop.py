"""Person crops: boxes to views, joints that follow their picture, the frequencies of random views."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import person_crop
from data.person_crop import (
    CROP,
    MIRRORED,
    Person,
    augment,
    center_scale,
    crop_matrix,
    flip,
    half_body,
    person_of,
    to_photo,
    transform,
)

WIDTH = 640
N = 4000


def standing(visible=range(17)) -> Person:
    """A person of 17 distinct joints; the upper ones in x 200 .. 300, y 100 .. 200, the lower ones below."""
    rng = np.random.default_rng(1)
    upper = rng.uniform((200, 100), (300, 200), (11, 2))
    lower = rng.uniform((220, 200), (280, 400), (6, 2))
    joints = np.concatenate([upper, lower]).astype(np.float32)
    points = np.column_stack([joints, np.isin(np.arange(17), list(visible)) * 2])
    return person_of({"box": [190.0, 80.0, 130.0, 330.0], "keypoints": points.flatten().tolist()})


def views(person: Person) -> list[Person]:
    return [augment(person, WIDTH, np.random.default_rng(seed)) for seed in range(N)]


# Geometry

boxes = st.tuples(*[st.floats(-500, 2000)] * 2, *[st.floats(0.5, 2000)] * 2)


@given(boxes)
def test_a_view_holds_its_box_with_a_margin_in_the_crops_aspect(box):
    x, y, w, h = box
    center, scale = center_scale(box)
    np.testing.assert_allclose(center, (x + w / 2, y + h / 2), atol=1e-3)
    width, height = scale * 200
    assert width / height == pytest.approx(192 / 256, rel=1e-5)
    assert width >= 1.25 * w * (1 - 1e-5)
    assert height >= 1.25 * h * (1 - 1e-5)
    assert width == pytest.approx(1.25 * w, rel=1e-5) or height == pytest.approx(1.25 * h, rel=1e-5)


@given(boxes)
def test_the_corners_of_a_view_are_those_of_the_crop(box):
    center, scale = center_scale(box)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    crop = transform(center + corners * scale * 100, crop_matrix(center, scale))
    np.testing.assert_allclose(crop, (corners + 1) * (96, 128), atol=0.1)


@given(boxes, st.floats(-80, 80))
def test_a_turned_matrix_is_three_points_through_opencv(box, degrees):
    center, scale = (value.astype(np.float64) for value in center_scale(box))
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    up = scale[0] * 100 * np.array([s, -c])  # the view's upward arm, turned clockwise
    source = np.array([center, center + up, center + up + (up[1], -up[0])], np.float32)
    crop = np.array([[96, 128], [96, 32], [0, 32]], np.float32)
    matrix = crop_matrix(center, scale, degrees)
    np.testing.assert_allclose(transform(source.astype(np.float64), matrix), crop, atol=0.1)


@given(boxes, st.lists(st.tuples(st.floats(0, 192), st.floats(0, 256)), min_size=1))
def test_crop_points_go_back_to_the_photograph(box, points):
    center, scale = center_scale(box)
    there = to_photo(np.array(points), center, scale)
    np.testing.assert_allclose(transform(there, crop_matrix(center, scale)), points, atol=0.05 + 100 / scale[0] * 1e-3)


def test_black_surrounds_a_photograph():
    person = standing()._replace(center=np.array([0.0, 0.0]), scale=np.array([0.96, 1.28]))  # one to one
    crop = person.cut(np.full((480, 640, 3), 200, np.uint8))
    assert crop.shape == (*CROP, 3)
    assert not crop[:128].any()
    assert not crop[:, :96].any()
    assert (crop[128:, 96:] == 200).all()


def test_a_mirrored_view_shows_the_mirrored_crop():
    photo = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (480, WIDTH, 3), np.uint8), (0, 0), 4)
    person = standing(range(0, 17, 2))
    person = person._replace(center=np.array([250.25, 200.5]), scale=np.array([0.96, 1.28]))
    mirrored = flip(person, WIDTH)
    plain, crop = person.cut(photo), mirrored.cut(photo)
    np.testing.assert_array_equal(mirrored.cut(photo), mirrored._replace(flipped=False).cut(photo[:, ::-1].copy()))
    off = np.abs(crop[:, 1:].astype(int) - plain[:, :0:-1])  # x becomes 192 - x
    assert off.max() <= 3
    expected = np.column_stack([192 - person.crop_joints[:, 0], person.crop_joints[:, 1]])[list(MIRRORED)]
    np.testing.assert_allclose(mirrored.crop_joints, expected, atol=1e-3)
    assert np.flatnonzero(mirrored.visible).tolist() == sorted(MIRRORED[k] for k in range(0, 17, 2))


def test_a_mirror_of_a_mirror_is_the_person():
    person = standing(range(3, 12))
    again = flip(flip(person, WIDTH), WIDTH)
    assert not again.flipped
    for ours, theirs in zip(again[:4], person[:4], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)
    left, right = [1, 3, 5, 7, 9, 11, 13, 15], [2, 4, 6, 8, 10, 12, 14, 16]
    assert [MIRRORED[k] for k in (0, *left, *right)] == [0, *right, *left]


# Frequencies


def test_a_view_is_drawn_from_its_generator_alone():
    person = standing()
    for a, b in zip(*(augment(person, WIDTH, np.random.default_rng(7)) for _ in range(2)), strict=True):
        np.testing.assert_array_equal(a, b)
    different = {augment(person, WIDTH, np.random.default_rng(seed)).matrix.tobytes() for seed in range(50)}
    assert len(different) > 40  # unturned views of clipped scale may agree
    np.testing.assert_array_equal(person.joints, standing().joints)
    np.testing.assert_array_equal(person.center, standing().center)


def test_views_of_few_joints_are_shifted_flipped_scaled_and_turned_as_often_as_they_should():
    person = standing(range(8))  # too few for half a body
    drawn = views(person)
    assert np.mean([view.flipped for view in drawn]) == pytest.approx(0.5, abs=0.03)
    centers = np.array([(flip(view, WIDTH) if view.flipped else view).center for view in drawn])
    shift = (centers - person.center) / (person.scale * 200)
    moved = np.abs(shift).max(axis=1) > 1e-6
    assert moved.mean() == pytest.approx(0.3, abs=0.03)
    for axis in shift[moved].T:  # uniform in -.16 .. .16
        assert np.abs(axis).max() == pytest.approx(0.16, abs=2e-3)
        assert axis.mean() == pytest.approx(0, abs=0.01)
        assert axis.std() == pytest.approx(0.32 / 12**0.5, rel=0.05)
    check_scale(np.array([view.scale / person.scale for view in drawn]))
    check_rotation(np.array([view.rotation for view in drawn]))


def check_scale(factors: np.ndarray) -> None:
    """Normal, mean 1, deviation .5, clipped to one deviation; one factor for width and height."""
    np.testing.assert_allclose(factors[:, 0], factors[:, 1], rtol=1e-6)
    assert factors.min() == pytest.approx(0.5)
    assert factors.max() == pytest.approx(1.5)
    for bound in (0.5, 1.5):
        assert np.isclose(factors[:, 0], bound).mean() == pytest.approx(0.1587, abs=0.025)
    assert factors[:, 0].std() == pytest.approx(0.359, rel=0.05)


def check_rotation(degrees: np.ndarray) -> None:
    """Normal, deviation 40, clipped to two deviations; in six of ten views."""
    turned = degrees[degrees != 0]
    assert len(turned) / len(degrees) == pytest.approx(0.6, abs=0.03)
    assert (turned.min(), turned.max()) == (-80, 80)
    assert (np.abs(turned) == 80).mean() == pytest.approx(0.0455, abs=0.015)
    assert (np.abs(turned) < 40).mean() == pytest.approx(0.683, abs=0.035)
    assert turned.mean() == pytest.approx(0, abs=3)


@pytest.mark.parametrize(
    ("visible", "share", "upper_share"),
    [
        (range(17), 0.3, 0.6915),  # a normal draw below .5
        (range(9), 0.3, 1),  # no lower ones
        ([0, 1, 2, 3, 4, 5, 6, 15, 16], 0.3, 1),  # only two lower ones
        ([0, 1, 2, *range(11, 17)], 0.3, 0.6915),
        ([0, 1, 10, *range(11, 17)], 0.3, 0.6915),
        ([0, 1, *range(11, 17)], 0, 0),  # eight are too few
        (range(8), 0, 0),
    ],
)
def test_half_bodies_are_shown_as_often_as_they_should(visible, share, upper_share, monkeypatch):
    shown = []
    monkeypatch.setattr(person_crop, "half_body", lambda p, rng: shown.append(half_body(p, rng)) or shown[-1])
    views(standing(visible))
    assert len(shown) / N == pytest.approx(share, abs=0.03)
    if shown:
        assert np.mean([view.center[1] < 200 for view in shown]) == pytest.approx(upper_share, abs=0.04)


def test_half_a_body_is_seen_whole_and_padded():
    person = standing([*range(0, 17, 2)])
    halves = {tuple(half_body(person, np.random.default_rng(seed)).center.tolist()) for seed in range(40)}
    upper, lower = person.joints[0:11:2], person.joints[12:17:2]
    np.testing.assert_allclose(sorted(halves), sorted([upper.mean(axis=0), lower.mean(axis=0)], key=tuple), rtol=1e-6)
    for seed in range(5):
        view = half_body(person, np.random.default_rng(seed))
        group = upper if view.center[1] < 200 else lower
        w, h = 1.5 * np.ptp(group, axis=0)
        np.testing.assert_allclose(view.scale * 200, (max(w, h * 0.75), max(h, w / 0.75)), rtol=1e-5)


@pytest.mark.parametrize("visible", [[], [3], [3, 4]])
def test_half_a_body_needs_two_joints_apart(visible):
    person = standing(visible)
    person = person._replace(joints=np.where(person.visible[:, None], np.float32(50), person.joints))
    for seed in range(10):
        assert half_body(person, np.random.default_rng(seed)) is person


def test_two_upper_joints_are_better_than_two_lower_ones():
    person = standing([0, 1, 15, 16])
    for seed in range(10):
        np.testing.assert_allclose(
            half_body(person, np.random.default_rng(seed)).center, person.joints[:2].mean(axis=0)
        )


# Labels

GOOD = {"box": [10, 20, 30, 40], "keypoints": [5, 6, 2] * 17}


def test_a_label_is_a_person():
    person = person_of(GOOD | {"keypoints": [5, 6.5, 2] + [0] * 45 + [7, 8, 1]})
    assert np.flatnonzero(person.visible).tolist() == [0, 16]
    assert person.joints[[0, 16]].tolist() == [[5, 6.5], [7, 8]]
    assert (person.flipped, person.rotation) == (False, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"box": [10, 20, 0, 40]}, "no area"),
        ({"box": [10, 20, 30, -1]}, "no area"),
        ({"box": [10, 20, 30]}, "box must be 4 numbers"),
        ({"box": [10, 20, 30, "40"]}, "box must be 4 numbers"),
        ({"box": [10, 20, 30, float("nan")]}, "box must be 4 numbers"),
        ({"box": None}, "box must be 4 numbers"),
        ({"keypoints": [0] * 50}, "keypoints must be 51 numbers"),
        ({"keypoints": {}}, "keypoints must be 51 numbers"),
        ({"keypoints": [1, 2, 3] * 17}, "visibility 3 "),
        ({"keypoints": [1, 2, -1] * 17}, "visibility -1 "),
        ({"keypoints": [1, 2, 0.5] * 17}, "visibility 0.5 "),
    ],
)
def test_bad_labels_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        person_of(GOOD | change)


@pytest.mark.parametrize("label", [[], "x", 3, {"box": [1, 2, 3, 4]}, {"keypoints": [0] * 51}])
def test_a_label_needs_box_and_keypoints(label):
    with pytest.raises(ValueError, match="holds box and keypoints"):
        person_of(label)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_joints_stay_on_their_dots_in_every_view(seed):
    """A dot of 5 px at each joint: where the crop magnifies it and holds it, its middle is the joint."""
    person = standing()
    photo = np.zeros((480, WIDTH, 3), np.uint8)
    middle = np.round(person.joints)
    for x, y in middle.astype(int):
        cv2.circle(photo, (int(x), int(y)), 5, (255, 255, 255), -1)
    view = augment(person._replace(joints=middle), WIDTH, np.random.default_rng(seed))
    crop, (h, w) = view.cut(photo), CROP
    joints = np.round(view.crop_joints).astype(int)
    inside = ((joints >= 0) & (joints < (w, h))).all(axis=1)
    assert (crop[joints[inside, 1], joints[inside, 0]] == 255).all()
