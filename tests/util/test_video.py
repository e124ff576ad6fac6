"""Videos: what is written is read again, frame by frame; what is broken is told, and what is there is kept."""

import os
import resource
import signal
import struct

import cv2
import numpy as np
import pytest

from util.video import Video, video_writer

SIZE = (48, 64)
COLORS = [(250, 20, 20), (20, 250, 20), (20, 20, 250), (250, 250, 20), (120, 120, 120), (0, 0, 0)]
NUM = len(COLORS)


def frames(num=NUM, size=SIZE):
    return [np.full((*size, 3), COLORS[i % NUM], np.uint8) for i in range(num)]


def written(path, num=NUM, fps=25.0, size=SIZE):
    with video_writer(path, fps, size) as add:
        for frame in frames(num, size):
            add(frame)
    return path


@pytest.mark.parametrize("fps", [25, 29.97002997, 0.5, 240.123])
def test_frames_are_read_as_they_were_written(tmp_path, fps):
    video = Video(written(tmp_path / "a.mp4", fps=fps))
    assert (video.size, video.num_frames) == (SIZE, NUM)
    assert video.fps == pytest.approx(fps, abs=0.01)
    found = list(video)
    video.check_end()
    assert [image.size for image in found] == [SIZE[::-1]] * NUM
    assert np.abs(np.stack(found).astype(int) - np.stack(frames())).max() < 12  # colours in their order, R before B
    assert video.num_read == NUM
    assert os.listdir(tmp_path) == ["a.mp4"]


def test_odd_sides_lose_a_line(tmp_path):
    assert Video(written(tmp_path / "a.mp4", size=(47, 63))).size == (46, 62)


def test_a_turned_video_is_turned(tmp_path):
    content = bytearray(written(tmp_path / "a.mp4").read_bytes())
    start = content.index(b"tkhd") + 44  # the matrix of the track
    assert struct.unpack_from(">i", content, start) == (65536,)
    struct.pack_into(">9i", content, start, 0, 65536, 0, -65536, 0, 0, SIZE[0] << 16, 0, 1 << 30)
    (tmp_path / "b.mp4").write_bytes(content)
    video = Video(tmp_path / "b.mp4")
    assert video.size == SIZE[::-1]
    assert next(iter(video)).size == SIZE


def test_what_was_written_before_an_error_is_kept(tmp_path):
    def stopped(num):
        with video_writer(tmp_path / "a.mp4", 25, SIZE) as add:
            for frame in frames(num):
                add(frame)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped(4)
    assert len(list(Video(tmp_path / "a.mp4"))) == 4
    with pytest.raises(KeyboardInterrupt):
        stopped(0)
    assert len(list(Video(tmp_path / "a.mp4"))) == 4, "nothing does not replace something"
    assert os.listdir(tmp_path) == ["a.mp4"]


def test_a_full_disk_is_told(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (30, *SIZE, 3), dtype=np.uint8)
    before, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill():
        with video_writer(tmp_path / "a.mp4", 25, SIZE) as add:
            for frame in noise:
                add(frame)

    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(ValueError, match=r"a\.mp4 is not whole: 0 of 30 frames were written; is the disk full"):
            fill()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert not os.listdir(tmp_path)


def test_a_truncated_video_gives_what_it_has(tmp_path):
    file = written(tmp_path / "a.mp4", 40)
    content = file.read_bytes()
    index, media = content.index(b"moov") - 4, content.index(b"mdat") - 4
    assert media < index
    blank = bytearray(content)
    middle = (media + index) // 2
    blank[middle:index] = bytes(index - middle)
    file.write_bytes(blank)
    video = Video(file)
    num = len(list(video))
    assert 10 < num < 30
    with pytest.raises(ValueError, match=rf"a\.mp4 is truncated or broken: only {num} of its 40 frames can be read"):
        video.check_end()


@pytest.mark.parametrize(
    ("num", "due", "fps", "whole"),
    [(19, 20, 25, True), (18, 20, 25, False), (990, 1000, 10, True), (989, 1000, 10, False), (1, None, 25, True)],
)
def test_a_little_less_than_told_is_whole(tmp_path, num, due, fps, whole):
    video = Video(written(tmp_path / "a.mp4"))
    video.num_read, video.num_frames, video.fps = num, due, fps
    if whole:
        video.check_end()
    else:
        with pytest.raises(ValueError, match="truncated"):
            video.check_end()


def test_a_video_that_tells_no_number_of_frames_is_read_to_its_end(tmp_path, monkeypatch):
    file, facts = written(tmp_path / "a.mp4"), {cv2.CAP_PROP_FRAME_COUNT: -2.3e17}

    class Untold:
        def __init__(self, *args):
            self.capture = cv2_capture(*args)
            self.isOpened, self.read = self.capture.isOpened, self.capture.read

        def get(self, key):
            return facts.get(key, self.capture.get(key))

    cv2_capture = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", Untold)
    video = Video(file)
    assert video.num_frames is None
    with pytest.raises(ValueError, match="only 0 of"):
        video.check_end()
    assert len(list(video)) == NUM
    video.check_end()


def test_no_video_is_one_sentence(tmp_path, capfd):
    (tmp_path / "junk.mp4").write_bytes(b"junk" * 1000)
    (tmp_path / "empty.mp4").touch()
    content = written(tmp_path / "a.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) // 2])
    for name in ("junk", "empty", "cut"):
        with pytest.raises(ValueError, match=rf"{name}\.mp4 is broken, truncated or no video in a known format"):
            Video(tmp_path / f"{name}.mp4")
    with pytest.raises(ValueError, match=r"none\.mp4 does not exist"):
        Video(tmp_path / "none.mp4")
    with pytest.raises(ValueError, match=r"fast\.mp4 tells no frame rate \(1000\)"):
        Video(written(tmp_path / "fast.mp4", fps=1000))
    with pytest.raises(ValueError, match=r"b\.mp4 of 64 x 48 pixels cannot be written"):
        written(tmp_path / "nowhere/b.mp4")
    assert capfd.readouterr() == ("", ""), "FFmpeg and OpenCV are quiet"
