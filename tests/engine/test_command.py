"""Options of the commands that run a network: named as they are, checked, the same for all."""

import sys
from dataclasses import dataclass, field

import pytest
import torch

from engine.command import NetworkOptions, parse


@dataclass(frozen=True)
class Some:
    """A command's."""

    batch_size: int = 8
    is_short: bool = False
    network: NetworkOptions = field(default_factory=lambda: NetworkOptions(precision="fp32"))


def parsed(monkeypatch, *arguments: str) -> Some:
    monkeypatch.setattr(sys, "argv", ["some", *arguments])
    return parse(Some, "tools/some.py", "What it does.")


def test_options_have_no_prefix_and_flags_no_opposite(monkeypatch, capsys):
    assert parsed(monkeypatch) == Some()
    found = parsed(monkeypatch, "--size", "64", "--is_short", "--precision", "auto", "--batch_size", "2")
    assert found == Some(2, True, NetworkOptions(size=64))
    with pytest.raises(SystemExit, match="0"):
        parsed(monkeypatch, "--help")
    told = capsys.readouterr().out
    for text in ("usage: tools/some.py", "What it does.", "--batch_size INT", "{auto,cpu,cuda}", "(default: fp32)"):
        assert text in told
    assert "no_is_short" not in told
    assert told.index("--batch_size") < told.index("--model")


def test_sizes_have_bounds():
    for size in (None, 1, 4096):
        NetworkOptions(size=size).check()
    for size in (-16, 0, 4097):
        with pytest.raises(ValueError, match=f"^--size {size} must be 1 to 4096 pixels$"):
            NetworkOptions(size=size).check()


def test_auto_is_the_fastest(monkeypatch):
    monkeypatch.setattr("engine.precision.fastest_precision", lambda device: f"the fastest of {device}")
    device = torch.device("cpu")
    assert NetworkOptions().precision_on(device) == "the fastest of cpu"
    assert NetworkOptions(precision="fp16").precision_on(device) == "fp16"
