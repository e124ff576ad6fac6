"""Videos, frame by frame, by the FFmpeg inside OpenCV: pictures alone, no sound."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm")
CODEC = cv2.VideoWriter.fourcc(*"mp4v")  # MPEG-4 part 2: OpenCV's packages have no H.264 to write
MAX_FPS = 500  # what tells more, as some recordings of browsers, tells no frame rate

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # FFmpeg and OpenCV are quiet: what goes wrong is told here
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


class Video:
    """The frames of a video, to go through once; how many they are is known where the file tells it."""

    def __init__(self, path: Path) -> None:
        """Raises ValueError on what is no video, or tells no frame rate."""
        if not path.is_file():
            raise ValueError(f"{path} does not exist")
        self.path, self.num_read = path, 0
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise ValueError(f"{path} is broken, truncated or no video in a known format; copy it again, or convert it")
        height, width, fps, num = (self._capture.get(key) for key in _FACTS)
        if not 0 < fps <= MAX_FPS:
            raise ValueError(f"{path} tells no frame rate ({fps:g}); convert it to one of a constant frame rate")
        self.fps: float = fps
        self.size = int(height), int(width)
        self.num_frames = int(num) if num > 0 else None

    def __iter__(self) -> Iterator[Image.Image]:
        """In RGB, turned as the file says; ends where no more can be read, see `check_end`."""
        while (found := self._capture.read())[0]:
            self.num_read += 1
            yield Image.fromarray(cv2.cvtColor(found[1], cv2.COLOR_BGR2RGB))

    def check_end(self) -> None:
        """ValueError if frames are missing at the end: more than a twentieth or a second, which some files claim."""
        due, num = self.num_frames or 1, self.num_read
        if num < due - min(due / 20, self.fps):
            raise ValueError(f"{self.path} is truncated or broken: only {num} of its {due} frames can be read")


_FACTS = cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_COUNT


@contextmanager
def video_writer(path: Path, fps: float, size: tuple[int, int]) -> Iterator[Callable[[NDArray[np.uint8]], None]]:
    """Gives a function that adds a frame (H, W, 3) of `size` to an .mp4, whose last column or row goes if it is odd.

    However it ends, the file is whole and holds the frames so far; of none there is no file. Raises ValueError.
    """
    part, num = path.with_name(f".{path.stem}.part.mp4"), 0
    writer = cv2.VideoWriter(str(part), cv2.CAP_FFMPEG, CODEC, round(fps, 2), size[::-1])
    if not writer.isOpened():
        raise ValueError(f"{path} of {size[1]} x {size[0]} pixels cannot be written; see that its folder can")

    def add(frame: NDArray[np.uint8]) -> None:
        nonlocal num
        assert frame.shape == (*size, 3)
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        num += 1

    try:
        yield add
    finally:
        writer.release()
        _keep(part, path, num)


def _keep(part: Path, path: Path, num: int) -> None:
    found = int(cv2.VideoCapture(str(part), cv2.CAP_FFMPEG).get(cv2.CAP_PROP_FRAME_COUNT)) if num else 0
    if found > 0:
        os.replace(part, path)
    part.unlink(missing_ok=True)
    if found < num:
        raise ValueError(f"{path} is not whole: {max(0, found)} of {num} frames were written; is the disk full?")
