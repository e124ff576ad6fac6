"""The command that paints: pictures and videos in, all that is wanted out; nothing lost, nothing overwritten."""

import json
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from data.tasks import SOURCES
from engine.fit import inference_bytes
from engine.infer import Predictor, grid
from engine.inpaint import Inpainter, half
from engine.pretrained import save_painter
from engine.prompts import save_prompt
from models import Painter
from tests.engine.test_infer import CONFIG, PROMPTS, SIZE, network, picture
from tools import paint_pictures, paint_video
from tools.paint import main
from tools.paint_video import with_memory
from util.image import normalize
from util.video import Video, video_writer
from util.visualize import blend

FRAME = (24, 40)
PAIR = "--prompt", "a.png", "a_label.png"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where the user is: a network, two prompts, and pictures to paint in `in`."""
    monkeypatch.chdir(tmp_path)
    save_painter(Path("w.safetensors"), network(), {f"model.{key}": value for key, value in vars(CONFIG).items()})
    for name, pair in zip("ab", PROMPTS, strict=False):
        pair[0].save(f"{name}.png")
        pair[1].save(f"{name}_label.png")
    Path("in/deep").mkdir(parents=True)
    return tmp_path


def command(*arguments: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["paint.py", "--ckpt", "w.safetensors", "--precision", "fp32", *arguments])
        main()


def told(capsys, *arguments: str) -> str:
    """What a command says that fails."""
    with pytest.raises(SystemExit) as end:
        command(*arguments)
    return end.value.code


def predictor(prompts=PROMPTS[:1], **options) -> Predictor:
    return Predictor(network(), "cpu", "fp32").set_prompts(prompts, **options)


def read(path) -> np.ndarray:
    return np.asarray(Image.open(path))


def near(one: np.ndarray, other: np.ndarray) -> bool:
    """But for the rounding of other batches."""
    return one.shape == other.shape and np.abs(one.astype(int) - other).max() <= 1


def files(where="out") -> set[str]:
    return {str(path.relative_to(where)) for path in Path(where).rglob("*") if path.is_file()}


def fill(num=3) -> list[Image.Image]:
    """Pictures 0.png ... of different sizes in `in`."""
    images = [picture(seed, (20 + seed, 50)) for seed in range(num)]
    for number, image in enumerate(images):
        image.save(f"in/{number}.png")
    return images


def test_each_picture_of_a_folder_is_painted_in_its_size(capsys):
    images = fill(23)
    Path("in/notes.txt").write_text("no picture")
    Path("in/.hidden.png").touch()
    images[0].save("in/deep/x.png")
    command(*PAIR, "--input", "in", "--output", "out")
    assert files() == {f"{number}.png" for number in range(23)}
    for number, expected in enumerate(predictor().paint(images)):
        assert near(read(f"out/{number}.png"), expected)
    out, err = capsys.readouterr()
    assert out == "out: 23 pictures\n"
    assert "23/23" in err


def test_a_pattern_keeps_folders_and_files_may_be_many():
    for name in ("in/x.png", "in/deep/x.png", "in/deep/y.webp"):
        picture(len(name), (20, 30)).save(name)
    Path("in/folder.png").mkdir()
    command(*PAIR, "--input", "in/**/*.png", "in/deep/y.webp", "./in/deep/y.webp", "--output", "out")
    assert files() == {"x.png", "deep/x.png", "y.png"}
    assert near(read("out/deep/x.png"), predictor().paint("in/deep/x.png"))


def test_labels_and_overlays_are_those_of_the_task():
    (image, *_) = fill(1)
    depth = SOURCES["nyuv2_depth"]
    Image.fromarray(np.arange(2000, dtype=np.uint16).reshape(40, 50)).save("millimetres.png")
    target = depth.read_target(Path("millimetres.png")).convert("RGB")
    (painting,) = predictor([(PROMPTS[0][0], target)]).paintings([image])
    label = depth.label(painting, (20, 50))
    command("--prompt", "a.png", "millimetres.png", "--input", "in", "--output", "out", "--task", "depth", "--overlay")
    assert files() == {"0.png", "0_label.png", "0_overlay.png"}
    assert read("out/0_label.png").dtype == np.uint16
    assert np.abs(read("out/0_label.png").astype(int) - label).max() <= 1
    assert np.abs(read("out/0_overlay.png").astype(int) - depth.draw(label, np.asarray(image))).max() <= 8
    command(*PAIR, "--input", "in", "--output", "out2", "--task", "pose")
    assert files("out2") == {"0.png", "0_label.json"}
    assert np.shape(json.loads(Path("out2/0_label.json").read_text())) == (17, 3)


def test_without_a_task_the_painting_lies_over_the_image(capsys):
    (image, *_) = fill(1)
    command(*PAIR, "--input", "in", "--output", "out", "--overlay")
    assert capsys.readouterr().out == "out: 1 picture\n"
    assert files() == {"0.png", "0_overlay.png"}
    assert np.array_equal(read("out/0_overlay.png"), blend(np.asarray(image), read("out/0.png")))


def test_several_prompts_are_an_ensemble():
    (image, *_) = fill(1)
    both = (*PAIR, "--prompt", "b.png", "b_label.png")
    for kind in ("feature", "spatial"):
        command(*both, "--input", "in", "--output", kind, "--ensemble", kind)
        assert near(read(f"{kind}/0.png"), predictor(PROMPTS[:2], ensemble=kind).paint(image))
    assert not near(read("feature/0.png"), read("spatial/0.png"))


def test_a_prompt_file_has_the_pair_of_the_task(capsys):
    (image, *_) = fill(1)
    save_prompt(Path("bank/two.safetensors"), {"nyuv2_depth": PROMPTS[0], "denoise": PROMPTS[1]}, {"kind": "given"})
    save_prompt(Path("bank/one.safetensors"), {"denoise": PROMPTS[1]}, {"kind": "given"})
    command("--prompt", "bank/two.safetensors", "--input", "in", "--output", "out", "--task", "denoise")
    command("--prompt", "bank/one.safetensors", "--input", "in", "--output", "out2")
    expected = predictor(PROMPTS[1:2]).paint(image)
    assert near(read("out/0.png"), expected)
    assert near(read("out2/0.png"), expected)
    options = "--input", "in", "--output", "out3"
    assert told(capsys, "--prompt", "bank/two.safetensors", *options) == (
        "error: bank/two.safetensors holds prompts for denoise, nyuv2_depth; say with --task which one to take"
    )
    assert told(capsys, "--prompt", "bank/one.safetensors", *options, "--task", "pose") == (
        "error: bank/one.safetensors holds no prompt for coco_pose, only for denoise; give another file or --task"
    )


def test_broken_inputs_are_told_and_all_others_painted(capsys):
    fill(14)
    Path("in/1.png").write_bytes(b"")
    Path("in/7.png").write_bytes(Path("in/6.png").read_bytes()[:300])
    Image.fromarray(np.zeros((9, 9), np.uint16)).save("in/z.png")
    frames = [picture(seed, (9, 9)) for seed in range(3)]
    frames[0].save("in/y.gif", save_all=True, append_images=frames[1:])
    first, *lines = told(capsys, *PAIR, "--input", "in", "--output", "out").splitlines()
    assert first == "error: 4 of 16 inputs could not be painted:"
    assert len(lines) == 4
    for line, words in zip(
        lines, ("1.png is empty", "7.png is tr", "y.gif is an animation", "z.png has 16"), strict=True
    ):
        assert f"in/{words}" in line
    assert files() == {f"{number}.png" for number in range(14) if number not in (1, 7)}
    assert near(read("out/8.png"), predictor().paint("in/8.png"))
    assert capsys.readouterr().out == "out: 12 pictures\n"


def test_pictures_are_read_when_they_are_due(monkeypatch):
    fill(1)
    inputs, num_read, most = [paint_pictures.Input(Path("in/0.png"), Path(str(i))) for i in range(90)], [], []
    monkeypatch.setattr(paint_pictures, "to_rgb", lambda path: num_read.append(path) or picture(0, (20, 50)))
    monkeypatch.setattr(paint_pictures, "_write", lambda *_: most.append(len(num_read) - len(most)))
    assert paint_pictures.paint_pictures(predictor(), inputs, Path("out")) == []
    assert len(num_read) == len(most) == 90
    assert max(most) <= 3 * 9  # waiting to be painted, painted at once, waiting to be written


def test_what_fails_while_writing_ends_the_work(monkeypatch, capsys):
    fill(30)

    def full(*_):
        raise OSError(28, "No space left on device", "out/0.png")

    monkeypatch.setattr(paint_pictures, "write_png", full)
    assert "No space left on device: 'out/0.png'" in told(capsys, *PAIR, "--input", "in", "--output", "out")


BAD = {
    "no input": ("--input --output out", "--input is empty; give pictures, a folder"),
    "nothing there": (
        "--input no.jpg --output out",
        "--input no.jpg matches no file; give pictures, a folder, a pattern",
    ),
    "no match": ("--input in/*.jpg --output out", "--input in/*.jpg matches no file"),
    "empty folder": (
        "--input in/deep --output out",
        "in/deep holds no picture; for folders in it give a pattern such as",
    ),
    "one stem": (
        "--input in/0.png in/0.bmp --output out",
        "in/0.png and in/0.bmp would both become 0; paint them into",
    ),
    "a name of ours": ("--input in/0.png in/0_label.png --output out --task depth", "would both become 0_label;"),
    "the same folder": ("--input in/0.png --output in", "in/0.png is read, and --output in might replace it"),
    "a folder above": ("--input in/deep/../0.png --output .", "is read, and --output . might replace it"),
    "a file": ("--input in/0.png --output a.png/x", "--output: a.png/x cannot be written to (Not a directory)"),
    "a picture": (
        "--input in/0.png --output out.png",
        "--output out.png must be a folder; each painted picture becomes",
    ),
    "a file there": ("--input in/0.png --output w.safetensors", "--output w.safetensors must be a folder"),
    "no task": ("--input in/0.png --output out --task colour", "task 'colour' is none of nyuv2_depth"),
    "an empty task": ("--input in/0.png --output out --task=", "task '' is none of nyuv2_depth"),
    "size": ("--input in/0.png --output out --size 50", "size (50, 50) must be a multiple of the patches' 16"),
    "no size": ("--input in/0.png --output out --size 0", "--size 0 must be 1 to 4096 pixels"),
    "no memory": ("--input v.mp4 --output o.mp4 --memory -1", "--memory -1 must be 0 or more"),
    "type tokens": ("--input in/0.png --output out --instances", "this network has no type tokens"),
    "a video's folder": (
        "--input v.mp4 --output out",
        "--output out must be a file that ends in .mp4, as the input is",
    ),
    "the video itself": ("--input v.mp4 --output v.mp4", "v.mp4 is read, and --output v.mp4 might replace it"),
    "its overlay": (
        "--input v_overlay.mp4 --output v.mp4 --overlay",
        "v_overlay.mp4 is read, and --output v.mp4 might",
    ),
    "two videos": ("--input v.mp4 in/0.png --output out", "v.mp4 is a video, which takes a command of its own"),
    "own classes": ("--input in/0.png --output out --task own_classes", "own_classes decodes by the palette of your"),
    "out of the folder": ("--input in/*/../0.png --output out", "0.png has '..' after a pattern; give it without"),
    "labels of another video": (
        "--input v.mp4 --output old.mp4 --task depth",
        "old_label holds the labels of another video; remove it",
    ),
    "a broken video": ("--input in/junk.mp4 --output o.mp4", "in/junk.mp4 is broken, truncated or no video"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_is_one_sentence(name, capsys):
    fill(1)
    for other in ("in/0.bmp", "in/0_label.png"):
        picture(0, (9, 9)).save(other)
    video(2)
    Path("v_overlay.mp4").write_bytes(Path("v.mp4").read_bytes())
    Path("in/junk.mp4").write_bytes(b"junk" * 99)
    Path("in/deep").mkdir(exist_ok=True)
    Path("old_label").mkdir()
    Path("old_label/000000.png").touch()
    before = files(".")
    arguments, message = BAD[name]
    found = told(capsys, *PAIR, *arguments.split())
    assert found.startswith("error: ")
    assert message in found
    assert "\n" not in found
    assert files(".") == before


def test_class_numbers_are_no_painted_label(capsys):
    fill(1)
    Image.fromarray(np.full((40, 50), 5, np.uint8)).save("numbers.png")
    found = told(capsys, "--prompt", "a.png", "numbers.png", "--input", "in", "--output", "out", "--task", "ade20k")
    assert found.startswith("error: numbers.png shows (5, 5, 5), the colour of no class; give the painted label")


def test_prompts_are_not_overwritten(capsys):
    fill(1)
    Path("p").mkdir()
    PROMPTS[0][1].save("p/0.png")
    found = told(capsys, "--prompt", "a.png", "p/0.png", "--input", "in", "--output", "p")
    assert found == "error: p/0.png is read, and --output p might replace it; give another place"


PROMPT_FAULTS = {
    "alone": ("a.png", "--prompt a.png: give an image and its painted label, or one prompt file (.safetensors)"),
    "three": ("a.png a.png a.png", "--prompt a.png a.png a.png: give an image and its painted label"),
    "sizes": ("a.png in/0.png", "prompt 1: its image is 50 x 40 but its target 50 x 20 pixels"),
    "missing": ("a.png no.png", "no.png does not exist"),
    "16 bits": (
        "a.png 16.png",
        "16.png is no picture but a label; give the task that reads it, such as --task nyuv2_depth",
    ),
    "32 bits": ("a.png 32.tiff", "32.tiff has 16 or more bits a channel where 8 are due; save it as 8-bit RGB"),
    "animated": ("a.gif a.png", "a.gif is an animation of 2 frames; give one of them, or a video file"),
    "bomb": ("bomb.png bomb.png", "bomb.png has 9000 x 8000 pixels, more than 64000000; shrink it"),
    "no file": ("no.safetensors", "there is no prompt file no.safetensors"),
    "weights": ("w.safetensors", "w.safetensors is no whole prompt file"),
}


@pytest.mark.parametrize("name", PROMPT_FAULTS)
def test_a_bad_prompt_is_one_sentence(name, capsys):
    fill(1)
    Image.fromarray(np.zeros((40, 50), np.uint16)).save("16.png")
    Image.fromarray(np.zeros((40, 50), np.float32)).save("32.tiff")
    picture(0, (9, 9)).save("a.gif", save_all=True, append_images=[picture(1, (9, 9))])
    if name == "bomb":
        Image.new("1", (9000, 8000)).save("bomb.png")
    paths, message = PROMPT_FAULTS[name]
    assert message in told(capsys, "--prompt", *paths.split(), "--input", "in", "--output", "out")
    assert not Path("out").exists() or not files()


def test_a_device_that_is_too_small_is_one_sentence(monkeypatch, capsys):
    fill(1)

    def small(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Predictor, "paintings", small)
    found = told(capsys, *PAIR, "--input", "in", "--output", "out")
    assert found == "error: the memory does not hold this; give fewer prompts, or a smaller --size"


# Videos


def scene(num=7) -> list[Image.Image]:
    """Flat frames, from dark to bright."""
    return [Image.new("RGB", FRAME[::-1], (35 * i, 255 - 35 * i, 20 * i)) for i in range(num)]


def video(num=7, path="v.mp4", fps=12.5) -> list[Image.Image]:
    """The frames of a video as they are read."""
    with video_writer(Path(path), fps, FRAME) as add:
        for image in scene(num):
            add(np.asarray(image))
    return list(Video(Path(path)))


def test_a_video_keeps_frames_order_rate_and_size(monkeypatch, capsys):
    frames, added = video(), {}

    @contextmanager
    def spy(path, *args):
        with video_writer(path, *args) as add:
            yield lambda frame: (added.setdefault(path.name, []).append(frame), add(frame))

    monkeypatch.setattr(paint_video, "video_writer", spy)
    command(*PAIR, "--input", "v.mp4", "--output", "out/p.mp4", "--memory", "0", "--task", "depth", "--overlay")
    out, err = capsys.readouterr()
    assert out == "out/p.mp4: 7 frames\n"
    assert "7/7" in err
    assert files() == {"p.mp4", "p_overlay.mp4"} | {f"p_label/00000{i}.png" for i in range(7)}
    one, depth = predictor(), SOURCES["nyuv2_depth"]
    labels = [depth.label(painting, FRAME) for painting in one.paintings(frames)]
    overlays = [depth.draw(label, np.asarray(image)) for label, image in zip(labels, frames, strict=True)]
    assert [near(*pair) for pair in zip(added["p.mp4"], one.paint(frames), strict=True)] == [True] * 7
    for found, expected in zip(added["p_overlay.mp4"], overlays, strict=True):
        assert np.abs(found.astype(int) - expected).max() <= 8
    for number, label in enumerate(labels):
        assert np.abs(read(f"out/p_label/00000{number}.png").astype(int) - label).max() <= 1
    for made in (Video(Path("out/p.mp4")), Video(Path("out/p_overlay.mp4"))):
        assert (made.fps, made.size, made.num_frames) == (12.5, FRAME, 7)
    assert not near(added["p.mp4"][0], added["p.mp4"][-1])


@pytest.mark.parametrize("num", [1, 2])
def test_each_frame_is_painted_below_the_first_and_the_last(num):
    frames, painted, model = scene(6), [], network()
    with torch.no_grad():
        for parameter in model.decoder_pred.parameters():
            parameter.mul_(2)  # paints darker than black and brighter than white
    for i, image in enumerate(frames):
        remembered = [0, *range(max(1, i - num), i)] if i else []
        known = [(frames[j], normalize(painted[j].clamp(0, 1)).float()) for j in remembered]
        painted.append(Inpainter(model, [PROMPTS[0], *known], SIZE, 16)([image])[0])
    one = Predictor(model, "cpu", "fp32")
    found = list(with_memory(one, PROMPTS[:1], num)(iter(frames)))
    assert min(x.min() for x in found) < 0
    assert max(x.max() for x in found) > 1
    torch.testing.assert_close(found, painted, rtol=0, atol=1e-4)
    others = list(with_memory(one, PROMPTS[:1], num + 1)(frames))
    same = [torch.allclose(one, other, atol=1e-4) for one, other in zip(found, others, strict=True)]
    assert same == [i <= num + 1 for i in range(6)]


def test_the_memory_holds_no_more_than_it_should(monkeypatch):
    seen, original = [], Predictor.use

    def spy(self, prompts, instances):
        seen.append((list(prompts), instances))
        return original(self, prompts, instances)

    monkeypatch.setattr(Predictor, "use", spy)
    frames = scene(7)
    typed = Painter(replace(CONFIG, type_tokens=True)).eval()
    list(with_memory(Predictor(typed, "cpu", "fp32"), PROMPTS[:2], 2, instances=True)(frames))
    assert [len(prompts) for prompts, _ in seen] == [2, 3, 4, 5, 5, 5, 5]
    for prompts, instances in seen:
        assert instances
        assert torch.equal(prompts[0][0], half(PROMPTS[0][0], SIZE))
        assert torch.equal(prompts[1][1], half(PROMPTS[1][1], SIZE))
    for place, frame in ((2, 0), (3, 4), (4, 5)):
        assert torch.equal(seen[6][0][place][0], half(frames[frame], SIZE))


def test_a_video_is_painted_with_memory_by_default(monkeypatch):
    frames, asked = video(3), []
    monkeypatch.setattr(paint_video, "check_canvases", lambda *args: asked.append(args[2]))
    both = (*PAIR, "--prompt", "b.png", "b_label.png")
    for kind, given in (("feature", PROMPTS[:2]), ("spatial", [grid(PROMPTS[:2], SIZE)])):
        command(*both, "--input", "v.mp4", "--output", f"{kind}.mp4", "--ensemble", kind, "--task", "denoise")
        for number, painting in enumerate(with_memory(predictor(), given, 1)(frames)):
            expected = SOURCES["denoise"].answer(SOURCES["denoise"].label(painting, FRAME))
            assert near(read(f"{kind}_label/00000{number}.png"), expected)
    assert asked == [4, 4, 3, 3]


def test_more_memory_than_there_is_is_told_at_once(monkeypatch, capsys):
    video()
    monkeypatch.setattr("engine.fit.free_memory", lambda world: 3.4 * inference_bytes(CONFIG, SIZE))
    command(*PAIR, "--input", "v.mp4", "--output", "o.mp4")
    message = told(capsys, *PAIR, "--input", "v.mp4", "--output", "o2.mp4", "--memory", "2")
    assert "4 prompts of" in message
    assert "give 3 or fewer" in message
    assert not Path("o2.mp4").exists()


@pytest.mark.parametrize("memory", ["0", "1"])
def test_a_truncated_video_is_painted_as_far_as_it_goes(memory, capsys):
    writer = cv2.VideoWriter("v.avi", cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 10, FRAME[::-1])
    for seed in range(30):
        writer.write(np.asarray(picture(seed, FRAME)))
    writer.release()
    content = Path("v.avi").read_bytes()
    Path("v.avi").write_bytes(content[: len(content) // 2])
    num = len(list(Video(Path("v.avi"))))
    assert 8 < num < 20
    assert num % 8, "the last batch is not full"
    found = told(capsys, *PAIR, "--input", "v.avi", "--output", "o.mp4", "--memory", memory)
    assert found == f"error: v.avi is truncated or broken: only {num} of its 30 frames can be read"
    assert capsys.readouterr().out == f"o.mp4: {num} frames\n"
    assert len(list(Video(Path("o.mp4")))) == num


def test_a_video_that_is_stopped_is_kept(monkeypatch, capsys):
    video()
    original, seen = paint_video.shown, []

    def stop(*args):
        seen.append(args)
        if len(seen) == 5:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(paint_video, "shown", stop)
    assert told(capsys, *PAIR, "--input", "v.mp4", "--output", "o.mp4") == 130
    assert capsys.readouterr().err.endswith("stopped; what is painted so far is kept\n")
    assert len(list(Video(Path("o.mp4")))) == 4
