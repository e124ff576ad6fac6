"""The page of tools/web_demo.py: what stands where, and what happens on a click."""

import shutil
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import ImageOps

from data.tasks import SOURCES, Task, task_named
from engine.infer import Predictor
from engine.inpaint import Prompt, picture_of
from tools.web_paint import ADDRESS, banked, drawn, paint, read_queries, read_upload, sentence, uploaded

UPLOAD, DRAW, BANK = "upload pairs", "draw a mask", "prompt bank"
NO_TASK = "none: the painting alone"
MAX_FILE, MAX_WAITING = "20mb", 16
HOUR, DAY = 3600, 86400
OURS = "painted_"  # folders beside those of Gradio
EDITOR_SIDE, BRUSH = 768, 24  # pixels of the longer side of what is drawn on, and of the brush
PROGRESS = gr.Progress()  # of each event that has it as an argument
CSS = """.grid-wrap {padding-top: 40px !important}
#found .grid-wrap {max-height: none; height: auto}
#found .thumbnail-item {aspect-ratio: auto}"""  # room for titles; paintings in full
INTRO = "# Painter\nShow a task by an image and its painted label: all other images are painted alike."

Files = list[tuple[str, str | None]] | None
"""a gallery's files and captions"""


def serve(predictor: Predictor, bank: Path | None, choices: Sequence[str], folder: Path, port: int) -> None:
    """Until Ctrl-C; `choices` are those of the bank, `folder` takes the paintings."""
    page = Page(predictor, bank, choices, folder).blocks
    options = {"server_name": ADDRESS, "share": False, "ssr_mode": False, "quiet": True, "prevent_thread_lock": True}
    look = {
        "theme": gr.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
        "footer_links": [],
        "css": CSS,
    }
    page.launch(server_port=port, max_file_size=MAX_FILE, **options, **look)
    print(f"open http://{ADDRESS}:{port} (Ctrl-C stops)", flush=True)
    page.block_thread()


class Page:
    """Its parts, and what their events call; users share the predictor one after another."""

    def __init__(self, predictor: Predictor, bank: Path | None, choices: Sequence[str], folder: Path) -> None:
        self.predictor, self.bank, self.folder = predictor, bank, folder
        with gr.Blocks(title="Painter", analytics_enabled=False, delete_cache=(HOUR, DAY)) as self.blocks:
            gr.Markdown(INTRO)
            with gr.Row(equal_height=False):
                with gr.Column():
                    self._prompt_part(choices)
                with gr.Column():
                    self._query_part()
            button = gr.Button("Paint", variant="primary", elem_id="paint")
            found = gr.Gallery(label="paintings", object_fit="contain", format="png", columns=3, elem_id="found")
            download = gr.DownloadButton("Download all", interactive=False, elem_id="download")
            asked: set[Any] = {self.way, self.images, self.targets, self.photo, self.drawing, self.chosen}
            asked |= {self.queries, self.task, self.ensemble, self.instances}
            button.click(self.paint, asked, [found, download], concurrency_limit=1)
        self.blocks.queue(max_size=MAX_WAITING)

    def _prompt_part(self, choices: Sequence[str]) -> None:
        """Three ways to a prompt, of which one is shown, at first the bank, if there is one."""
        gr.Markdown("### 1. Prompt")
        ways = [BANK, UPLOAD, DRAW] if choices else [UPLOAD, DRAW]
        self.way = gr.Radio(ways, value=ways[0], show_label=False, container=False, elem_id="way")
        with gr.Row(visible=not choices) as upload:
            self.images = _pictures("images", "images", 2)
            self.targets = _pictures("labels", "targets", 2)
        with gr.Column(visible=False) as draw:
            self.photo = gr.File(label="image to draw on", file_types=["image"], elem_id="photo", height=100)
            self.drawing = _editor()
        with gr.Column(visible=bool(choices)) as stored:
            self.chosen = gr.Dropdown(list(choices), multiselect=True, label="prompts of the bank", elem_id="chosen")
            shown = gr.Gallery(show_label=False, columns=2, height=240, format="png", elem_id="shown")
        self.way.change(_show_way, self.way, [upload, draw, stored])
        self.photo.change(_to_draw_on, self.photo, self.drawing)
        self.chosen.change(self.look, self.chosen, shown)

    def _query_part(self) -> None:
        gr.Markdown("### 2. Queries")
        self.queries = _pictures("images to paint", "queries", 4)
        with gr.Row():
            self.task = gr.Dropdown([NO_TASK, *SOURCES], label="decode as", elem_id="task")
            self.ensemble = gr.Radio(["feature", "spatial"], value="feature", label="ensemble of prompts")
        has_types = self.predictor.model.config.type_tokens
        self.instances = gr.Checkbox(label="prompts show single objects, not all of a class", visible=has_types)

    def look(self, chosen: Sequence[str]) -> list[Any]:
        """The pictures of prompts from the bank."""
        with told():
            return [picture_of(half) for pair in self._of_bank(chosen) for half in pair]

    def paint(self, given: Mapping[Any, Any], progress: gr.Progress = PROGRESS) -> tuple[Any, Any]:
        """The pictures that the page shows, and a .zip of them and of the decoded labels."""
        self._forget()
        folder = Path(tempfile.mkdtemp(prefix=OURS, dir=self.folder)) / "paintings"
        with told(), _removed(folder):
            task = None if given[self.task] == NO_TASK else task_named(given[self.task])
            if task:
                task.check_decodes()
            prompts, queries = self._prompts(given, task), read_queries(_paths(given[self.queries]))
            options = given[self.ensemble], given[self.instances]
            paintings = paint(self.predictor, queries, prompts, *options, task, folder)
            shown = [
                picture
                for name, found in progress.tqdm(paintings, total=len(queries))
                for picture in ((queries[name], name), (found.picture, "painted"), (found.overlay, "overlay"))
            ]
            archive = shutil.make_archive(str(folder), "zip", folder)
        return shown, gr.DownloadButton(value=archive, interactive=True)

    def _forget(self) -> None:
        """Remove what was to be downloaded an hour ago."""
        for old in self.folder.glob(f"{OURS}*"):
            if time.time() - old.stat().st_mtime > HOUR:
                shutil.rmtree(old, ignore_errors=True)

    def _prompts(self, given: Mapping[Any, Any], task: Task | None) -> list[Prompt]:
        """The pairs that the page shows."""
        if given[self.way] == UPLOAD:
            return uploaded(_paths(given[self.images]), _paths(given[self.targets]), task)
        if given[self.way] == DRAW:
            return drawn(given[self.photo], given[self.drawing]["layers"] if given[self.drawing] else [])
        return self._of_bank(given[self.chosen])

    def _of_bank(self, chosen: Sequence[str] | None) -> list[Prompt]:
        return banked(self.bank, chosen) if self.bank and chosen else []


@contextmanager
def _removed(folder: Path) -> Iterator[None]:
    """The folder is removed at the end, however that comes."""
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def told() -> Iterator[None]:
    """What goes wrong inside becomes a sentence on the page, which goes on; the unforeseen is printed, too."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, ValueError | OSError | MemoryError):
            traceback.print_exc()
        raise gr.Error(escape(sentence(error)), duration=None, print_exception=False) from None


def _pictures(label: str, name: str, columns: int) -> gr.Gallery:
    """Takes several pictures, as the files that they are."""
    return gr.Gallery(
        label=label,
        type="filepath",
        file_types=["image"],
        sources=["upload", "clipboard"],
        columns=columns,
        fit_columns=False,
        height=200,
        object_fit="contain",
        interactive=True,
        elem_id=name,
    )


def _editor() -> gr.ImageEditor:
    """A white brush and an eraser on a picture that comes from elsewhere."""
    return gr.ImageEditor(
        label="what the network shall find",
        sources=(),
        transforms=(),
        layers=False,
        brush=gr.Brush(default_size=BRUSH, colors=["#ffffff"], color_mode="fixed"),
        format="png",
        buttons=[],
        elem_id="drawing",
    )


def _show_way(way: str) -> list[Any]:
    return [gr.update(visible=way == name) for name in (UPLOAD, DRAW, BANK)]


def _to_draw_on(file: str | None) -> Any:
    """A file as the editor has it, of one size for the brush; nothing drawn."""
    if file is None:
        return None
    with told():
        image = read_upload(file)
    fitted = ImageOps.contain(image, (EDITOR_SIDE, EDITOR_SIDE))
    return {"background": fitted, "layers": [], "composite": None}


def _paths(files: Files) -> list[str]:
    return [path for path, _ in files or []]
