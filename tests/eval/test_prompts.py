"""Prompts by name: the paper's, any other, one drawn; and what is said where there is none."""

import json
from pathlib import PurePosixPath

import numpy as np
import pytest
from PIL import Image

from data.pairs import read_pairs
from data.tasks import SOURCES
from engine.inpaint import half
from engine.prompts import save_prompt
from eval import prompts
from eval.ade20k_semantic import BENCHMARK as ADE
from eval.derain import BENCHMARK as DERAIN
from eval.lol import BENCHMARK as LOL
from eval.lol import Lol
from eval.nyuv2_depth import BENCHMARK as NYU
from eval.prompts import candidates, read_listed, read_prompt, training_pairs
from eval.sidd import BENCHMARK as SIDD

FILES = {
    NYU: (
        "nyu_depth_v2/sync/study_room_0005b/rgb_00094.jpg",
        "nyu_depth_v2/sync/study_room_0005b/sync_depth_00094.png",
    ),
    ADE: (
        "ade20k/images/training/ADE_train_00009574.jpg",
        "ade20k/annotations_with_color/training/ADE_train_00009574.png",
    ),
    SIDD: ("denoise/train/input/9_9.png", "denoise/train/groundtruth/9_9.png"),
    DERAIN: ("derain/train/input/100.jpg", "derain/train/target/100.jpg"),
    LOL: ("light_enhance/our485/low/100.png", "light_enhance/our485/high/100.png"),
}


@pytest.mark.parametrize("benchmark", FILES, ids=lambda b: b.name)
def test_the_papers_prompt_is_the_default(world, benchmark):
    for name in (None, benchmark.prompt):
        prompt = read_prompt(benchmark, [world], name)
        assert (prompt.name, prompt.kind) == (benchmark.prompt, "searched")
        ((image, target),) = prompt.pairs
        np.testing.assert_array_equal(image, Image.open(world / FILES[benchmark][0]).convert("RGB"))
        np.testing.assert_array_equal(
            target, benchmark.views[0].read_target(world / FILES[benchmark][1]).convert("RGB")
        )


@pytest.mark.parametrize(("benchmark", "name"), [(NYU, "kitchen_0003/rgb_00095"), (ADE, "b"), (SIDD, "9_10")])
def test_any_training_pair_may_be_given(world, benchmark, name):
    prompt = read_prompt(benchmark, [world], name)
    assert (prompt.name, prompt.kind) == (name, "given")
    assert not np.array_equal(prompt.pairs[0][0], read_prompt(benchmark, [world], None).pairs[0][0])


@pytest.mark.parametrize("benchmark", FILES, ids=lambda b: b.name)
def test_names_are_those_of_the_training_list_and_each_is_found(world, benchmark):
    names = candidates(benchmark, [world])
    pairs = read_pairs([world], benchmark.views[0].lists["train"])
    assert names == sorted(set(names))
    assert len(names) == len(pairs)
    assert benchmark.prompt in names
    assert {name.rsplit("/")[-1] for name in names} == {PurePosixPath(pair.image_path).stem for pair in pairs}
    for name, pair in benchmark.named(pairs, [world]).items():
        assert benchmark.prompt_files(benchmark.views[0], name) == (pair.image_path, pair.target_path)


def test_drawing_depends_on_the_seed_alone(world):
    drawn = [read_prompt(NYU, [world], f"random:{seed}") for seed in [*range(20), 0]]
    assert drawn[0].name == drawn[-1].name
    assert {prompt.kind for prompt in drawn} == {"random"}
    assert {prompt.name for prompt in drawn} == set(candidates(NYU, [world]))


def test_a_pair_of_the_list_need_not_lie_where_downloads_do(root):
    """Its files have been moved; the list says where they are."""
    for folder in ("low", "high"):
        (root / f"light_enhance/our485/{folder}").rename(root / f"light_enhance/{folder}")
    listed = root / SOURCES["enhance"].lists["train"]
    listed.write_text(listed.read_text().replace("our485/", ""))
    assert read_prompt(LOL, [root], "101").pairs[0][0].size == (56, 40)


def test_a_prompt_that_is_painted_needs_no_list(root):
    (root / SOURCES["enhance"].lists["train"]).unlink()
    assert read_prompt(LOL, [root], None).name == "100"
    with pytest.raises(ValueError, match=r"no prompt '7' of lol: .*low/7\.png is not under .*; no training pair is"):
        read_prompt(LOL, [root], "7")
    with pytest.raises(ValueError, match="a random prompt needs the training lists; prepare the training data"):
        read_prompt(LOL, [root], "random:0")


def test_what_is_not_there_lists_names_near_it(world):
    with pytest.raises(
        ValueError, match="4 training pairs are listed, such as kitchen_0003/rgb_00095, kitchen_0003/rgb_00094, "
    ) as caught:
        read_prompt(NYU, [world], "kitchen_0003/rgb_00093")
    message = str(caught.value)
    assert message.startswith("no prompt 'kitchen_0003/rgb_00093' of nyuv2_depth: nyu_depth_v2/sync/kitchen_0003/rgb_")
    assert str(world) in message
    assert message.endswith("prepare the training data, or name another pair (benchmarks: --prompt)")
    with pytest.raises(ValueError, match="2 training pairs are listed, such as 100, 101;"):
        read_prompt(LOL, [world], "zzz")  # near to none


def test_an_image_without_its_target_names_the_target(root):
    (root / FILES[ADE][1]).unlink()
    (root / SOURCES["ade20k_semantic"].lists["train"]).unlink()
    with pytest.raises(ValueError, match=r"annotations_with_color/training/ADE_train_00009574\.png is not under"):
        read_prompt(ADE, [root], None)


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", ""])
def test_no_name_leads_out_of_the_root(world, name):
    with pytest.raises(ValueError, match=f"--prompt '{name}' must be the name of a training pair, such as 100"):
        read_prompt(LOL, [world], name)


@pytest.mark.parametrize("name", ["random:", "random:x", "random:-1"])
def test_a_seed_is_a_number(world, name):
    with pytest.raises(ValueError, match=f"--prompt {name}: after random: a seed is due, such as random:0"):
        read_prompt(LOL, [world], name)


@pytest.mark.parametrize("listed", [True, False])
def test_image_and_target_are_of_one_size(root, listed):
    file = root / FILES[LOL][1]
    with Image.open(file) as target:
        target.resize((28, 20)).save(file)
    if listed:  # elsewhere, so that it is found by the list alone
        for folder in ("low", "high"):
            (root / f"light_enhance/our485/{folder}").rename(root / f"light_enhance/{folder}")
        path = root / SOURCES["enhance"].lists["train"]
        path.write_text(path.read_text().replace("our485/", ""))
    with pytest.raises(ValueError, match=r"low/100\.png is 56 x 40 but .*high/100\.png is 28 x 20"):
        read_prompt(LOL, [root], None)


class Two(Lol):
    """A benchmark of two tasks, whose training pairs have one name in common."""

    views = (SOURCES["enhance"], SOURCES["derain"], SOURCES["enhance"])

    def __init__(self) -> None:
        pass

    def prompt_files(self, task, name):
        return (DERAIN if task is SOURCES["derain"] else LOL).prompt_files(task, name)


def test_each_task_has_its_own_pair_of_the_name(root):
    listed = root / SOURCES["derain"].lists["train"]
    listed.write_text(listed.read_text().replace("101.", "102."))
    two = Two()
    assert two.tasks == [SOURCES["enhance"], SOURCES["derain"]]
    assert candidates(two, [root]) == ["100"]
    pairs = read_prompt(two, [root], None).pairs
    assert len(pairs) == 2
    for (image, _), benchmark in zip(pairs, (LOL, DERAIN), strict=True):
        np.testing.assert_array_equal(image, Image.open(root / FILES[benchmark][0]).convert("RGB"))


def test_all_tasks_have_the_pairs_of_a_name_read_once(world, monkeypatch):
    reads = []
    monkeypatch.setattr(prompts, "read_pairs", lambda *given: reads.append(given) or read_pairs(*given))
    found = training_pairs(Two(), [world])
    assert list(found) == candidates(LOL, [world]) == ["100", "101"]
    assert [[pair.image_path for pair in pairs] for pairs in found.values()] == [
        [f"light_enhance/our485/low/{name}.png", f"derain/train/input/{name}.jpg"] for name in found
    ]
    assert len(reads) == 2 + 1
    for given, listed in zip(
        read_prompt(LOL, [world], "101").pairs[0], read_listed([world], found["101"][0]), strict=True
    ):
        np.testing.assert_array_equal(given, listed)


@pytest.fixture
def file(tmp_path):
    """A prompt file for two tasks."""
    red, blue, green = (Image.new("RGB", (30, 20), color) for color in ("red", "blue", "green"))
    pairs = {"derain": (red, blue), "enhance": (red, green)}
    save_prompt(tmp_path / "found.safetensors", pairs, {"kind": "searched"})
    return tmp_path / "found.safetensors"


def test_a_prompt_file_has_the_pair_of_each_task_in_their_order(world, file):
    prompt = read_prompt(Two(), [world], str(file))
    assert (prompt.name, prompt.kind) == ("found", "searched")
    assert [pair[1].getpixel((0, 0)) for pair in prompt.pairs] == [(0, 128, 0), (0, 0, 255)]
    with pytest.raises(
        ValueError, match=r"found\.safetensors is a prompt for derain, enhance; sidd needs one for denoi"
    ):
        read_prompt(SIDD, [world], str(file))
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"found\.safetensors is no whole prompt file"):
        read_prompt(LOL, [world], str(file))


def results(folder):
    return json.loads((folder / "results.json").read_text())


def test_benchmarks_take_a_prompt_file_and_tell_two_of_a_name_apart(world, ckpt, file, call, tmp_path):
    """The same pixels as the named pair's give the same numbers; other pixels are another run."""
    given = "--ckpt", ckpt, "--data_root", world, "--num_workers", 0
    assert call(LOL, *given, "--prompt", "101", "--out_dir", tmp_path / "named").code is None
    save_prompt(file, {"enhance": read_prompt(LOL, [world], "101").pairs[0]}, {"kind": "searched"})
    from_file = *given, "--prompt", file, "--out_dir", tmp_path / "file"
    assert call(LOL, *from_file).code is None
    assert results(tmp_path / "file")["metrics"] == results(tmp_path / "named")["metrics"]
    assert results(tmp_path / "file")["prompt"] == {"name": "found", "kind": "searched"}
    assert call(LOL, *from_file).code is None  # the same run again
    save_prompt(file, {"enhance": read_prompt(LOL, [world], "100").pairs[0]}, {"kind": "searched"})
    assert "with other pictures in the prompt of this name (--prompt); give another" in call(LOL, *from_file).code


def test_benchmarks_take_a_learned_prompt_of_their_size_alone(world, ckpt, file, call, tmp_path):
    """Half canvases that are a pair's pixels as the network sees them give the pair's numbers."""
    pair = tuple(half(side, (48, 48)) for side in read_prompt(LOL, [world], "101").pairs[0])
    save_prompt(file, {"enhance": pair}, {"kind": "learned"})
    given = "--ckpt", ckpt, "--data_root", world, "--num_workers", 0
    assert call(LOL, *given, "--prompt", "101", "--out_dir", tmp_path / "named").code is None
    assert call(LOL, *given, "--prompt", file, "--out_dir", tmp_path / "file").code is None
    assert results(tmp_path / "file")["metrics"] == results(tmp_path / "named")["metrics"]
    assert results(tmp_path / "file")["prompt"]["kind"] == "learned"
    ended = call(LOL, *given, "--prompt", file, "--size", 64, "--out_dir", tmp_path / "larger")
    assert ended.code == (
        "error: the prompt was learned at 48 x 48 pixels and is used at 64 x 64; learn one of this size"
    )
    assert not (tmp_path / "larger/results.json").exists()
