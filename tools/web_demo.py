"""Painter in the browser: prompt pairs by upload, drawn by hand or from a bank; queries; paintings to keep.

    python tools/web_demo.py                                    the small shipped Painter, with prompts to choose from
    python tools/web_demo.py --ckpt painter_vit_large.pth --bank bank --port 7861

Expected: `open http://127.0.0.1:7860` after some seconds; Ctrl-C stops it. Only this machine can reach the page, which
needs no network; what is uploaded is gone when the command ends. docs/USE.md shows a tour.
"""

import importlib.util
import os
import signal
import socket
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from engine.command import NetworkOptions, parse
from engine.infer import Predictor
from engine.pretrained import SHIPPED
from tools.web_paint import ADDRESS, bank_choices
from util.parallel import one_line_errors

PROMPTS = SHIPPED.with_name("prompts")  # a bank of one for each task


@dataclass(frozen=True)
class Options:
    """What is served where."""

    ckpt: str = str(SHIPPED)
    """weights: a run's checkpoint, a file, a folder of tools/export.py, or user/model of a hub"""
    bank: Path | None = PROMPTS
    """folder of prompt files, as tools/prompt_bank.py, search_prompt.py and learn_prompt.py write them; or None"""
    port: int = 7860
    """of this machine, 127.0.0.1"""
    network: NetworkOptions = field(default_factory=NetworkOptions)


def main() -> None:
    """Load the network, and serve until Ctrl-C."""
    with one_line_errors(), tempfile.TemporaryDirectory(prefix="painter_") as folder:
        options = parse(Options, "tools/web_demo.py", __doc__)
        check(options)
        choices = bank_choices(options.bank) if options.bank else ()
        network = options.network
        predictor = Predictor.from_pretrained(
            options.ckpt, network.device, network.precision, network.size, network.model
        )
        predictor.set_prompts([(Image.new("RGB", (1, 1)),) * 2])  # what this size or memory forbids is told now
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": folder}
        os.environ["no_proxy"] = "*"  # Gradio asks its own server whether it is up
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        from tools.web_page import serve

        serve(predictor, options.bank, choices, Path(folder), options.port)


def check(options: Options) -> None:
    """ValueError on what is missing, before the network is read."""
    options.network.check()
    if importlib.util.find_spec("gradio") is None:
        raise ValueError("the web demo needs gradio: pip install -e '.[demo]'")
    if options.ckpt == str(SHIPPED) and not SHIPPED.exists():
        raise ValueError(f"there is no {SHIPPED}: it comes with a clone alone, not with a wheel; give --ckpt")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, options.port))
        except (OSError, OverflowError) as error:
            raise ValueError(f"--port {options.port} cannot be had ({error}); give another, such as 7861") from None


if __name__ == "__main__":
    main()
