"""What the page does, without a browser: uploads good and bad, drawings, banks, paintings and their files."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from data.tasks import SOURCES
from engine.infer import Predictor
from engine.prompts import save_prompt
from tests.engine.test_infer import PROMPTS, QUERY, network, picture
from tools.web_paint import (
    NO_MEMORY,
    bank_choices,
    banked,
    drawn,
    drawn_target,
    paint,
    read_queries,
    sentence,
    uploaded,
)
from util.visualize import blend

DEPTH = SOURCES["nyuv2_depth"]


@pytest.fixture
def predictor():
    return Predictor(network(), "cpu", "fp32")


def saved(image: Image.Image, path) -> str:
    path.parent.mkdir(exist_ok=True)
    image.save(path)
    return str(path)


def layer(shape: tuple[int, int], rows: slice, columns: slice) -> np.ndarray:
    """What a brush leaves: white and opaque where it went, clear elsewhere."""
    pixels = np.zeros((*shape, 4), np.uint8)
    pixels[rows, columns] = 255
    return pixels


def test_pairs_are_of_one_order(tmp_path):
    images, targets = ([saved(x, tmp_path / f"{i}{name}.png") for i, x in enumerate(side)]
                       for name, side in zip("ab", zip(*PROMPTS, strict=True), strict=True))  # fmt: skip
    found = uploaded(images, targets, None)
    assert [[np.asarray(side).tolist() for side in pair] for pair in found] == [
        [np.asarray(side).tolist() for side in pair] for pair in PROMPTS
    ]


def test_label_may_be_as_its_data_set_has_it(tmp_path):
    millimetres = np.full((40, 50), 5000, np.uint16)
    files = [saved(PROMPTS[0][0], tmp_path / "a.png")], [saved(Image.fromarray(millimetres), tmp_path / "depth.png")]
    ((_, target),) = uploaded(*files, DEPTH)
    assert (np.asarray(target) == 127).all()
    with pytest.raises(ValueError, match=r"^depth.png is no picture but a label; give the task"):
        uploaded(*files, None)


def animate(path) -> None:
    picture(0, (9, 9)).save(path, save_all=True, append_images=[picture(1, (9, 9))])


def truncate(path) -> None:
    picture(0, (90, 90)).save(path)
    path.write_bytes(path.read_bytes()[:9000])


READERS = {
    "query": lambda file: read_queries([file]),
    "drawn on": lambda file: drawn(file, []),
    "pair": lambda file: uploaded([file], [file], DEPTH),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("deep.png", lambda path: Image.fromarray(np.zeros((4, 4), np.uint16)).save(path), "has 16 or more bits"),
        ("text.png", lambda path: path.write_text("hello"), "is not an image in a known format"),
        ("empty.png", lambda path: path.touch(), r"is empty \(0 bytes\)"),
        ("moves.gif", animate, "is an animation of 2 frames"),
        ("part.png", truncate, "is truncated or broken"),
        ("huge.png", lambda path: Image.new("1", (5000, 4000)).save(path), "has 5000 x 4000 pixels, more than the 13"),
        ("bomb.png", lambda path: Image.new("1", (10000, 10000)).save(path), "has 10000 x 10000 pixels, more than "),
        ("boom.png", lambda path: Image.new("1", (20000, 20000)).save(path), "has far more than 64000000 pixels"),
        ("ink.jpg", lambda path: Image.new("CMYK", (9, 9)).save(path), "is CMYK; convert it to RGB"),
    ],
)
def test_bad_upload_is_told_by_its_name_alone(name, make, message, reader, tmp_path):
    make(tmp_path / name)
    with pytest.raises(ValueError, match=f"^{name} {message}") as error:
        READERS[reader](str(tmp_path / name))
    assert str(tmp_path) not in str(error.value)


def test_numbers_are_limited(tmp_path):
    file = saved(QUERY, tmp_path / "q.png")
    for read, message in [
        (lambda: uploaded([file] * 9, [file] * 9, None), "9 prompts are given, and this page takes 8"),
        (lambda: uploaded([file] * 2, [file], None), "2 prompt images but 1 labels"),
        (lambda: read_queries([file] * 17), "17 queries are given, and this page takes 16"),
        (lambda: read_queries([]), "no query"),
        (lambda: drawn(None, []), "no image to draw on"),
    ]:
        with pytest.raises(ValueError, match=message):
            read()
    assert list(read_queries([file] * 2)) == ["1_q", "2_q"]


def test_mask_is_white_where_any_layer_is_drawn():
    layers = [layer((20, 30), slice(0, 10), slice(0, 15)), layer((20, 30), slice(18, 20), slice(28, 30))]
    layers[0][19, 0] = 255, 255, 255, 60  # the faint edge of a stroke
    target = np.asarray(drawn_target(layers, (30, 20)))
    expected = np.zeros((20, 30, 3), np.uint8)
    expected[:10, :15] = expected[18:, 28:] = 255
    assert np.array_equal(target, expected)


@pytest.mark.parametrize("size", [(60, 40), (15, 10), (31, 19)])
def test_mask_takes_the_size_of_its_image(size):
    target = np.asarray(drawn_target([layer((20, 30), slice(0, 20), slice(15, 30))], size))
    assert target.shape == (size[1], size[0], 3)
    assert set(np.unique(target)) == {0, 255}
    assert abs((target > 0).mean() - 0.5) <= 0.5 / size[0]
    assert not target[:, : size[0] // 2].any()


@pytest.mark.parametrize("layers", [[], [np.zeros((20, 30, 4), np.uint8)]])
def test_nothing_drawn_is_told(layers):
    with pytest.raises(ValueError, match="nothing is drawn"):
        drawn_target(layers, (30, 20))


def test_bank(tmp_path):
    save_prompt(tmp_path / "lamp: old.safetensors", {"denoise": PROMPTS[0], "derain": PROMPTS[1]}, {"kind": "given"})
    learned = torch.rand(3, 32, 48), torch.rand(3, 32, 48)
    save_prompt(tmp_path / "a.safetensors", {"derain": learned}, {"kind": "learned"})
    save_prompt(tmp_path / "gone.safetensors", {"derain": learned}, {"kind": "learned"})
    (tmp_path / "gone.safetensors").unlink()
    assert bank_choices(tmp_path) == ["a: derain", "lamp: old: denoise", "lamp: old: derain"]
    (image, target), other = banked(tmp_path, ["lamp: old: derain", "a: derain"])
    assert np.array_equal(np.asarray(image), np.asarray(PROMPTS[1][0]))
    assert np.array_equal(np.asarray(target), np.asarray(PROMPTS[1][1]))
    assert torch.equal(other[0], learned[0])
    with pytest.raises(ValueError, match="there is no prompt file"):
        banked(tmp_path, ["gone: derain"])


@pytest.mark.parametrize("manifest", [None, "{}", '{"gone": {"tasks": ["derain"]}}', "[1]"])
def test_no_bank(manifest, tmp_path):
    if manifest:
        (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(ValueError, match=re.escape(str(tmp_path))):
        bank_choices(tmp_path)


def test_paintings_are_the_predictors(predictor, tmp_path):
    queries = {"1_a": QUERY, "2_b": picture(3, (50, 20))}
    found = dict(paint(predictor, queries, PROMPTS[:1], "feature", False, DEPTH, tmp_path))
    with pytest.raises(ValueError, match="no prompt is set"):  # the users' common predictor
        predictor.paint(QUERY)
    predictor.set_prompts(PROMPTS[:1])
    for name, query in queries.items():
        painted, metres = predictor.paint(query), predictor.predict(query, DEPTH)
        assert np.array_equal(found[name].picture, painted)
        assert np.array_equal(np.asarray(Image.open(tmp_path / f"{name}.png")), painted)
        np.testing.assert_allclose(np.asarray(Image.open(tmp_path / f"{name}_label.png")) / 1000, metres, atol=1e-6)
        overlay = DEPTH.draw((metres * 1000).round().astype(np.int32), np.asarray(query))
        assert np.array_equal(np.asarray(Image.open(tmp_path / f"{name}_overlay.png")), overlay)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "prompt_1_label.png")), np.asarray(PROMPTS[0][1]))
    assert len(list(tmp_path.iterdir())) == 8


def test_ensembles_and_paintings_without_a_task(predictor, tmp_path):
    found = {}
    for ensemble in ("feature", "spatial"):
        ((_, one),) = paint(predictor, {"q": QUERY}, PROMPTS, ensemble, False, None, tmp_path / ensemble)
        found[ensemble] = one.picture
        assert np.array_equal(
            one.picture, Predictor(network(), "cpu", "fp32").set_prompts(PROMPTS, ensemble).paint(QUERY)
        )
        assert np.array_equal(one.overlay, blend(np.asarray(QUERY), one.picture))
    assert not np.array_equal(*found.values())


def test_a_users_error_leaves_the_next_user_alone(predictor, tmp_path):
    with pytest.raises(ValueError, match="type tokens"):
        list(paint(predictor, {"q": QUERY}, PROMPTS, "feature", True, None, tmp_path))
    with pytest.raises(ValueError, match="no prompt is given"):
        list(paint(predictor, {"q": QUERY}, [], "feature", False, None, tmp_path))
    assert len(list(paint(predictor, {"q": QUERY}, PROMPTS, "feature", False, None, tmp_path))) == 1


def test_sentences():
    too_much = RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried ...")
    for error in (MemoryError(), too_much, torch.OutOfMemoryError("CUDA out of memory")):
        assert sentence(error) == NO_MEMORY
    assert sentence(ValueError("the label is bad")) == "the label is bad"
    assert "TypeError" in sentence(TypeError("f() takes 1 argument"))
    assert json.dumps(sentence(KeyError("x"))).count("\\n") == 0
