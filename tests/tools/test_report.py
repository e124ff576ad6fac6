"""The report: everything inside one page, nothing of a file's names becomes markup, and a browser shows it all."""

import base64
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval.paper import HEADLINE, PAPER, TITLES
from tools.report import main
from util.tables import Cell, Table

COLUMNS = ["prompt", "prompt target", "query", "painted", "decoded", "truth", "error"]
NASTY = '<script>document.title="taken"</script> " onerror="document.title=1" &amp; \u202e\ud800'
PINK = (230, 30, 140)
VOID = {"img", "meta"}
COUNT = """<script>onload = () => document.documentElement.dataset.broken =
[...document.images].filter(x => !x.naturalWidth || !x.offsetWidth).length + " of " + document.images.length
</script></body>"""


def save_strip(path: Path, size: tuple[int, int] = (80, 644)) -> None:
    """A pink strip with a dark left half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    strip = np.full((*size, 3), PINK, np.uint8)
    strip[:, : size[1] // 2] = 20
    Image.fromarray(strip).save(path)


def save_result(folder: Path, benchmark: str, **changes) -> dict:
    """results.json with the paper's scores, and its three strips."""
    shown = [
        {"rank": rank, "name": f"{rank} of {benchmark}", "scores": {"s": 0.5}, "file": f"shown/{rank}.png"}
        for rank in ("best", "median", "worst")
    ]
    content = {
        "benchmark": benchmark,
        "metrics": PAPER[benchmark] | {"some_other": 0.123456, "never": None},
        "headline": HEADLINE[benchmark],
        "paper": PAPER[benchmark],
        "prompt": {"name": "hall/0001", "kind": "searched"},
        "checkpoint": {"path": "/home/me/painter.pth", "sha256": "0123456789abcdef" * 4},
        "oracle": None,
        "training": "joint",
        "seed": 3,
        "model": {"depth": 24},
        "num_images": 100,
        "num_expected": 100,
        "complete": True,
        "variant": None,
        "size": [448, 448],
        "batch_size": 8,
        "precision": "fp32",
        "device": "cpu",
        "num_ranks": 1,
        "seconds": 12.5,
        "images_per_second": 8.0,
        "versions": {"painter": "0.1.0", "torch": "2.9"},
        "shown": [each | {"columns": COLUMNS} for each in shown],
    } | changes
    for each in shown:
        save_strip(folder / each["file"])
    (folder / "results.json").write_text(json.dumps(content))
    return content


class Page(HTMLParser):
    """A page taken apart: elements as (tag, attributes), the text, and cards as lists of text and bar lengths."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(self.source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += f"{data}\n"

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == name]

    def bars(self, kind: str) -> list[float]:
        """Lengths, in parts of what the mark stands for."""
        rects = [(x.get("class"), x) for x in self.all("rect")]
        ends = [float(x["width"]) for name, x in rects if name in ("ours", "part")]
        marks = [float(x["x"]) + float(x["width"]) / 2 for name, x in rects if name == "mark"]
        kinds = [name for name, _ in rects if name in ("ours", "part")]
        return [end / mark for end, mark, name in zip(ends, marks, kinds, strict=True) if name == kind]


def written(*folders: Path) -> Page:
    main(folders)
    return Page(folders[0] / "report.html")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Results of all benchmarks, and of one of them with other prompts and without a model; not all in good order."""
    root = tmp_path_factory.mktemp("results")
    for benchmark in reversed(TITLES):
        save_result(root / benchmark, benchmark)
    nasty = save_result(
        root / "nasty", "sidd", prompt={"name": NASTY, "kind": "random"}, metrics={NASTY: 1.0} | PAPER["sidd"]
    )
    nasty["shown"][0] |= {"name": NASTY, "columns": [NASTY]}
    (root / "nasty/results.json").write_text(json.dumps(nasty))
    save_strip(root / "nasty/shown/best.png", (300, 4000))
    no_model = {"prompt": None, "checkpoint": None, "model": None, "training": None, "seed": None}
    save_result(root / "oracle", "sidd", oracle={"noise": 4.0}, images_per_second=None, **no_model)
    save_result(
        root / "part",
        "sidd",
        num_images=25,
        complete=False,
        prompt={"name": "x", "kind": "given"},
        images_per_second=9.5,
    )
    return root


@pytest.fixture(scope="module")
def page(folder) -> Page:
    return written(folder)


def test_nothing_is_outside_the_page(page):
    assert not re.search(r"https?:|file:|//|url\(|@import", re.sub(r'src="data:[^"]*"', "", page.source))
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "link", "iframe", "object", "base", "form"})
    assert not [key for _, attributes in page.elements for key in attributes if key.startswith("on")]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert {link["href"] for link in page.all("a")} <= {f"#{x}" for x in ids}
    policy = next(x["content"] for x in page.all("meta") if x.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy


def test_pictures_are_inside_and_have_words(page):
    images = page.all("img")
    assert len(images) == 3 * 10
    for image in images:
        found = re.fullmatch(r"data:image/jpeg;base64,(.+)", image["src"])
        with Image.open(io.BytesIO(base64.b64decode(found[1], validate=True))) as picture:
            assert (str(picture.width), str(picture.height)) == (image["width"], image["height"])
            assert np.abs(np.array(picture.getpixel((picture.width - 9, 9))) - PINK).max() < 10
            assert max(picture.getpixel((9, 9))) < 30
        assert image["alt"]
    sizes = {(image["width"], image["height"]) for image in images}
    assert sizes == {("644", "80"), ("1600", "120")}
    assert "best, best of lol, from the left: prompt, prompt target," in images[18]["alt"] + images[-3]["alt"]


def test_text_of_files_is_text(page):
    shown = NASTY.replace("\ud800", "?")
    assert page.text.count(shown) >= 4  # prompt, metric, caption, columns
    assert sum(shown in (image["alt"] or "") for image in page.all("img")) == 1


def test_order_and_headings(page):
    places = [page.text.index(f"\n{title}\n", page.text.index("Beside the paper")) for title in TITLES.values()]
    heads = [x["id"] for x in page.all("section")]
    assert heads == ["tables", *TITLES]
    assert min(places) > 0
    assert [x["id"] for x in page.all("article") if x["id"].startswith("sidd")] == [f"sidd-{i}" for i in (1, 2, 3, 4)]
    for heading in (
        "Prompt hall/0001 (searched)",
        "Prompt x (given)",
        "Oracle: the truth, painted with noise of 4 levels and decoded",
        "25 images, 100 are due: not comparable with the paper",
        "Table 1: joint training",
        "All 4 metrics",
    ):
        assert f"\n{heading}\n" in page.text


def test_head(page):
    head = page.text[: page.text.index("Beside the paper")]
    assert "\nResults\n10 (7 of 7 benchmarks)\nCheckpoint\npainter.pth (sha256 0123456789ab)\n" in head
    assert "\nDevice\ncpu, fp32\nImages a second\n8 to 9.5\nWritten\n" in head
    assert "\nVersions\npainter 0.1.0, torch 2.9\n" in head


def test_numbers(tmp_path):
    save_result(
        tmp_path, "nyuv2_depth", metrics={"rms": 0.36, "abs_rel": 0.0801, "d1": 0.76, "other": 0.12345678, "no": None}
    )
    page = written(tmp_path)
    assert page.bars("ours") == pytest.approx([0.288 / 0.36, 0.080 / 0.0801, 0.76 / 0.95], abs=1e-3)
    assert "\n0.3600\n m\n" in page.text
    assert "\npaper 0.288\n0.072 worse\n" in page.text
    assert "\n0.0801\n" in page.text
    assert "\npaper 0.080\nas in the paper\n" in page.text
    assert '<span class="worse">0.072 worse</span>' in page.source
    assert "\npaper 0.950\n0.190 worse\n" in page.text
    assert page.text.count("\nlower is better\n") == 2
    assert "\nother\n0.123457\nno\nundefined\n" in page.text


@pytest.mark.parametrize(
    ("rms", "length", "words"),
    [
        (0.2592, 1 / 0.9, "0.029 better"),
        (0.2886, 0.288 / 0.2886, "0.001 worse"),
        (0.2884, 0.288 / 0.2884, "as in the paper"),
        (0.0, 1.25, "0.288 better"),
        (0.01, 1.25, "0.278 better"),
        (None, 0.0, "undefined"),
    ],
)
def test_lower_is_better(tmp_path, rms, length, words):
    save_result(tmp_path, "nyuv2_depth", metrics=PAPER["nyuv2_depth"] | {"rms": rms})
    page = written(tmp_path)
    assert page.bars("ours")[0] == pytest.approx(length, abs=1e-3)
    assert f"\npaper 0.288\n{words}\n" in page.text


@pytest.mark.parametrize(
    ("psnr", "length", "words"),
    [
        (42.768, 1.1, "3.89 better"),
        (-3.0, 0.0, "41.88 worse"),
        (99.0, 1.25, "60.12 better"),
        (None, 0, "undefined"),
    ],
)
def test_higher_is_better(tmp_path, psnr, length, words):
    save_result(tmp_path, "sidd", metrics=PAPER["sidd"] | {"psnr": psnr})
    page = written(tmp_path)
    assert page.bars("ours")[0] == pytest.approx(length, abs=1e-3)
    assert f"\npaper 38.88\n{words}\n" in page.text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"oracle": {"noise": 0}, "prompt": None}, "Oracle: the truth, painted and decoded"),
        ({"complete": False, "num_images": 30}, "30 images, 100 are due: not comparable with the paper"),
    ],
)
def test_not_comparable(tmp_path, changes, words):
    save_result(tmp_path, "ade20k_semantic", **changes)
    page = written(tmp_path)
    assert not page.bars("ours")
    assert page.bars("part") == pytest.approx([0.3, 1.0] if "complete" in changes else [1.0], abs=1e-2)
    assert f"\n{words}\n" in page.text
    assert "\npaper 49.9\nnot comparable\n" in page.text


def test_what_the_paper_compares(tmp_path):
    save_result(tmp_path / "a", "sidd", training="separate")
    for name in ("b", "c"):
        save_result(tmp_path / name, "sidd", prompt={"name": name, "kind": "learned"}, num_ranks=2)
    page = written(tmp_path)
    assert page.text.count("the paper's scores are of joint training.") == 1
    assert page.text.count("The paper's scores are of the searched prompt.") == 2
    assert "\nDevice\n2 x cpu, fp32; cpu, fp32\n" in page.text


def test_tables(tmp_path, monkeypatch):
    cells = (Cell("ours"), Cell("1.0", True, "+0.1", True), Cell("<2>"), Cell("3.0", True, "-0.3", False), Cell("4"))
    table = Table("Scores", ("", "Depth\nA", "Depth\nB", "Pose\nC", "D"), (cells,), ("a & b",))
    monkeypatch.setattr("tools.report.tables", lambda results: [table])
    monkeypatch.setattr("tools.report.left_out", lambda results: [f"{len(results)} left out"])
    save_result(tmp_path, "lol")
    page = written(tmp_path)
    groups = [x["colspan"] for x in page.all("th") if x.get("scope") == "colgroup"]
    assert groups == ["1", "2", "1", "1"]
    assert "\nDepth\nPose\nA\nB\nC\nD\nours\n1.0\n+0.1\n<2>\n3.0\n-0.3\n4\na & b\n" in page.text
    assert '<td><strong>1.0</strong><small class="better">+0.1</small></td><td>&lt;2&gt;</td>' in page.source
    assert '<td><strong>3.0</strong><small class="worse">-0.3</small></td><td>4</td>' in page.source
    assert "\nIn no table\n1 left out\n" in page.text


@pytest.mark.parametrize("shown", [None, []])
def test_no_pictures_kept(tmp_path, shown):
    content = save_result(tmp_path, "lol", **({} if shown is None else {"shown": shown}))
    if shown is None:
        del content["shown"]
        (tmp_path / "results.json").write_text(json.dumps(content))
    page = written(tmp_path)
    assert "No pictures were kept of this run." in page.text
    assert not page.all("img")


def replaced(folder: Path, file: str) -> str:
    """Give the second strip another file; returns the page's text, which must show the other two."""
    content = save_result(folder, "lol")
    content["shown"][1]["file"] = file
    (folder / "results.json").write_text(json.dumps(content))
    page = written(folder)
    assert len(page.all("img")) == 2
    assert str(folder) not in page.text
    return page.text


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("shown/lost.png", "shown/lost.png does not exist."),
        ("../outside.png", "path '../outside.png' leaves the data root"),
        ("shown/../../outside.png", "leaves the data root"),
        ("/outside.png", "path '/outside.png' leaves the data root"),
        ("shown\\..\\..\\outside.png", "leaves the data root"),
        ("", "leaves the data root"),
        ("link.png", "link.png is a link out of the folder of results; copy the picture there."),
        ("photo.png", "photo.png is not a PNG; run the benchmark again."),
        ("empty.png", "empty.png is empty (0 bytes)"),
        ("text.png", "text.png is not an image in a known format; replace it."),
        ("shown", "is a folder where a picture is due"),
        ("a\0b.png", "null"),
        ("a" * 300 + ".png", "too long"),
        ("loop.png", "loop.png does not exist."),
    ],
)
def test_picture_that_cannot_be_shown(tmp_path, file, words):
    save_strip(tmp_path / "outside.png")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    (folder / "loop.png").symlink_to("loop.png")
    Image.new("RGB", (9, 9)).save(folder / "photo.png", "JPEG")
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("no picture")
    text = replaced(folder, file)
    assert "Picture not shown: " in text
    assert words in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seconds": "long"}, "'seconds'"),
        ({"shown": [{"rank": "best"}]}, "'shown'"),
        ({"versions": None}, "'versions'"),
        ({"size": 448}, "'size'"),
        ({"metrics": PAPER["lol"] | {"x": "much"}}, "'x' of .*'metrics'"),
    ],
)
def test_errors_of_a_result(tmp_path, changes, words):
    save_result(tmp_path, "lol", **changes)
    with pytest.raises(SystemExit, match=f"^error: {tmp_path}/results.json: .*{words}.*; run the benchmark again$"):
        main((tmp_path,))
    assert not (tmp_path / "report.html").exists()


def test_errors(tmp_path):
    with pytest.raises(SystemExit, match="error: no folder given"):
        main(())
    with pytest.raises(SystemExit, match=r"error: no results\.json is below"):
        main((tmp_path,))
    content = save_result(tmp_path, "lol")
    del content["device"]
    (tmp_path / "results.json").write_text(json.dumps(content))
    with pytest.raises(SystemExit, match=r"device.*; run the benchmark again"):
        main((tmp_path,))


def test_several_folders_and_another_place(tmp_path, capsys):
    save_result(tmp_path / "a", "lol")
    save_result(tmp_path / "b/c", "derain")
    main((tmp_path / "a", tmp_path / "b"), tmp_path / "new/both.html")
    assert capsys.readouterr().out.startswith(f"{tmp_path}/new/both.html: 2 results, 6 pictures, 0.0 MB")
    assert len(Page(tmp_path / "new/both.html").all("article")) == 2
    assert not (tmp_path / "a/report.html").exists()


def browse(chromium: str, page: Path, folder: Path) -> str:
    """The page as the browser understood it; also a screenshot at shot.png in the folder."""
    command = [
        *(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-quic"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *(f"--user-data-dir={folder}/profile", "--window-size=1280,2400", f"--screenshot={folder}/shot.png"),
        *("--dump-dom", page.as_uri()),
    ]
    return subprocess.run(command, capture_output=True, timeout=60, check=True).stdout.decode()


def test_browser_shows_it(page, tmp_path):
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("neither chromium nor google-chrome is on the PATH")
    count = (
        "[...document.images].filter(x => !x.naturalWidth || !x.offsetWidth).length + ' of ' + document.images.length"
    )
    script = f"<script>onload = () => document.documentElement.dataset.broken = {count}</script></body>"
    source = page.source.replace("default-src 'none'", "default-src 'none'; script-src 'unsafe-inline'", 1)
    source = source.replace("default-src &#x27;none&#x27;", "default-src 'none'; script-src 'unsafe-inline'", 1)
    (tmp_path / "page.html").write_text(source.replace("</body>", script), encoding="utf-8")
    dom = browse(chromium, tmp_path / "page.html", tmp_path)
    assert 'data-broken="0 of 30"' in dom
    assert "<title>Painter: results</title>" in dom
    assert "<h2>NYUv2 depth</h2>" in dom
    assert "<strong>38.880</strong>" in dom
    shot = np.asarray(Image.open(tmp_path / "shot.png").convert("RGB")).astype(int)
    assert (np.abs(shot - PINK).max(axis=2) < 10).mean() > 0.01
    assert len(np.unique(shot[:400].sum(axis=2))) > 50  # the words of the head
