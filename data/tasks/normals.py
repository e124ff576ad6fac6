"""Surface normals: x, y, z in -1..1 as red, green, blue; black where unknown. The ninth task: see docs/TASKS.md.

Labels are NYUv2's depth files: normals follow from the depth of neighbouring pixels.
"""

from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import correlate1d
from torch import Tensor

from data.roots import Roots
from data.tasks.base import BLACK, Interp, Job, Size, Task, resize_painted
from data.tasks.depth import NYUV2_DEPTH
from util.image import read_uint16

FOCAL = 0.81  # of NYUv2's camera, in image widths


class Normals(Task):
    """Unit vectors (H, W, 3): x to the right, y down, z away from the camera; (0, 0, 0) where unknown.

    A flip would have to change their colours, so there is none.
    """

    name = "nyuv2_normals"
    type = "nyuv2_image2normals"
    lists = MappingProxyType(
        {"train": "nyu_depth_v2/nyuv2_sync_image_normals.json", "val": "nyu_depth_v2/nyuv2_test_image_normals.json"}
    )
    derived = True
    target_interp: Interp = "bicubic"
    augment = False

    def encode(self, label: NDArray[np.floating]) -> NDArray[np.uint8]:
        """(H, W, 3) unit vectors -> colours, rounded; a known one is never black."""
        known = (label != 0).any(axis=2, keepdims=True)
        return (np.round((label + 1) * 127.5) * known).astype(np.uint8)

    def decode(self, painted: Tensor, size: Size) -> Tensor:
        """Unit vectors (H, W, 3), of length 1 whatever was painted."""
        return F.normalize(resize_painted(painted, size, "bilinear") * 2 - 1, dim=0).permute(1, 2, 0)

    def sources(self, roots: Roots, split: str, offline: bool = False) -> list[Job]:
        """The files of depth."""
        return NYUV2_DEPTH.sources(roots, split, offline)

    def read_target(self, path: Path) -> Image.Image:
        """The millimetre file's normals, painted."""
        return Image.fromarray(self.encode(normals_of(read_uint16(path))))

    def loss_weight(self, target: Tensor) -> Tensor:
        """0 where all three channels are black."""
        return (target >= BLACK).any(dim=0).to(target.dtype).expand_as(target)


def normals_of(millimetres: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Depth (H, W) -> normals (H, W, 3) facing the camera; (0, 0, 0) at the border and near unmeasured pixels.

    On a plane 1 / depth is linear in pixels, a x + b y + c from the image's centre, and the normal is along
    (a focal, b focal, c): a, b, c are fitted in a window around each pixel.
    """
    h, w = millimetres.shape
    near = np.divide(1, millimetres, out=np.full((h, w), np.nan), where=millimetres > 0)
    window = np.arange(-max(1, w // 100), max(1, w // 100) + 1)
    level, slope = np.ones(len(window)) / len(window), window / (window**2).sum()
    mean, a, b = (
        correlate1d(correlate1d(near, x, axis=1, mode="constant", cval=np.nan), y, axis=0, mode="constant", cval=np.nan)
        for x, y in ((level, level), (slope, level), (level, slope))
    )
    y, x = np.mgrid[:h, :w] - (np.array([h, w])[:, None, None] - 1) / 2
    normals = -np.stack([a * FOCAL * w, b * FOCAL * w, mean - a * x - b * y], axis=2)
    return np.nan_to_num(normals / np.linalg.norm(normals, axis=2, keepdims=True))


def mean_angular_error(pred: Tensor, true: Tensor) -> float:
    """Degrees between unit vectors (H, W, 3), the mean over pixels where the true one is known (not 0)."""
    known = (true != 0).any(dim=-1)
    cosine = (pred * true).sum(dim=-1)[known].clamp(-1, 1)
    return float(cosine.double().arccos().rad2deg().mean())


NYUV2_NORMALS = Normals()
