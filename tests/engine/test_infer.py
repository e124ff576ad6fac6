"""Predictors: pictures of any kind in, pictures and labels of their size out; prompts one by one and together."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from data.tasks import SOURCES
from data.tasks.base import Task
from data.tasks.own import OWN_CLASSES
from engine.fit import inference_bytes
from engine.infer import Predictor, grid
from engine.inpaint import Inpainter, half
from engine.pretrained import find_pretrained, load_painter, save_painter, save_pretrained
from models import Painter, PainterConfig
from util.image import to_uint8

CONFIG = PainterConfig((64, 48), 16, 24, 4, 2, decoder_embed_dim=4, pretrain_img_size=48, drop_path_rate=0.0)
SIZE = (32, 48)


def picture(seed: int, size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


PROMPTS = [(picture(seed, (40, 50)), picture(seed + 1, (40, 50))) for seed in (0, 2, 4)]
QUERY = picture(9, (37, 61))


def network() -> Painter:
    """Far from the start, where all paint alike."""
    torch.manual_seed(0)
    model = Painter(CONFIG)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


@pytest.fixture
def predictor():
    return Predictor(network(), "cpu", "fp32").set_prompts(PROMPTS[:1])


def painted_by_hand(prompts=PROMPTS[:1], query=QUERY) -> torch.Tensor:
    return Inpainter(network(), prompts, SIZE, 16)([query])[0]


def test_a_picture_is_painted_in_its_own_size(predictor):
    found = predictor.paint(QUERY)
    large = torch.nn.functional.interpolate(painted_by_hand()[None], (37, 61), mode="bicubic", align_corners=False)[0]
    assert found.shape == (37, 61, 3)
    assert np.abs(found.astype(int) - to_uint8(large)).max() <= 1  # rounding of another network's instance
    assert found.std() > 1


def test_files_arrays_and_pictures_are_the_same(predictor, tmp_path):
    QUERY.save(tmp_path / "q.png")
    expected = predictor.paint(QUERY)
    for other in (tmp_path / "q.png", str(tmp_path / "q.png"), np.asarray(QUERY)):
        assert np.array_equal(predictor.paint(other), expected)
    gray = np.asarray(QUERY.convert("L"))
    assert np.array_equal(predictor.paint(gray), predictor.paint(Image.fromarray(gray).convert("RGB")))


def test_several_pictures_of_any_sizes_keep_their_order(predictor):
    many = [picture(seed, (20 + seed, 50)) for seed in range(11)]
    for one, found in zip(many, predictor.paint(many), strict=True):
        assert np.abs(found.astype(int) - predictor.paint(one)).max() <= 1
    assert predictor.paint([]) == []


def test_labels_are_those_of_the_tasks(predictor):
    painted, size = painted_by_hand(), (37, 61)
    depth = predictor.predict(QUERY, task="depth")
    assert depth.dtype == np.float32
    millimetres = SOURCES["nyuv2_depth"].decode(painted, size).numpy()
    np.testing.assert_allclose(depth, millimetres / 1000, atol=0.0021)
    classes = predictor.predict(QUERY, task="ade20k_semantic")
    assert (classes == SOURCES["ade20k_semantic"].decode(painted, size).numpy()).mean() > 0.99
    points = predictor.predict([QUERY, QUERY], task=SOURCES["coco_pose"])
    assert [x.shape for x in points] == [(17, 3)] * 2
    restored = predictor.predict(QUERY, task="denoise")
    assert restored.dtype == np.uint8
    assert restored.shape == (*size, 3)
    masks, scores = predictor.predict(QUERY, task="instance")
    assert masks.shape == (len(scores), *size)


def test_a_task_without_decode_says_so(predictor):
    task = Task()
    task.name = "mine"
    with pytest.raises(ValueError, match="task mine paints labels but does not decode them"):
        predictor.predict(QUERY, task)


def test_several_prompts_are_an_ensemble_of_features(predictor):
    found = predictor.set_prompts(PROMPTS).paint(QUERY)
    expected = torch.nn.functional.interpolate(
        painted_by_hand(PROMPTS)[None], (37, 61), mode="bicubic", align_corners=False
    )[0]
    assert np.abs(found.astype(int) - to_uint8(expected)).max() <= 1


@pytest.mark.parametrize(("num", "side"), [(1, 1), (2, 2), (4, 2), (8, 3)])
def test_a_spatial_ensemble_is_one_prompt_of_shrunken_ones(predictor, num, side):
    colors = [20 * i + 9 for i in range(num)]
    prompts = [(Image.new("RGB", (50, 40), (c, 0, 0)), Image.new("RGB", (50, 40), (0, c, 0))) for c in colors]
    image, target = (np.asarray(x) for x in grid(prompts, SIZE))
    assert image.shape == target.shape == (*SIZE, 3)
    rows, columns = (((np.arange(side) + 0.5) * length / side).astype(int) for length in SIZE)
    expected = np.arange(side * side).reshape(side, side) % num * 20 + 9
    assert np.array_equal(image[rows][:, columns, 0], expected)
    assert np.array_equal(target[rows][:, columns, 1], expected)
    pairs = PROMPTS[:2]
    both = predictor.set_prompts(pairs, "spatial").paint(QUERY)
    assert np.abs(both.astype(int) - predictor.set_prompts([grid(pairs, SIZE)]).paint(QUERY)).max() <= 1


def test_a_spatial_ensemble_mixes_the_colours_of_images_alone():
    """Between two colours of a painted label lies that of another class, or of none."""
    images, targets = ({color for half in side for color in half.getdata()} for side in zip(*PROMPTS, strict=True))
    image, target = (set(half.getdata()) for half in grid(PROMPTS, SIZE))
    assert target <= targets
    assert not image <= images


def test_a_network_with_type_tokens_is_told_what_prompts_show(predictor):
    torch.manual_seed(1)
    model = Painter(replace(CONFIG, type_tokens=True)).eval()
    expected = [Inpainter(model, PROMPTS, SIZE, 16, token_type=kind)([QUERY])[0] for kind in (0, 1)]
    assert (expected[0] - expected[1]).abs().max() > 1e-4
    typed = Predictor(model, "cpu", "fp32")
    for kind in (False, True):
        (found,) = typed.set_prompts(PROMPTS, instances=kind).paintings([QUERY])
        torch.testing.assert_close(found, expected[kind], rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="this network has no type tokens"):
        predictor.set_prompts(PROMPTS, instances=True)


def test_learned_prompts_are_tensors(predictor):
    pair = half(PROMPTS[0][0], SIZE), half(PROMPTS[0][1], SIZE)
    expected = predictor.paint(QUERY)
    assert np.array_equal(predictor.set_prompts([pair]).paint(QUERY), expected)
    with pytest.raises(ValueError, match="learned at 24 x 16 pixels and is used at 48 x 32"):
        predictor.set_prompts([(torch.zeros(3, 16, 24), torch.zeros(3, 16, 24))])
    with pytest.raises(ValueError, match="learned prompts are whole canvases; combine them as an ensemble of features"):
        predictor.set_prompts([pair], "spatial")


def test_bad_prompts_are_told_apart(predictor, tmp_path):
    with pytest.raises(ValueError, match="prompt 2: its image is 50 x 40 but its target 30 x 20 pixels"):
        predictor.set_prompts([PROMPTS[0], (PROMPTS[1][0], picture(1, (20, 30)))])
    with pytest.raises(ValueError, match="no prompt is given"):
        predictor.set_prompts([])
    for strange in (PROMPTS[0], "bank/depth.safetensors", [PROMPTS[0][0]]):
        with pytest.raises(ValueError, match="give a list of pairs, each an image and its painted label"):
            predictor.set_prompts(strange)
    with pytest.raises(ValueError, match="ensemble 'spacial' must be one of feature, spatial"):
        predictor.set_prompts(PROMPTS, "spacial")
    with pytest.raises(ValueError, match="is a folder where a picture is due"):
        predictor.paint(tmp_path)
    with pytest.raises(ValueError, match=r"the target of prompt 1 has 16 or more bits"):
        predictor.set_prompts([(picture(0, (9, 9)), Image.fromarray(np.zeros((9, 9), np.uint16)))])
    with pytest.raises(ValueError, match=r"nowhere\.png does not exist"):
        predictor.set_prompts([(tmp_path / "nowhere.png", PROMPTS[0][1])])


def test_more_prompts_than_memory_are_refused_before_they_are_read(predictor, monkeypatch):
    monkeypatch.setattr("engine.fit.free_memory", lambda world: 2.3 * inference_bytes(CONFIG, SIZE))
    predictor.set_prompts(PROMPTS[:2])
    with pytest.raises(ValueError, match=r"3 prompts of .* GB are free: give 2 or fewer, or a spatial ensemble"):
        predictor.set_prompts([("nowhere.png", "nowhere.png")] * 3)
    predictor.set_prompts(PROMPTS, "spatial")


def test_bad_pictures_are_told_apart(predictor, tmp_path):
    frames = [picture(seed, (20, 20)) for seed in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match=r"a\.gif is an animation of 3 frames; give one of them, or a video file"):
        predictor.paint(tmp_path / "a.gif")
    with pytest.raises(ValueError, match=r"the picture is an array of float64 of shape \(4, 4, 3\); give bytes"):
        predictor.paint(np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match=r"picture 2 is an array of uint8 of shape \(2, 4, 4, 3\)"):
        predictor.paint([QUERY, np.zeros((2, 4, 4, 3), np.uint8)])
    with pytest.raises(ValueError, match="the picture has 9000 x 8000 pixels, more than 64000000; shrink it"):
        predictor.paint(np.broadcast_to(np.uint8(0), (8000, 9000, 3)))
    with pytest.raises(ValueError, match="the picture is CMYK; convert it to RGB"):
        predictor.paint(QUERY.convert("CMYK"))
    with pytest.raises(ValueError, match="no prompt is set; call set_prompts"):
        Predictor(network(), "cpu").paint(QUERY)


def test_weights_come_from_files_and_folders(predictor, tmp_path):
    config = {f"model.{key}": value for key, value in vars(CONFIG).items()}
    expected = predictor.paint(QUERY)
    save_painter(tmp_path / "w.safetensors", network(), config)
    save_pretrained(tmp_path / "hub", network(), config)
    for path in (tmp_path / "w.safetensors", str(tmp_path / "hub")):
        found = Predictor.from_pretrained(path, "cpu", "fp32").set_prompts(PROMPTS[:1])
        assert np.array_equal(found.paint(QUERY), expected)
    assert json.loads((tmp_path / "hub/config.json").read_text())["model.embed_dim"] == 24


def test_the_config_beside_weights_that_do_not_tell_is_used(tmp_path):
    save_pretrained(tmp_path, network(), {f"model.{key}": value for key, value in vars(CONFIG).items()})
    save_painter(tmp_path / "model.safetensors", network(), {})
    assert load_painter(tmp_path)[0].config.embed_dim == 24


def test_what_is_neither_a_file_nor_on_a_hub_is_one_sentence(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match=r"nobody/nothing is no file here.*(hub|huggingface_hub)"):
        Predictor.from_pretrained("nobody/nothing")


@pytest.mark.parametrize("path", ["weights/of/mine", "there/lsat", "./mine", "mine/w.safetensor", "mine.pth", "/no/no"])
def test_a_path_with_a_slip_is_not_looked_for_on_a_hub(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    with pytest.raises(ValueError, match=rf"^{Path(path)} does not exist: check the path"):
        Predictor.from_pretrained(path)


@pytest.mark.parametrize("name", ["user/model", "user/model-1.5", "user-1/painter_v1.0"])
def test_a_name_of_a_hub_is_looked_for_there(name, monkeypatch):
    asked = []
    hub = SimpleNamespace(snapshot_download=lambda model, allow_patterns: asked.append(model) or "folder")
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert (find_pretrained(name), asked) == (Path("folder"), [name])


def test_photographs_stand_upright(predictor, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    QUERY.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    upright = Image.open(tmp_path / "turned.jpg").convert("RGB").transpose(Image.Transpose.ROTATE_270)
    for turned in (tmp_path / "turned.jpg", Image.open(tmp_path / "turned.jpg")):
        assert np.array_equal(predictor.paint(turned), predictor.paint(np.asarray(upright)))


def test_what_is_not_finite_is_not_painted():
    broken = network()
    with torch.no_grad():
        broken.norm.weight[0] = float("nan")
    predictor = Predictor(broken, "cpu", "fp32").set_prompts(PROMPTS[:1])
    with pytest.raises(ValueError, match="the network paints values that are not finite"):
        predictor.paint(QUERY)


def test_prompts_of_an_ensemble_count_in_what_is_painted_at_once(predictor, monkeypatch):
    seen = []
    predictor.set_prompts(PROMPTS)
    inpainter = predictor._inpainter
    monkeypatch.setattr(predictor, "_inpainter", lambda batch: seen.append(len(batch)) or inpainter(batch))
    predictor._inpainter.num_prompts = 3
    list(predictor.paintings([QUERY] * 5))
    assert seen == [2, 2, 1]  # of three canvases each, of which eight fit


def test_canvases_may_be_of_another_size():
    predictor = Predictor(network(), "cpu", "fp32", side=64).set_prompts(PROMPTS[:1])
    assert predictor.size == (64, 64)
    assert predictor.paint(QUERY).shape == (37, 61, 3)
    assert next(predictor.paintings([QUERY])).shape == (3, 64, 64)


def test_labels_are_shown_and_saved(predictor, tmp_path):
    image, painted = np.asarray(QUERY), painted_by_hand()
    tasks = {name: task for name, task in SOURCES.items() if task is not OWN_CLASSES}  # which asks for its folder
    for name, task in tasks.items():
        label = task.label(painted, (37, 61))
        drawn = task.draw(label, image)
        assert drawn.shape == image.shape
        assert drawn.dtype == np.uint8
        task.save(label, tmp_path / name)
    files = {file.name for file in tmp_path.iterdir()}
    assert files == {f"{n}.png" for n in tasks if n != "coco_pose"} | {"coco_pose.json", "coco_instance.json"}
