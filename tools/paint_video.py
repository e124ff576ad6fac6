"""Paint a video: each frame below the given prompts, and below frames that are painted already."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import tee
from pathlib import Path

from PIL import Image
from torch import Tensor
from tqdm import tqdm

from data.tasks import Task
from engine.fit import check_canvases
from engine.infer import Predictor
from engine.inpaint import Prompt, half
from tools.paint_pictures import LABEL, OVERLAY, shown
from util.image import normalize
from util.video import Video, video_writer

Paintings = Callable[[Iterable[Image.Image]], Iterator[Tensor]]
"""of each frame the painting, as `Predictor.paintings`"""


def with_memory(predictor: Predictor, prompts: Sequence[Prompt], num: int, instances: bool = False) -> Paintings:
    """Paints frames one by one below the prompts, the first frame and the last `num` before it.

    Those are prompts as they have been painted. Raises ValueError if all these are more than the memory holds.
    """
    size = predictor.size
    check_canvases(predictor.model.config, size, len(prompts) + 1 + num, predictor.device)
    given = [(half(image, size), half(target, size)) for image, target in prompts]

    def paintings(frames: Iterable[Image.Image]) -> Iterator[Tensor]:
        first, last = list[Prompt](), deque[Prompt](maxlen=num)
        for frame in frames:
            predictor.use([*given, *first, *last], instances)
            yield from (painted := list(predictor.paintings([frame])))
            (last if first else first).append((half(frame, size), normalize(painted[0].clamp(0, 1)).float()))

    return paintings


def paint_video(paintings: Paintings, video: Video, out: Path, task: Task | None = None, overlay: bool = False) -> None:
    """Write the painted video as `out`, and beside it what else is wanted, each frame's label as a file of its own."""
    frames, queries = tee(tqdm(video, total=video.num_frames, unit="frame"))
    labels = beside(out, LABEL).with_suffix("")
    with ExitStack() as stack:
        files = [stack.enter_context(video_writer(file, video.fps, video.size)) for file in outputs(out, overlay)]
        for number, (frame, painting) in enumerate(zip(frames, paintings(queries), strict=True)):
            found = shown(frame, painting, task, overlay)
            pictures = [found.picture] if found.overlay is None else [found.picture, found.overlay]
            for add, picture in zip(files, pictures, strict=True):
                add(picture)
            if task:
                task.save(found.label, labels / f"{number:06}")


def outputs(out: Path, overlay: bool) -> list[Path]:
    """The video files to write."""
    return [out, beside(out, OVERLAY)] if overlay else [out]


def beside(out: Path, ending: str) -> Path:
    """OUT_ending.mp4."""
    return out.with_name(f"{out.stem}{ending}{out.suffix}")
