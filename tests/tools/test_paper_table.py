"""The paper's tables beside made-up results: what fills a cell, what is left out, and the three files."""

import csv
import json
import os
import statistics
from pathlib import Path

import numpy as np
import pytest
import tyro
from PIL import Image

from eval.paper import HEADLINE, PAPER, RELEASED, TITLES
from tools.paper_table import Result, Score, left_out, main, read_results, tables
from util.tables import Cell, Table, markdown, picture


def write(folder: Path, benchmark: str, value: float | None = 1.0, /, **changes: object) -> Path:
    """A results.json with one value of all headline metrics; returns its path."""
    content = {
        "benchmark": benchmark,
        "metrics": dict.fromkeys(HEADLINE.get(benchmark, ()), value),
        "prompt": {"name": "a prompt", "kind": "searched"},
        "checkpoint": {"path": "painter.pth", "sha256": "aa"},
        "oracle": None,
        "training": "joint",
        "seed": 0,
        "num_images": 20,
        "num_expected": 20,
        "complete": True,
        "variant": None,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(content | changes))
    return folder / "results.json"


def prompt(kind: str, name: str = "a prompt") -> dict[str, str]:
    return {"name": name, "kind": kind}


def sha(value: str) -> dict[str, str]:
    return {"path": "painter.pth", "sha256": value}


PART = {"num_images": 5, "complete": False}
ORACLE = {"prompt": None, "checkpoint": None, "seed": None, "training": None}


def cells(folder: Path, table: int, row: str) -> dict[str, Cell]:
    """Cells of a row, by heading."""
    found = tables(read_results([folder]))[table]
    (line,) = [line for line in found.rows if line[0].text == row]
    return dict(zip(found.header[1:], line[1:], strict=True))


def lol(folder: Path, table: int = 0, row: str = "ours") -> str:
    return cells(folder, table, row)["LoL enhancement\nPSNR [dB]"].text


def reasons(folder: Path) -> dict[str, str]:
    """Why results are left out, by the folder of each."""
    lines = [line.split(": ", 1) for line in left_out(read_results([folder]))]
    return {Path(path).parent.name: reason for path, reason in lines}


def run(*folders: Path, **options: Path) -> None:
    arguments = [str(folder) for folder in folders]
    for name, value in options.items():
        arguments += [f"--{name}", str(value)]
    tyro.cli(main, args=arguments)


SMALL = """\
## Table 2: joint and separate training

|  | NYUv2 depth RMSE [m] ↓ | ADE20K semantic mIoU [%] | COCO panoptic PQ [%] | COCO pose AP [%] | \
SIDD denoising PSNR [dB] | Deraining PSNR [dB] | LoL enhancement PSNR [dB] |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| joint, paper | 0.288 | 49.9 | 43.4 | 72.1 | 38.88 | 29.49 | 22.40 |
| **joint, ours** | **0.292** | \N{EN DASH} | \N{EN DASH} | \N{EN DASH} | \N{EN DASH} | \N{EN DASH} | **22.16\\*** |
| separate, paper | 0.327 | 47.2 | 41.3 | 72.5 | 38.43 | 28.28 | 21.67 |
| **separate, ours** | \N{EN DASH} | \N{EN DASH} | \N{EN DASH} | **72.5 ± 0.6 (n=2)** | \
\N{EN DASH} | \N{EN DASH} | \N{EN DASH} |

\\* not on the official images, not comparable with the paper: LoL enhancement 5 (due 20)

±: sample standard deviation over n results, of different seeds or prompts
"""


def test_markdown_of_a_small_case(tmp_path):
    write(tmp_path / "depth", "nyuv2_depth", 0.2916)
    write(tmp_path / "lol", "lol", 22.164, **PART)
    write(tmp_path / "pose", "coco_pose", 72.1, training="separate")
    write(tmp_path / "pose_1", "coco_pose", 72.9, training="separate", seed=1)
    assert markdown(tables(read_results([tmp_path]))[1]) == SMALL


def test_table_1_has_every_headline_metric_with_the_decimals_of_the_paper(tmp_path):
    for benchmark in TITLES:
        write(tmp_path / benchmark, benchmark, 0.98765)
    rows = [" ".join(cell.text for cell in row) for row in tables(read_results([tmp_path]))[0].rows]
    assert rows == [
        "paper 0.288 0.080 0.950 49.9 43.4 72.1 38.88 0.954 29.49 0.868 22.40 0.872",
        "released weights (measured by the original code) "
        "0.288 0.080 0.950 49.9 43.4 72.1 38.66 0.954 29.42 0.867 22.34 0.872",
        "ours 0.988 0.988 0.988 1.0 1.0 1.0 0.99 0.988 0.99 0.988 0.99 0.988",
    ]
    assert not left_out(read_results([tmp_path]))
    assert len(tables(read_results([tmp_path]))) == 3  # no ceilings


def test_delta_and_whether_it_is_a_gain(tmp_path):
    path = write(tmp_path, "nyuv2_depth")
    for rms, d1, expected in (
        (0.2914, 0.9514, [("+0.003", False), ("+0.001", True)]),
        (0.2836, 0.9436, [("-0.004", True), ("-0.006", False)]),
        (0.2876, 0.9504, [("+0.000", None), ("+0.000", None)]),
        (0.2885, 0.9495, [("+0.000", None), ("+0.000", None)]),  # of what is printed: 0.288
    ):
        content = json.loads(path.read_text()) | {"metrics": {"rms": rms, "abs_rel": 0.1, "d1": d1}}
        path.write_text(json.dumps(content))
        row = cells(tmp_path, 0, "ours")
        found = [row[name] for name in ("NYUv2 depth\nRMSE [m] ↓", "NYUv2 depth\nδ1")]
        assert [(cell.delta, cell.better) for cell in found] == expected
        assert all(cell.strong for cell in found)
    write(tmp_path, "nyuv2_depth", 0.5, **PART)
    assert {(cell.delta, cell.better) for cell in cells(tmp_path, 0, "ours").values()} == {("", None)}


def test_rows_of_prompts(tmp_path):
    for value, kind in ((20, "random"), (21, "searched"), (22, "learned"), (23, "given")):
        write(tmp_path / kind, "lol", value, prompt=prompt(kind))
    assert [lol(tmp_path, 2, f"{kind} prompt, ours") for kind in ("random", "searched", "learned")] == [
        "20.00",
        "21.00",
        "22.00",
    ]
    assert lol(tmp_path, 2, "learned prompt, paper") == "22.38"
    assert lol(tmp_path) == lol(tmp_path, 1, "joint, ours") == "21.00"
    assert reasons(tmp_path) == {"given": "a given prompt, where another result has the searched one"}


def test_a_given_prompt_stands_in_for_the_searched_one_but_not_in_table_3(tmp_path):
    write(tmp_path / "given", "lol", 23, prompt=prompt("given", "mine"))
    write(tmp_path / "separate", "lol", 24, prompt=prompt("given", "mine"), training="separate")
    assert [lol(tmp_path), lol(tmp_path, 1, "joint, ours"), lol(tmp_path, 1, "separate, ours")] == [
        "23.00",
        "23.00",
        "24.00",
    ]
    found = tables(read_results([tmp_path]))
    assert found[0].notes == (
        "LoL enhancement (ours) with the prompt mine that was given, as no result has the searched one",
    )
    assert {row[-1].text for row in found[2].rows if "ours" in row[0].text} == {"\N{EN DASH}"}
    assert not left_out(read_results([tmp_path]))


def test_separate_training_with_another_prompt_is_left_out(tmp_path):
    write(tmp_path / "random", "lol", prompt=prompt("random"), training="separate")
    assert reasons(tmp_path) == {"random": "no table shows a random prompt after separate training"}


def test_a_checkpoint_that_does_not_tell_its_training_counts_as_joint(tmp_path):
    write(tmp_path / "released", "lol", 22, training=None, seed=None)
    assert lol(tmp_path, 1, "joint, ours") == "22.00"
    assert lol(tmp_path, 1, "separate, ours") == "\N{EN DASH}"


@pytest.mark.parametrize(
    "changes",
    [{"seed": 1}, {"seed": 1, "checkpoint": sha("bb")}, {"prompt": prompt("searched", "another")}],
    ids=["seed", "checkpoint", "prompt"],
)
def test_different_runs_give_mean_and_sample_deviation(tmp_path, changes):
    write(tmp_path / "a", "lol", 22.0)
    write(tmp_path / "b", "lol", 22.5, **changes)
    assert lol(tmp_path) == f"22.25 ± {statistics.stdev([22.0, 22.5]):.2f} (n=2)" == "22.25 ± 0.35 (n=2)"
    assert tables(read_results([tmp_path]))[0].notes == (
        "±: sample standard deviation over n results, of different seeds or prompts",
    )


@pytest.mark.parametrize("newer", ["a", "b"])
def test_the_same_run_counts_once_the_latest(tmp_path, newer):
    for name, value in (("a", 21), ("b", 22)):
        os.utime(write(tmp_path / name, "lol", value), (2, 2) if name == newer else (1, 1))
    assert lol(tmp_path) == {"a": "21.00", "b": "22.00"}[newer]
    assert reasons(tmp_path) == {"ab".replace(newer, ""): f"the same run as {tmp_path / newer / 'results.json'}"}


def test_the_same_run_counts_once_the_most_complete(tmp_path):
    os.utime(write(tmp_path / "whole", "lol", 21), (1, 1))
    os.utime(write(tmp_path / "part", "lol", 22, **PART), (2, 2))
    assert lol(tmp_path) == "21.00"
    assert list(reasons(tmp_path)) == ["part"]


def test_parts_are_shown_only_where_nothing_whole_is(tmp_path):
    write(tmp_path / "five", "lol", 21, **PART)
    write(tmp_path / "nine", "lol", 22, seed=1, complete=False, num_images=9)
    assert lol(tmp_path) == "22.00*"
    assert tables(read_results([tmp_path]))[0].notes == (
        "* not on the official images, not comparable with the paper: LoL enhancement 9 (due 20)",
    )
    assert reasons(tmp_path) == {"five": "on 5 of 20 images, where another has more"}
    write(tmp_path / "nine_too", "lol", 23, seed=2, complete=False, num_images=9)
    assert lol(tmp_path) == "22.50* ± 0.71 (n=2)"
    write(tmp_path / "whole", "lol", 24, seed=3)
    assert lol(tmp_path) == "24.00"
    assert set(reasons(tmp_path)) == {"five", "nine", "nine_too"}


def test_an_undefined_metric_is_missing_and_named(tmp_path):
    path = write(tmp_path / "a", "lol", None)
    assert lol(tmp_path) == "\N{EN DASH}"
    found = tables(read_results([tmp_path]))[0]
    assert found.notes == (
        f"LoL enhancement (ours): PSNR is undefined in {path}",
        f"LoL enhancement (ours): SSIM is undefined in {path}",
    )
    write(tmp_path / "b", "lol", 22, seed=1)
    assert lol(tmp_path) == "22.00"
    assert not left_out(read_results([tmp_path]))


def test_ceilings_have_a_row_a_noise(tmp_path):
    for noise in (20, 0.0, 5.5):
        write(tmp_path / f"{noise}", "lol", 30 - noise, oracle={"noise": noise}, **ORACLE)
    write(tmp_path / "pose", "coco_pose", 99, oracle={"noise": 0}, **ORACLE)
    *_, ceilings = found = tables(read_results([tmp_path]))
    assert len(found) == 4
    assert [row[0].text for row in ceilings.rows] == ["noise 0", "noise 5.5", "noise 20"]
    assert [row[-2].text for row in ceilings.rows] == ["30.00", "24.50", "10.00"]
    assert [row[6].text for row in ceilings.rows] == ["99.0", "\N{EN DASH}", "\N{EN DASH}"]
    assert not any(cell.strong or cell.delta for row in ceilings.rows for cell in row)
    assert lol(tmp_path) == "\N{EN DASH}"


def test_csv(tmp_path):
    write(tmp_path / "a", "lol", 22)
    write(tmp_path / "b", "lol", 23, seed=1)
    write(tmp_path / "c", "sidd", 38, **PART)
    write(tmp_path / "d", "derain", 40, oracle={"noise": 2}, **ORACLE)
    run(tmp_path)
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == list(Score._fields)
    assert len(lines) == 3 * 12 + 4 * 7 + 6 * 7 + 12
    found = {(x["table"], x["row"], x["benchmark"], x["metric"]): list(x.values())[4:] for x in lines}
    assert len(found) == len(lines)
    assert found["Table 1", "ours", "lol", "psnr"] == ["22.5", str(statistics.stdev([22, 23])), "2", "22.4", "True"]
    assert found["Table 1", "ours", "sidd", "ssim_paper"] == ["38.0", "", "1", "0.954", "False"]
    assert found["Table 1", "ours", "coco_pose", "AP"] == ["", "", "0", "72.1", ""]
    assert found["Table 1", "paper", "lol", "psnr"] == ["22.4", "", "", "22.4", ""]
    assert found["Table 2", "separate, ours", "lol", "psnr"] == ["", "", "0", "21.67", ""]
    assert found["Table 3", "random prompt, paper", "nyuv2_depth", "rms"] == ["0.291", "", "", "0.291", ""]
    assert found["Ceilings", "noise 2", "derain", "ssim"] == ["40.0", "", "1", "", "True"]


def test_files_and_what_is_printed(tmp_path, capsys):
    write(tmp_path / "a" / "deep" / "er", "lol", 22)
    write(tmp_path / "b", "lol", 23, prompt=prompt("given"))
    run(tmp_path / "a", tmp_path / "b", tmp_path / "a" / "deep")
    printed = capsys.readouterr().out
    text = (tmp_path / "a/table.md").read_text(encoding="utf-8")
    line = f"left out: {tmp_path}/b/results.json: a given prompt, where another result has the searched one"
    assert text.endswith(f"\n\n{line}\n")
    assert text.count("## ") == 3
    assert printed == f"{text}\n2 results; table.md, table.csv and table.png are in {tmp_path}/a\n"
    run(tmp_path / "a", out_dir=tmp_path / "new" / "folder")
    assert {path.name for path in (tmp_path / "new/folder").iterdir()} == {"table.md", "table.csv", "table.png"}


def test_picture(tmp_path):
    write(tmp_path, "lol", 22)
    run(tmp_path)
    pixels = np.asarray(Image.open(tmp_path / "table.png"))
    assert pixels.ndim == 3
    assert 1500 < pixels.shape[1] < 4000
    assert pixels.shape[0] > 68 * (4 + 5 + 7)  # rows and headers
    assert (pixels[:, [0, 1, -2, -1]] == 255).all()  # margins
    assert (pixels[[0, 1, -2, -1]] == 255).all()
    assert 0.05 < (pixels != 255).any(axis=-1).mean() < 0.5
    shade = (pixels == (0xE8, 0xF1, 0xFA)).all(axis=-1).sum(axis=1) > pixels.shape[1] / 2
    assert (np.diff(shade.astype(int)) == 1).sum() == 6  # rows of ours, in three tables


def test_picture_of_any_table():
    """It grows with rows, notes and columns, and colours gains and losses."""
    row = Cell("a row", True), Cell("1.0*", True), Cell("2.0 ± 0.1 (n=3)", True, "+0.5", True)
    table = Table("Title", ("", "Group\nx ↓", "Group\ny"), (row,), ())
    base = picture([table])
    assert base.shape[0] == 48 + (34 + 20) + 2 * 68 + 2 * 20 + 48  # margin, title, rows, padding, margin
    assert (base[48 + 54 + 68 + 10, 60] == (0xE8, 0xF1, 0xFA)).all()
    assert (picture([table._replace(rows=((Cell("a row"), *row[1:]),))])[48 + 54 + 68 + 10, 60] == 255).all()
    assert picture([table, table]).shape[0] > 1.8 * base.shape[0]
    assert picture([table._replace(rows=(row, row))]).shape == (base.shape[0] + 68, *base.shape[1:])
    assert picture([table._replace(notes=("a",))]).shape[0] == base.shape[0] + 28
    assert picture([table._replace(notes=("word " * 200,))]).shape[0] > base.shape[0] + 5 * 28
    assert picture([table._replace(header=("", "Group\n" + "x" * 50, "Group\ny"))]).shape[1] > base.shape[1] + 200

    def has(color: tuple[int, int, int], better: bool | None) -> bool:
        cell = row[2]._replace(better=better)
        return bool((picture([table._replace(rows=((*row[:2], cell),))]) == color).all(axis=-1).any())

    green, red = (0x1B, 0x7F, 0x4B), (0xB3, 0x40, 0x2F)
    assert [has(color, better) for color in (green, red) for better in (True, False, None)] == [
        True,
        False,
        False,
        False,
        True,
        False,
    ]


def test_markdown_escapes():
    table = Table("T", ("", "a\nb"), ((Cell("x|y"), Cell("1*", True)),), ("* note",))
    assert markdown(table) == "## T\n\n|  | a b |\n| --- | ---: |\n| x\\|y | **1\\*** |\n\n\\* note\n"


def fails(*folders: Path) -> str:
    """The sentence that the command ends with."""
    with pytest.raises(SystemExit) as end:
        run(*folders)
    assert str(end.value.code).startswith("error: ")
    assert "\n" not in str(end.value.code)
    return str(end.value.code).removeprefix("error: ")


def test_folders_without_results(tmp_path):
    absent = tmp_path / "absent"
    assert fails(absent) == f"{absent} is not a folder; name one that `python -m eval.NAME` wrote to"
    assert fails(tmp_path) == f"no results.json is below {tmp_path}; `python -m eval.NAME` writes them"
    assert fails() == "no folder given; name those that hold results, such as `results`"


WRONG = {
    "benchmark": (
        {"benchmark": "cityscapes"},
        'benchmark is "cityscapes" where nyuv2_depth or ade20k_semantic or coco_panoptic or coco_pose or sidd or derain'
        " or lol is due",
    ),
    "benchmark's type": ({"benchmark": ["lol"]}, 'benchmark is ["lol"] where nyuv2_depth or'),
    "metric's type": (
        {"metrics": {"psnr": "22", "ssim_paper": 1}},
        'metrics.psnr is "22" where an integer or a fraction or null is due',
    ),
    "metric missing": ({"metrics": {"psnr": 22}}, "it lacks metrics.ssim_paper"),
    "kind": (
        {"prompt": {"name": "a", "kind": "found"}},
        'prompt.kind is "found" where random or searched or learned or given is due',
    ),
    "name missing": ({"prompt": {"kind": "given"}}, "it lacks prompt.name"),
    "checkpoint": ({"checkpoint": "painter.pth"}, 'checkpoint is "painter.pth" where an object or null is due'),
    "noise": ({"oracle": {}}, "it lacks oracle.noise"),
    "nobody painted": ({"prompt": None}, "prompt and oracle are both null"),
    "training": ({"training": "both"}, 'training is "both" where joint or separate or null is due'),
    "seed": ({"seed": 1.5}, "seed is 1.5 where an integer or null is due"),
    "num": ({"num_images": True}, "num_images is true where an integer is due"),
    "complete": ({"complete": 1}, "complete is 1 where a boolean is due"),
}


@pytest.mark.parametrize(("changes", "sentence"), WRONG.values(), ids=WRONG)
def test_a_wrong_value_is_named(tmp_path, changes, sentence):
    path = write(tmp_path / "lol", "lol", **changes)
    error = fails(tmp_path)
    assert error.startswith(f"{path}: {sentence}")
    assert error.endswith("; write it again with `python -m eval.NAME`")


@pytest.mark.parametrize("key", ["benchmark", "metrics", "prompt", "checkpoint", "oracle", "training", "complete"])
def test_a_missing_key_is_named(tmp_path, key):
    path = write(tmp_path / "lol", "lol")
    content = json.loads(path.read_text())
    del content[key]
    path.write_text(json.dumps(content))
    assert fails(tmp_path) == f"{path}: it lacks {key}; write it again with `python -m eval.NAME`"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"{", "is not JSON ("),
        (b"", "is not JSON ("),
        (b"\xff\xfe\xfa", "is not JSON ("),
        (b'{"metrics": NaN}', "is not JSON (NaN where a number or null is due)"),
        (b"[" * 100_000, "is not JSON ("),
        (b"[]", "holds no object"),
    ],
    ids=["cut", "empty", "bytes", "nan", "deep", "list"],
)
def test_a_file_that_is_no_result(tmp_path, content, sentence):
    path = tmp_path / "results.json"
    path.write_bytes(content)
    error = fails(tmp_path)
    assert error.startswith(str(path))
    assert sentence in error


def test_results_are_sorted_and_each_file_is_read_once(tmp_path):
    paths = [write(tmp_path / name, "lol") for name in ("b", "a", "a/c")]
    found = read_results([tmp_path / "b" / ".." / "a", tmp_path, tmp_path / "b"])
    assert [result.path.resolve() for result in found] == sorted(paths)
    assert all(isinstance(result, Result) and result.content["benchmark"] == "lol" for result in found)


def test_the_paper_needs_no_result_of_ours(tmp_path):
    """Cells of the paper's rows are its numbers, whatever was found."""
    write(tmp_path, "lol")
    for row, scores in (("paper", PAPER), ("released weights (measured by the original code)", RELEASED)):
        values = [float(cell.text) for cell in cells(tmp_path, 0, row).values()]
        assert values == [value for metrics in scores.values() for value in metrics.values()]


def test_a_variant_stands_in_where_nothing_is_made_as_the_papers(tmp_path):
    path = write(tmp_path / "bf16", "lol", 30, variant="64 x 64 pixels, bf16", checkpoint=sha("bb"))
    results = read_results([tmp_path])
    table = tables(results)[0]
    assert "30.00*" in [cell.text for cell in table.rows[-1]] or "30.00" in [cell.text for cell in table.rows[-1]]
    assert "LoL enhancement (ours) at 64 x 64 pixels, bf16: not as the paper's" in table.notes
    assert not any(cell.delta for row in table.rows for cell in row)
    write(tmp_path / "fp32", "lol", 22)
    results = read_results([tmp_path])
    assert "22.00" in [cell.text for cell in tables(results)[0].rows[-1]]
    assert left_out(results) == [f"{path}: at 64 x 64 pixels, bf16, where another is made as the paper's"]


def test_a_network_in_training_is_in_no_table(tmp_path):
    path = write(tmp_path / "probe", "lol", 30, checkpoint=None, training=None, seed=None)
    results = read_results([tmp_path])
    assert all("30.00" not in cell.text for table in tables(results) for row in table.rows for cell in row)
    assert left_out(results) == [f"{path}: measured while the network was trained"]


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 400])
def test_numbers_without_end_are_refused(tmp_path, number):
    path = write(tmp_path, "lol", 30)
    path.write_text(path.read_text().replace("30", number))
    with pytest.raises(ValueError, match=r"results\.json is not JSON \(-?[19][e9]+.* where a number or null is due"):
        read_results([tmp_path])


@pytest.mark.parametrize("seed", [0, None])
def test_of_checkpoints_of_one_run_the_latest_result_counts(tmp_path, seed):
    early = write(tmp_path / "early", "lol", 21, seed=seed, checkpoint=sha("bb"))
    os.utime(early, (1, 1))
    late = write(tmp_path / "late", "lol", 22, seed=seed)
    os.utime(late, (2, 2))
    assert lol(tmp_path) == "22.00"
    told = f"{early}: of another checkpoint of the same seed and prompt as {late}, which is later"
    assert left_out(read_results([tmp_path])) == [told]
