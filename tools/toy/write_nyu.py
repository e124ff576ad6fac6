"""NYU Depth V2: the synchronised frames for training and the labelled .mat files for the official test."""

import io
from pathlib import Path

import h5py
import numpy as np
from scipy.io import savemat
from scipy.ndimage import gaussian_filter, laplace

from tools.toy.files import write_image
from tools.toy.render import Rendering
from tools.toy.world import World, renderings
from util.files import write

FARTHEST_M = 10.0
ROOMS = ("study_room_0005b", "kitchen_0003", "bedroom_0012", "office_0007a")  # the first holds the benchmark's prompt
FIRST_FRAME = 94  # number of the first frame of a room: the prompt is study_room_0005b/rgb_00094
FRAMES_PER_ROOM = 8
TYPES = ("study", "kitchen", "bedroom", "office", "living_room")

Frame = tuple[np.ndarray, np.ndarray]  # image (h, w, 3) uint8, depth (h, w) float32 metres, 0 = not measured


def write_nyu(root: Path, world: World) -> None:
    """`sync/<room>/{rgb,sync_depth}_NNNNN` for training; the .mat holds the first of them and all of the test."""
    folder = root / "nyu_depth_v2"
    train, test = ([_frame(world, split, *item) for item in _scenes(world, split)] for split in ("train", "val"))
    for number, (image, depth) in enumerate(train):
        room = ROOMS[number // FRAMES_PER_ROOM % len(ROOMS)]
        frame = FIRST_FRAME + number
        write_image(folder / f"sync/{room}/rgb_{frame:05}.jpg", image)
        write_image(folder / f"sync/{room}/sync_depth_{frame:05}.png", np.round(depth * 1000).astype(np.uint16))
    write(folder / "nyu_depth_v2_labeled.mat", _labeled(train[: len(test)] + test))
    write(folder / "splits.mat", _splits(len(test), len(test)))


def mat_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """A MATLAB 5 file without the time of its making."""
    savemat(buffer := io.BytesIO(), arrays)
    return b"MATLAB 5.0 MAT-file, a toy world".ljust(116) + buffer.getvalue()[116:]


def measured(depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """True depth (h, w) in metres as a sensor sees it: 0 along most edges, in some blots and beyond its reach."""
    depth = np.where(depth < FARTHEST_M, depth, 0)
    bend = laplace(1 / np.maximum(depth, 0.1)) * depth  # 1 / depth is linear on a plane: only edges bend it
    edge = (np.abs(bend) > 0.15) & (rng.random(depth.shape) < 0.6)
    blots = gaussian_filter(rng.normal(size=depth.shape), max(depth.shape) / 30)
    return np.where(edge | (blots > 1.9 * blots.std()), 0, depth).astype(np.float32)


def _scenes(world: World, split: str) -> list[tuple[int, Rendering]]:
    return list(renderings(world, "nyu", split, indoors_only=True))


def _frame(world: World, split: str, number: int, rendering: Rendering) -> Frame:
    return rendering.image, measured(rendering.depth, world.rng("nyu holes", split, number))


def _labeled(frames: list[Frame]) -> bytes:
    """HDF5 as MATLAB 7.3 writes it: the axes reversed, texts behind references as uint16 characters."""
    with h5py.File(buffer := io.BytesIO(), "w", userblock_size=512) as file:
        file["images"] = np.stack([image.transpose(2, 1, 0) for image, _ in frames])
        file["rawDepths"] = np.stack([depth.T for _, depth in frames])
        references = file.create_dataset("sceneTypes", (1, len(frames)), h5py.ref_dtype)
        for number in range(len(frames)):
            text = np.frombuffer(TYPES[number % len(TYPES)].encode(), np.uint8).astype(np.uint16)
            references[0, number] = file.create_dataset(f"#refs#/st{number}", data=text[:, None]).ref
    return buffer.getvalue()


def _splits(train: int, test: int) -> bytes:
    numbers = np.arange(1, train + test + 1, dtype=np.uint16)[:, None]
    return mat_bytes({"trainNdxs": numbers[:train], "testNdxs": numbers[train:]})
