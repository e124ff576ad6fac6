"""For the tools for prompts: a network of the test's own world, and how they are called."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from configs.sources import EIGHT_SOURCES
from data.prepare import prepare
from data.tasks import SOURCES
from engine.config import flatten
from tests.eval.conftest import run_config, save_run, tiny_painter
from tools.make_toy_datasets import make_toy_datasets


@pytest.fixture(scope="session")
def toy_world(tmp_path_factory) -> Path:
    """A toy world of eight scenes of 48 pixels, prepared: every benchmark finds its queries and its prompt there."""
    root = tmp_path_factory.mktemp("toy")
    make_toy_datasets(root, scenes=8, size=48)
    for name in EIGHT_SOURCES:
        for split in SOURCES[name].lists:
            assert prepare(SOURCES[name], [root], root, split)
    return root


@pytest.fixture(scope="module")
def ckpt(world: Path, tmp_path_factory) -> Path:
    """The checkpoint of a run on `world`, a data root that the tests' file makes."""
    folder = tmp_path_factory.mktemp("run")
    return save_run(folder, tiny_painter(), flatten(run_config(world, folder)))


@pytest.fixture
def call(monkeypatch, capsys) -> Callable[..., str]:
    """Call a command in this process; returns what it prints, or the sentence it ends with."""

    def call(main: Callable[[], None], *flags: str, **options: object) -> str:
        given = [str(part) for key, value in options.items() for part in (f"--{key}", value)]
        monkeypatch.setattr(sys, "argv", ["command", *given, *flags])
        try:
            main()
        except SystemExit as end:
            return str(end.code)
        return capsys.readouterr().out

    return call


def check_refused(told: str, message: str, bank: Path) -> None:
    """It is one sentence with the message in it, and nothing is in the bank."""
    assert told.startswith("error: ")
    assert message in told
    assert "\n" not in told
    assert not list(bank.glob("*"))
