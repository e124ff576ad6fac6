"""Articulated human figures: a pose gives the angles of the limbs, and these the 17 joints and the body.

A limb is (upper angle, upper side, lower angle, lower side) in degrees: the angle from hanging straight down, and
where to: side 0 = outwards, 90 = forwards. Figures look towards the camera (-z); their left is +x, as in a mirror.
"""

from typing import NamedTuple

import numpy as np

from tools.toy.objects import DARK, Generator, Part, ball, plain
from tools.toy.shapes import Capsule, turn, vector
from tools.toy.textures import Colour, Paint, hue, mix

JOINTS = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip"),
    *("left_knee", "right_knee", "left_ankle", "right_ankle"),
)
SIDES = {"left": 1, "right": -1}
TINTS: dict[str, Colour] = {"left": (1.0, 0.55, 0.05), "right": (0.05, 0.25, 1.0)}  # so that sides can be told apart

Limb = tuple[float, float, float, float]


class Pose(NamedTuple):
    left_arm: Limb
    right_arm: Limb
    left_leg: Limb
    right_leg: Limb
    lean: float = 0  # degrees forwards


_HANGING, _STANDING = (14, 0, 8, 40), (4, 0, 2, 0)
POSES: dict[str, Pose] = {
    "standing": Pose(_HANGING, _HANGING, _STANDING, _STANDING),
    "walking": Pose((-25, 90, 5, 90), (30, 90, 55, 90), (30, 90, 12, 90), (-20, 90, -45, 90), 5),
    "waving": Pose(_HANGING, (100, 0, 170, 0), _STANDING, _STANDING),
    "arms raised": Pose((150, 0, 172, 0), (150, 0, 172, 0), (8, 0, 6, 0), (8, 0, 6, 0)),
    "arms out": Pose((88, 0, 92, 0), (88, 0, 92, 0), (10, 0, 8, 0), (10, 0, 8, 0)),
    "hands on hips": Pose((48, -10, -42, 0), (48, -10, -42, 0), (12, 0, 8, 0), (12, 0, 8, 0)),
    "star": Pose((130, 0, 135, 0), (130, 0, 135, 0), (28, 0, 26, 0), (28, 0, 26, 0)),
    "reaching": Pose((80, 70, 95, 85), (75, 70, 90, 85), (15, 90, 5, 90), (-15, 90, -22, 90), 10),
    "lunge": Pose((40, 0, 60, 60), (-30, 90, 10, 90), (70, 80, 0, 90), (-25, 90, -65, 90), 12),
    "sitting": Pose((22, 60, 75, 80), (22, 60, 75, 80), (82, 80, 2, 90), (82, 80, 2, 90)),
}
SITTING = "sitting"


class Figure(NamedTuple):
    """The body, its joints (17, 3) in the order of JOINTS and, where it sits, the height of the seat in metres."""

    parts: list[Part]
    joints: np.ndarray
    seat: float | None


class Looks(NamedTuple):
    """What a figure wears."""

    skin: Colour
    hair: Colour
    shirt: Colour
    trousers: Colour


def make_figure(rng: Generator, pose: str, height: float = 1.7) -> Figure:
    """A figure of `height` metres around the origin of the floor."""
    scale = height / 1.7
    joints = _joints(_varied(POSES[pose], rng), rng)
    skin, hair = hue(rng, 0.04, 0.09, 0.45, 0.85), hue(rng, 0.02, 0.1, 0.6, 0.25)
    looks = Looks(skin, hair, hue(rng, 0, 1, 0.55, 0.8), hue(rng, 0, 1, 0.4, 0.5))
    parts = [*_torso(joints, looks), *_head(joints, looks)]
    for side in SIDES:
        parts += _limbs(joints, looks, side)
    coordinates = np.stack([joints[name] for name in JOINTS]) * np.float32(scale)
    seat = (float(joints["left_hip"][1]) - 0.1) * scale if pose == SITTING else None
    return Figure([Part(part.shape.scaled(scale), part.paint) for part in parts], coordinates, seat)


def _varied(pose: Pose, rng: Generator) -> Pose:
    """Every angle changed a little, and half of the time left and right swapped."""
    limbs = (pose.left_arm, pose.right_arm, pose.left_leg, pose.right_leg)
    arm, other_arm, leg, other_leg = [(a + rng.normal(0, 6), b, c + rng.normal(0, 6), d) for a, b, c, d in limbs]
    lean = pose.lean + rng.normal(0, 4)
    return (
        Pose(arm, other_arm, leg, other_leg, lean) if rng.random() < 0.5 else Pose(other_arm, arm, other_leg, leg, lean)
    )


def _direction(angle: float, side: float, outwards: int) -> np.ndarray:
    angle, side = np.radians(angle), np.radians(side)
    return vector(outwards * np.sin(angle) * np.cos(side), -np.cos(angle), -np.sin(angle) * np.sin(side))


def _joints(pose: Pose, rng: Generator) -> dict[str, np.ndarray]:
    """Metres, for a figure of 1.7 m: first around the pelvis, then lifted until the lower foot stands on the floor."""
    joints = {"nose": vector(0, 0.69, -0.15)}
    for side, out in SIDES.items():
        joints |= {f"{side}_eye": vector(out * 0.05, 0.73, -0.12), f"{side}_ear": vector(out * 0.13, 0.7, 0)}
        shoulder, hip = vector(out * 0.2, 0.48, 0), vector(out * 0.1, 0, 0)
        arm: Limb = getattr(pose, f"{side}_arm")
        leg: Limb = getattr(pose, f"{side}_leg")
        joints |= _chain((f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist"), shoulder, arm, out, (0.3, 0.27))
        joints |= _chain((f"{side}_hip", f"{side}_knee", f"{side}_ankle"), hip, leg, out, (0.42, 0.42))
    return _on_floor(_leaning(joints, np.radians(pose.lean), rng.normal(0, 0.4)))


def _chain(
    names: tuple[str, str, str], start: np.ndarray, limb: Limb, out: int, lengths: tuple[float, float]
) -> dict[str, np.ndarray]:
    middle = start + lengths[0] * _direction(*limb[:2], out)
    return dict(zip(names, (start, middle, middle + lengths[1] * _direction(*limb[2:], out)), strict=True))


def _leaning(joints: dict[str, np.ndarray], lean: float, look: float) -> dict[str, np.ndarray]:
    """The upper body leans forwards from the pelvis; the head looks to a side by `look` radians."""
    upper = ("nose", "eye", "ear", "shoulder", "elbow", "wrist")
    for name, joint in joints.items():
        if name.endswith(upper[:3]):
            joint = turn(joint, look)
        if name.endswith(upper):
            sine, cosine = np.float32(np.sin(lean)), np.float32(np.cos(lean))
            x, y, z = joint
            joint = vector(x, y * cosine + z * sine, z * cosine - y * sine)
        joints[name] = joint
    return joints


def _on_floor(joints: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    lift = vector(0, 0.08 - min(joint[1] for joint in joints.values()), 0)
    return {name: joint + lift for name, joint in joints.items()}


def _torso(joints: dict[str, np.ndarray], looks: Looks) -> list[Part]:
    def bar(start: np.ndarray, end: np.ndarray, radius: float, colour: Colour) -> Part:
        return Part(Capsule(start, end, radius), plain(colour))

    left, right, left_hip, right_hip = (joints[f"{side}_{name}"] for name in ("shoulder", "hip") for side in SIDES)
    flanks = [bar(joints[f"{s}_shoulder"], joints[f"{s}_hip"], 0.1, mix(looks.shirt, TINTS[s], 0.4)) for s in SIDES]
    spine = bar((left + right) / 2 - vector(0, 0.03, 0), (left_hip + right_hip) / 2, 0.125, looks.shirt)
    return [*flanks, spine, bar(left, right, 0.08, looks.shirt), bar(left_hip, right_hip, 0.11, looks.trousers)]


def _head(joints: dict[str, np.ndarray], looks: Looks) -> list[Part]:
    """Ellipsoids between the ears: the skull, and hair that covers it where there is no face."""
    middle = (joints["left_ear"] + joints["right_ear"]) / 2
    neck = (joints["left_shoulder"] + joints["right_shoulder"]) / 2
    hair = middle - 0.35 * (joints["nose"] - middle) + vector(0, 0.045, 0)
    skin, nose = plain(looks.skin), plain(mix(looks.skin, DARK, 0.3))
    parts = [Part(Capsule(neck, middle, 0.055), skin), ball(skin, *middle, 0.13, 0.16, 0.14)]
    parts += [ball(plain(looks.hair), *hair, 0.138, 0.155, 0.13), ball(nose, *joints["nose"], 0.03)]
    parts += [ball(plain(DARK), *joints[f"{side}_eye"], 0.03) for side in SIDES]
    return [*parts, *(ball(plain(mix(looks.skin, TINTS[s], 0.5)), *joints[f"{s}_ear"], 0.04) for s in SIDES)]


def _limbs(joints: dict[str, np.ndarray], looks: Looks, side: str) -> list[Part]:
    def limb(start: str, end: str, radius: float, colour: Colour, pattern: str = "plain") -> Part:
        tinted = mix(colour, TINTS[side], 0.45)
        paint = Paint(tinted, mix(tinted, DARK, 0.45), pattern, 0.07)
        return Part(Capsule(joints[f"{side}_{start}"], joints[f"{side}_{end}"], radius), paint)

    wrist, ankle = joints[f"{side}_wrist"], joints[f"{side}_ankle"]
    foot = Part(Capsule(ankle - vector(0, 0.03, 0), ankle - vector(0, 0.03, 0.16), 0.05), plain(DARK))
    arm = [limb("shoulder", "elbow", 0.065, looks.shirt, "stripes"), limb("elbow", "wrist", 0.052, looks.skin)]
    leg = [limb("hip", "knee", 0.09, looks.trousers), limb("knee", "ankle", 0.068, looks.trousers, "stripes")]
    return [*arm, *leg, foot, ball(plain(mix(looks.skin, TINTS[side], 0.3)), *wrist, 0.065)]
