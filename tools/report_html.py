"""What the report is made of: markup that escapes by itself, bars, pictures inside the page, and the style."""

import base64
import html
import io
import os
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from data.roots import check_inside
from util.image import read_rgb

MAX_WIDTH = 1600  # pixels of a picture in the page
QUALITY = 88  # of its JPEG; with colours at full resolution, as thin painted lines would bleed otherwise
PNG = b"\x89PNG\r\n\x1a\n"
LONGEST = 1.25  # the end of a metric's bar, where the paper's score is 1

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"  # to the browser: load nothing, run nothing
_VOID = ("img", "meta")


class Html(str):
    """Markup. Any other string is text, and is escaped where it becomes part of markup."""


def tag(name: str, /, *children: str, **attributes: str | int) -> Html:
    """An element around markup and text; `class_` gives the attribute class, `aria_label` aria-label."""
    named = (f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(x))}"' for key, x in attributes.items())
    start = f"<{name}{''.join(named)}>"
    return Html(start) if name in _VOID else Html(f"{start}{join(*children)}</{name}>")


def join(*children: str) -> Html:
    """Markup and text, one after the other."""
    return Html("".join(child if isinstance(child, Html) else html.escape(child) for child in children))


def document(title: str, *content: Html) -> Html:
    """A page in the report's style."""
    head = (
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Html(STYLE)),
    )
    return join(Html("<!doctype html>\n"), tag("html", tag("head", *head), tag("body", *content), lang="en"))


def definitions(facts: dict[str, str]) -> Html:
    """Terms and what they are; those of which nothing is known are left out."""
    return tag("dl", *(tag("div", tag("dt", term), tag("dd", fact)) for term, fact in facts.items() if fact))


def folded(summary: str, *content: Html) -> Html:
    """Content that a click on its summary shows."""
    return tag("details", tag("summary", summary), *content)


def scrolling_table(head: Iterable[Html], rows: Iterable[Html]) -> Html:
    """A table of finished rows, which scrolls by itself where the page is narrower."""
    return tag("div", tag("table", tag("thead", *head), tag("tbody", *rows)), class_="scroll", tabindex=0)


def bar(length: float, longest: float, meaning: str, kind: str) -> Html:
    """A bar with a mark at 1 and the end at `longest`, in words for those who cannot see it."""
    end, mark = (100 * min(max(x, 0), longest) / longest for x in (length, 1))
    return tag(
        "svg",
        tag("rect", class_="track", width=100, height=8),
        tag("rect", class_=kind, width=f"{end:.2f}", height=8),
        tag("rect", class_="mark", x=f"{mark - 0.5:.2f}", width=1, height=8),
        viewBox="0 0 100 8",
        preserveAspectRatio="none",
        role="img",
        aria_label=meaning,
    )


def tone(better: bool | None) -> str:
    """The class of a comparison."""
    return {True: "better", False: "worse", None: "even"}[better]


def picture(folder: Path, file: str, alt: str) -> Html:
    """The PNG `file` below `folder`, inside the page; ValueError if it lies elsewhere or is no PNG."""
    check_inside(file)
    path = folder / file
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise ValueError(f"{file} is a link out of the folder of results; copy the picture there")
    image = read_rgb(path)
    if path.read_bytes()[: len(PNG)] != PNG:
        raise ValueError(f"{file} is not a PNG; run the benchmark again")
    if image.width > MAX_WIDTH:
        height = max(1, round(image.height * MAX_WIDTH / image.width))
        image = image.resize((MAX_WIDTH, height), Image.Resampling.LANCZOS)
    return tag("img", src=_data_url(image), alt=alt, width=image.width, height=image.height)


def _data_url(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY, subsampling=0, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


STYLE = """
:root {
  --paper: #fbfaf8; --card: #fff; --ink: #22252a; --soft: #5c636d; --line: #e3e1dc;
  --accent: #2f6f8f; --pale: #a9bdc8; --better: #24704a; --worse: #a4501c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #16181c; --card: #1f2227; --ink: #e6e6e3; --soft: #a0a6ae; --line: #33373e;
    --accent: #6db3d3; --pale: #4f6470; --better: #7fcf9f; --worse: #eba26c;
  }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 3.5rem; }
body {
  margin: 0 auto; max-width: 80rem; padding: 0 clamp(.9rem, 3vw, 2rem) 4rem; color: var(--ink);
  background: var(--paper); font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: anywhere;
}
h1 { margin: 2.2rem 0 1rem; font-size: 1.9rem; line-height: 1.2; letter-spacing: -.015em; }
h2 { margin: 3.2rem 0 .8rem; font-size: 1.45rem; letter-spacing: -.01em; }
h3 { margin: 1.6rem 0 .6rem; font-size: 1.05rem; }
h4 { margin: 0; font-size: .9rem; font-weight: 600; display: flex; justify-content: space-between; gap: .6rem; }
a { color: var(--accent); }
small, .note, dt, .beside { color: var(--soft); font-size: .85rem; font-weight: 400; }
dl, .cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 15rem), 1fr)); }
dl { gap: .7rem 1.6rem; margin: .8rem 0; }
dd { margin: 0; }
header dl > :last-child { grid-column: 1 / -1; }
nav {
  position: sticky; top: 0; z-index: 1; display: flex; gap: .3rem 1.2rem; overflow-x: auto; padding: .7rem 0;
  background: var(--paper); border-bottom: 1px solid var(--line); white-space: nowrap;
}
nav a { text-decoration: none; font-size: .9rem; }
nav a:hover { text-decoration: underline; }
.note { margin: .4rem 0; }
.scroll { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td {
  padding: .35rem .6rem; text-align: right; vertical-align: top; white-space: nowrap; font-weight: 400;
  border-bottom: 1px solid var(--line);
}
thead th { padding-block: .2rem; color: var(--soft); font-size: .8rem; }
thead th[colspan] { border-bottom: 0; text-align: center; vertical-align: bottom; white-space: normal; }
th:first-child { position: sticky; left: 0; padding-left: 0; text-align: left; background: var(--paper); }
tbody th:first-child { min-width: min(11rem, 30vw); white-space: normal; }
article th:first-child { background: var(--card); }
td small { display: block; line-height: 1.2; }
article {
  margin: 1rem 0; padding: .2rem clamp(.9rem, 2.5vw, 1.6rem) 1.2rem; background: var(--card);
  border: 1px solid var(--line); border-radius: .8rem;
}
.cards { gap: 1rem; margin: 1rem 0; }
.card { border: 1px solid var(--line); border-radius: .6rem; padding: .8rem 1rem; max-width: 22rem; }
.score { margin: .1rem 0 .3rem; color: var(--soft); }
.score strong { font-size: 1.7rem; font-weight: 600; color: var(--ink); font-variant-numeric: tabular-nums; }
.beside { display: flex; justify-content: space-between; flex-wrap: wrap; gap: 0 .8rem; margin: .35rem 0 0; }
.better { color: var(--better); }
.worse { color: var(--worse); }
svg { display: block; width: 100%; height: .55rem; border-radius: .2rem; }
.track { fill: var(--line); }
.ours { fill: var(--accent); }
.part { fill: var(--pale); }
.mark { fill: var(--ink); }
.incomplete { display: flex; align-items: center; gap: .8rem; flex-wrap: wrap; color: var(--worse); font-size: .9rem; }
.incomplete svg { width: 9rem; }
.incomplete .part { fill: var(--worse); }
details { margin: .5rem 0; }
summary { cursor: pointer; color: var(--accent); font-size: .9rem; }
figure { margin: 1.4rem 0 0; }
figcaption b { text-transform: capitalize; }
figcaption { margin-bottom: .35rem; font-size: .92rem; }
.missing { margin: 0; padding: .8rem 1rem; border: 1px dashed var(--line); border-radius: .5rem; color: var(--soft); }
.frame { overflow-x: auto; }
.frame img { display: block; width: 100%; min-width: 44rem; height: auto; border-radius: .3rem; }
.close { display: none; }
.frame:target {
  position: fixed; inset: 0; z-index: 2; display: flex; overflow: auto; padding: 1rem; background: #000e;
}
.frame:target > a:first-child { margin: auto; }
.frame:target img { width: max(100%, 1600px); }
.frame:target .close {
  display: block; position: fixed; top: .6rem; right: .9rem; width: 2.4rem; border-radius: 50%; background: #fff;
  color: #000; font-size: 1.5rem; line-height: 2.4rem; text-align: center; text-decoration: none;
}
"""
