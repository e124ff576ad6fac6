"""The page in a real browser: a tour of clicks against the predictor, bad uploads, and several users at once."""

import importlib.util
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from engine.infer import Predictor
from engine.pretrained import SHIPPED, save_painter
from engine.prompts import save_prompt
from tests.conftest import REPOSITORY
from tests.engine.test_infer import CONFIG, PROMPTS, network, picture
from tools.web_demo import main

QUERIES = [picture(20, (37, 61)), picture(21, (50, 40))]
TASK = "nyuv2_depth"
ERROR = "[data-testid=toast-text]"


def environment(folder: Path) -> dict[str, str]:
    """Of a machine that reaches the network by a proxy, which is down."""
    proxy = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    return {**os.environ, **proxy, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "TMPDIR": str(folder)}


def command(*arguments: object) -> list[str]:
    return [sys.executable, str(REPOSITORY / "tools/web_demo.py"), *map(str, arguments)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A network, prompts as pictures and as a bank, queries."""
    folder = tmp_path_factory.mktemp("web")
    save_painter(folder / "w.safetensors", network(), {f"model.{key}": value for key, value in vars(CONFIG).items()})
    for number, pair in enumerate(PROMPTS):
        pair[0].save(folder / f"image{number}.png")
        pair[1].save(folder / f"label{number}.png")
        save_prompt(folder / f"bank/{number}.safetensors", {TASK: pair}, {"kind": "given"})
    for number, query in enumerate(QUERIES):
        query.save(folder / f"query{number}.png")
    (folder / "broken.png").write_bytes((folder / "query0.png").read_bytes()[:3000])
    (folder / "tmp").mkdir()
    return folder


@pytest.fixture(scope="module")
def address(folder) -> Iterator[str]:
    """Of the command's page; when it is told to end, it leaves no file behind."""
    pytest.importorskip("gradio", reason="gradio, the extra `demo`, is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = command("--ckpt", "w.safetensors", "--bank", "bank", "--port", port)
    options = {"cwd": folder, "env": environment(folder / "tmp"), "text": True}
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, **options) as server:
        line = server.stdout.readline()
        assert line.startswith(f"open http://127.0.0.1:{port} "), line
        yield line.split()[1]
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=120)
    assert not list((folder / "tmp").glob("painter_*"))


@pytest.fixture(scope="module")
def browser() -> Iterator:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("neither chromium nor google-chrome is on the PATH")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


class User:
    """Somebody at the page, who does what people do."""

    def __init__(self, browser, address: str, folder: Path) -> None:
        self.page, self.folder, self.hosts = browser.new_context().new_page(), folder, set()
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).hostname))
        self.page.goto(address)
        self.page.wait_for_selector("#paint")

    def upload(self, name: str, *files: str) -> None:
        self.page.set_input_files(f"#{name} input[type=file]", [self.folder / file for file in files])
        shown = "#photo .file-preview" if name == "photo" else f"#{name} .thumbnail-item"
        self.page.wait_for_selector(f":nth-match({shown}, {1 if name == 'photo' else len(files)})")

    def choose(self, name: str, *options: str) -> None:
        for option in options:
            self.page.click(f"#{name} input")
            self.page.get_by_role("option", name=option).click()

    def choose_way(self, way: str) -> None:
        self.page.get_by_label(way).click()

    def paint(self) -> None:
        self.page.click("#paint")

    def error(self) -> str:
        """The sentence that is shown; closes it."""
        sentence = self.page.locator(ERROR).inner_text()
        self.page.click("[data-testid=toast-close]")
        self.page.wait_for_selector(ERROR, state="detached")
        return sentence

    def found(self) -> dict[str, np.ndarray]:
        """The pictures of the download, once those of all queries are shown."""
        self.page.wait_for_selector("#download:not([disabled])")
        with self.page.expect_download() as event:
            self.page.click("#download")
        with zipfile.ZipFile(event.value.path()) as archive:
            return {name: np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in archive.namelist()}


@pytest.fixture
def user(browser, address, folder) -> User:
    return User(browser, address, folder)


def expected(prompts=PROMPTS[:1], query=QUERIES[0], ensemble="feature") -> np.ndarray:
    """The painting of a query, to a rounding."""
    return Predictor(network(), "cpu").set_prompts(prompts, ensemble).paint(query)


def assert_near(found: np.ndarray, right: np.ndarray) -> None:
    assert found.shape == right.shape
    assert np.abs(found.astype(int) - right).max() <= 1


def told(monkeypatch, has_gradio: bool, *arguments: object) -> str:
    """What a command says that fails at once."""
    monkeypatch.setattr(sys, "argv", ["tools/web_demo.py", *map(str, arguments)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: has_gradio or None)
    with pytest.raises(SystemExit) as end:
        main()
    return str(end.value.code)


def test_what_is_missing_is_told(folder, monkeypatch):
    monkeypatch.chdir(folder)
    ckpt = "--ckpt", "w.safetensors"
    assert told(monkeypatch, False, *ckpt) == "error: the web demo needs gradio: pip install -e '.[demo]'"
    with monkeypatch.context() as wheel:
        wheel.setattr("tools.web_demo.SHIPPED", SHIPPED.with_name("gone"))
        gone = "--ckpt", SHIPPED.with_name("gone")
        assert "comes with a clone alone, not with a wheel; give --ckpt" in told(wheel, True, *gone)
    assert told(monkeypatch, True, *ckpt, "--bank", "tmp").startswith("error: --bank tmp lists no prompts")
    with socket.create_server(("127.0.0.1", 0)) as other:
        for port in (other.getsockname()[1], 70000):
            assert told(monkeypatch, True, *ckpt, "--port", port).startswith(f"error: --port {port} cannot be had")
    for size, message in ((0, "--size 0 must be 1 to 4096 pixels"), (50, "size (50, 50) must be a multiple of")):
        assert told(monkeypatch, True, *ckpt, "--size", size).startswith(f"error: {message}")
    assert told(monkeypatch, True, *ckpt, "--device", "cpu", "--precision", "fp16").startswith(
        "error: fp16 needs a GPU"
    )
    assert told(monkeypatch, True, *ckpt, "--model", "zzz").startswith("error: unknown model 'zzz'")
    assert "other.safetensors" in told(monkeypatch, True, "--ckpt", "other.safetensors")


def test_a_tour(user):
    user.choose_way("upload pairs")
    user.upload("images", "image0.png")
    user.upload("targets", "label0.png")
    user.upload("queries", "query0.png", "query1.png")
    user.choose("task", TASK)
    user.paint()
    found = user.found()
    assert set(found) == {
        *(f"{query}{end}.png" for query in ("1_query0", "2_query1") for end in ("", "_label", "_overlay")),
        *("prompt_1.png", "prompt_1_label.png"),
    }
    for name, query in zip(("1_query0", "2_query1"), QUERIES, strict=True):
        assert_near(found[f"{name}.png"], expected(query=query))
    captions = user.page.locator("#found .caption-label").all_inner_texts()
    assert captions == ["1_query0", "painted", "overlay", "2_query1", "painted", "overlay"]
    sizes = user.page.locator("#found img").evaluate_all("all => all.map(x => [x.naturalWidth, x.naturalHeight])")
    assert sizes == [[61, 37]] * 3 + [[40, 50]] * 3
    assert user.hosts <= {"127.0.0.1", None}  # None: pictures that the page itself holds


def test_the_page_goes_on_after_errors(user):
    user.choose_way("upload pairs")
    user.paint()
    assert user.error() == "no query is given; upload an image to paint"
    user.upload("queries", "broken.png")
    user.paint()
    assert user.error().startswith("broken.png is truncated or broken")
    user.page.click("#queries button[aria-label=Clear]")
    user.upload("queries", "query0.png")
    user.upload("images", "image0.png")
    user.upload("targets", "query1.png")
    user.paint()
    assert user.error().startswith("prompt 1: its image is 50 x 40 but its target 40 x 50 pixels")
    user.page.click("#targets button[aria-label=Clear]")
    user.upload("targets", "label0.png")
    user.paint()
    assert_near(user.found()["1_query0.png"], expected())


def test_a_file_that_is_too_large_never_gets_in(user, tmp_path):
    (tmp_path / "large.png").write_bytes(bytes(21_000_000))
    user.page.set_input_files("#queries input[type=file]", tmp_path / "large.png")
    assert '20.0 Mb: "large.png"' in user.error()


def test_a_drawn_mask(user):
    user.choose_way("draw a mask")
    user.upload("photo", "image0.png")
    user.upload("queries", "query0.png")
    user.paint()
    assert user.error().startswith("nothing is drawn")
    canvas = user.page.locator("#drawing canvas").first
    canvas.wait_for()
    user.page.wait_for_timeout(1000)  # until its picture is there
    box = canvas.bounding_box()
    user.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    user.page.mouse.down()
    user.page.mouse.move(box["x"] + box["width"] / 2 + 60, box["y"] + box["height"] / 2, steps=5)
    user.page.mouse.up()
    user.paint()
    found = user.found()
    target = found["prompt_1_label.png"]
    rows, columns = target[..., 0].nonzero()
    assert target.shape == (40, 50, 3)
    assert set(np.unique(target)) == {0, 255}
    assert np.array_equal(found["prompt_1.png"], np.asarray(PROMPTS[0][0]))
    assert (rows.min() + rows.max()) / 2 == pytest.approx(20, abs=2)  # through the middle, from there to the right
    assert np.ptp(rows) < 10
    assert columns.min() == pytest.approx(25, abs=3)
    assert columns.max() > 28
    assert_near(found["1_query0.png"], expected([(PROMPTS[0][0], Image.fromarray(target))]))


def test_prompts_of_a_bank_together(user):
    user.choose("chosen", f"0: {TASK}", f"2: {TASK}")
    user.page.keyboard.press("Escape")
    user.page.wait_for_selector(":nth-match(#shown img, 4)")
    user.page.get_by_label("spatial").click()
    user.upload("queries", "query0.png")
    user.paint()
    assert_near(user.found()["1_query0.png"], expected([PROMPTS[0], PROMPTS[2]], ensemble="spatial"))


def test_users_at_once_get_their_own(browser, address, folder):
    users = [User(browser, address, folder) for _ in PROMPTS]
    for number, user in enumerate(users):
        user.choose_way("upload pairs")
        user.upload("images", f"image{number}.png")
        user.upload("targets", f"label{number}.png")
        user.upload("queries", "query0.png", "query1.png")
    for user in users:
        user.paint()
    for user, prompt in zip(users, PROMPTS, strict=True):
        found = user.found()
        for name, query in zip(("1_query0.png", "2_query1.png"), QUERIES, strict=True):
            assert_near(found[name], expected([prompt], query))
