"""One result in the report: what it is, its scores beside the paper's, and its pictures."""

import re
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from typeguard import CollectionCheckStrategy, TypeCheckError, check_type

from eval.paper import METRICS, PAPER, Metric
from tools.paper_results import Result
from tools.report_html import LONGEST, Html, bar, definitions, folded, picture, scrolling_table, tag, tone

NUM_DIGITS = 12  # of a checkpoint's hash, to tell it from others


class Checkpoint(TypedDict):
    """Of results.json."""

    path: str
    sha256: str


class Shown(TypedDict):
    """A picture of results.json: a strip of panels, `file` below its folder."""

    rank: str
    name: str
    scores: dict[str, float | None]
    file: str
    columns: list[str]


class Content(TypedDict):
    """What the page shows of results.json besides what the tables need."""

    metrics: dict[str, float | None]
    checkpoint: Checkpoint | None
    model: dict[str, Any] | None
    size: list[int]
    batch_size: int
    precision: str
    device: str
    num_ranks: int
    seconds: float
    images_per_second: float | None
    versions: dict[str, str]
    shown: NotRequired[list[Shown]]


def check(result: Result) -> None:
    """ValueError unless the result has all that the page shows."""
    known = {key: value for key, value in result.content.items() if key in Content.__annotations__}
    try:
        check_type(known, Content, collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)
    except TypeCheckError as error:
        fault = re.sub(r" did not match any.*", " has the wrong type", str(error), flags=re.DOTALL)  # one line of many
        raise ValueError(f"{result.path}: {fault}; run the benchmark again") from None


def block(result: Result, id_: str) -> Html:
    """The result's part of the page, under a heading of its own."""
    content = result.content
    cards = (_card(metric, content) for metric in METRICS if metric.benchmark == content["benchmark"])
    return tag(
        "article",
        tag("h3", _what(content)),
        *_warnings(content),
        tag("div", *cards, class_="cards"),
        folded(f"All {len(content['metrics'])} metrics", _all_metrics(content["metrics"])),
        folded("How it was run", definitions(_run(content))),
        *_strips(result, id_),
        id=id_,
    )


def checkpoint(content: dict[str, Any]) -> str:
    """Name of the file and beginning of its hash; nothing without one."""
    found = content["checkpoint"]
    return f"{Path(found['path']).name} (sha256 {found['sha256'][:NUM_DIGITS]})" if found else ""


def device(content: dict[str, Any]) -> str:
    """What computed, how many of it, and how exactly."""
    ranks = f"{content['num_ranks']} x " if content["num_ranks"] > 1 else ""
    return f"{ranks}{content['device']}, {content['precision']}"


def versions(content: dict[str, Any]) -> str:
    """Of the software."""
    return ", ".join(f"{name} {version}" for name, version in content["versions"].items())


def _what(content: dict[str, Any]) -> str:
    if content["oracle"]:
        noise = content["oracle"]["noise"]
        return f"Oracle: the truth, painted{f' with noise of {noise:g} levels' if noise else ''} and decoded"
    return f"Prompt {content['prompt']['name']} ({content['prompt']['kind']})"


def _warnings(content: dict[str, Any]) -> list[Html]:
    """What keeps the scores from being comparable with those of the paper's Table 1."""
    result = []
    if not content["complete"]:
        num, due = content["num_images"], content["num_expected"]
        words = f"{num} images, {due} are due: not comparable with the paper"
        result.append(tag("div", bar(num / max(due, 1), 1, words, "part"), tag("span", words), class_="incomplete"))
    if content["variant"]:
        result.append(tag("p", f"At {content['variant']}: not as the paper's scores were made."))
    if content["oracle"]:
        result.append(tag("p", "No model is at work: these are the best scores that painting and decoding allow."))
    if content["training"] == "separate":
        result.append(tag("p", "Trained on this benchmark's tasks alone; the paper's scores are of joint training."))
    if content["prompt"] and content["prompt"]["kind"] != "searched":
        result.append(tag("p", "The paper's scores are of the searched prompt."))
    return result


def _card(metric: Metric, content: dict[str, Any]) -> Html:
    """A headline metric beside the paper's: as numbers, and as a bar whose mark is the paper; longer is better."""
    ours, paper = content["metrics"].get(metric.name), PAPER[metric.benchmark][metric.name]
    comparable = content["complete"] and not (content["oracle"] or content["variant"])
    words, better = _verdict(metric, ours, paper) if comparable else ("not comparable", None)
    told = "undefined" if ours is None else f"{ours:.{metric.decimals + 1}f}"
    beside = f"paper {paper:.{metric.decimals}f}"
    hint = [tag("small", "lower is better")] if metric.lower else []
    return tag(
        "div",
        tag("h4", metric.title, *hint),
        tag("p", tag("strong", told), f" {metric.unit}", class_="score"),
        bar(_length(metric, ours, paper), LONGEST, f"{told}, {beside}", "ours" if comparable else "part"),
        tag("p", tag("span", beside), tag("span", words, class_=tone(better)), class_="beside"),
        class_="card",
    )


def _length(metric: Metric, ours: float | None, paper: float) -> float:
    """Of our bar, where the paper's is 1: the ratio of the scores, turned round where lower is better."""
    if ours is None:
        return 0.0
    if not metric.lower:
        return ours / paper
    return paper / ours if ours > 0 else LONGEST


def _verdict(metric: Metric, ours: float | None, paper: float) -> tuple[str, bool | None]:
    """How far we are from the paper, in words, and whether that is better; None: neither."""
    if ours is None:
        return "undefined", None
    rounded = round(ours, metric.decimals)
    if rounded == paper:
        return "as in the paper", None
    better = (rounded < paper) == metric.lower
    return f"{abs(rounded - paper):.{metric.decimals}f} {'better' if better else 'worse'}", better


def _all_metrics(metrics: dict[str, float | None]) -> Html:
    rows = ((name, "undefined" if value is None else f"{value:.6g}") for name, value in metrics.items())
    return scrolling_table([], [tag("tr", tag("th", name, scope="row"), tag("td", text)) for name, text in rows])


def _run(content: dict[str, Any]) -> dict[str, str]:
    """How the scores came about."""
    speed = content["images_per_second"]
    return {
        "Images": f"{content['num_images']} of {content['num_expected']}",
        "Checkpoint": checkpoint(content),
        "Training": content["training"] or "",
        "Seed": "" if content["seed"] is None else str(content["seed"]),
        "Height x width": f"{' x '.join(map(str, content['size']))}, {content['batch_size']} in a batch",
        "Device": device(content),
        "Time": f"{content['seconds']:.1f} s" + (f", {speed:.3g} images a second" if speed else ""),
        "Versions": versions(content),
        "Model": ", ".join(f"{name} {value}" for name, value in (content["model"] or {}).items()),
    }


def _strips(result: Result, id_: str) -> list[Html]:
    shown = result.content.get("shown")
    if not shown:
        return [tag("p", "No pictures were kept of this run.", class_="note")]
    panels = tag("p", f"Panels, from the left: {', '.join(shown[0]['columns'])}.", class_="note")
    return [panels, *(_strip(result.path.parent, each, f"{id_}-{i}") for i, each in enumerate(shown, start=1))]


def _strip(folder: Path, shown: dict[str, Any], id_: str) -> Html:
    """A picture with its caption; a click on it shows it over the whole window."""
    scores = ", ".join(f"{name} {'undefined' if x is None else f'{x:.4g}'}" for name, x in shown["scores"].items())
    caption = tag("figcaption", tag("b", shown["rank"]), " ", tag("span", shown["name"]), " ", tag("small", scores))
    alt = f"{shown['rank']}, {shown['name']}, from the left: {', '.join(shown['columns'])}"
    try:
        image = picture(folder, shown["file"], alt)
    except (ValueError, OSError) as error:
        message = str(error).replace(f"{folder}/", "")  # the page travels, the folder does not
        return tag("figure", caption, tag("p", f"Picture not shown: {message}.", class_="missing"), id=id_)
    enlarge = tag("a", image, href=f"#{id_}-large", title="enlarge")
    close = tag("a", "\N{MULTIPLICATION SIGN}", href=f"#{id_}", class_="close", aria_label="close")
    return tag("figure", caption, tag("div", enlarge, close, class_="frame", id=f"{id_}-large"), id=id_)
