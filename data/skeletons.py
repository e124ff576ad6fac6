"""Keypoints drawn on person crops: blue is left, orange right; or found ones in red over the true ones in gray."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from data.person_crop import NUM_JOINTS

Picture = NDArray[np.uint8]  # (H, W, 3)
Color = tuple[int, int, int]
Points = NDArray[np.floating]  # (17, 2 or 3), x and y in pixels of the crop first
Mask = NDArray[np.bool_]  # (17,), joints to draw

BLUE, ORANGE, RED, GRAY, WHITE = (60, 150, 255), (255, 150, 30), (255, 60, 60), (170, 170, 170), (255, 255, 255)
SIDES = (WHITE, *(BLUE, ORANGE) * 8)  # of joints: the nose, then left and right in turn
BONES = (
    *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10)),
    *((1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
)


def drawn(crop: Picture, points: Points, visible: Mask, colors: Sequence[Color] = SIDES, width: int = 2) -> Picture:
    """A copy of the crop (H, W, 3) with joints, and the bones whose ends are both visible, `width` pixels thick."""
    picture = crop.copy()
    for a, b in BONES:
        if visible[a] and visible[b]:
            color = colors[max(a, b)] if colors[a] == colors[b] or not min(a, b) else WHITE
            cv2.line(picture, _pixel(points[a]), _pixel(points[b]), color, width, cv2.LINE_AA)
    for k in range(NUM_JOINTS):
        if visible[k]:
            cv2.circle(picture, _pixel(points[k]), width + 1, colors[k], -1, cv2.LINE_AA)
    return picture


def compared(crop: Picture, found: Points, seen: Mask, true: Points, labelled: Mask) -> Picture:
    """Found joints on the true ones, on the darkened crop; white lines from one to the other."""
    picture = drawn(crop // 3, true, labelled, (GRAY,) * NUM_JOINTS, width=4)
    picture = drawn(picture, found, seen, (RED,) * NUM_JOINTS, width=1)
    for k in range(NUM_JOINTS):
        if seen[k] and labelled[k]:
            cv2.line(picture, _pixel(found[k]), _pixel(true[k]), WHITE, 1, cv2.LINE_AA)
    return picture


def _pixel(point: Points) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))
