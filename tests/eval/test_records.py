"""Records: found again line by line, whatever stopped the run; never mixed with another run's."""

import json
import math
import re

import pytest

from eval.records import PIXELS, Records

IDENTITY = {"benchmark": "lol", "size": (48, 48), "prompt": {"name": "100", "kind": "searched"}, "checkpoint": "ab"}


def test_what_is_appended_is_read(tmp_path):
    records = Records(tmp_path)
    assert records.read() == {}
    records.append("a/1", {"psnr": 20.5, "cells": [[1, 2, 3]]}, 0)
    records.append("b \u2028 ü", {"psnr": math.inf, "counts": {"7": [0.1, 1, 0, 0]}}, 0)
    assert Records(tmp_path).read() == {
        "a/1": {"psnr": 20.5, "cells": [[1, 2, 3]]},
        "b \u2028 ü": {"psnr": math.inf, "counts": {"7": [0.1, 1, 0, 0]}},
    }


def test_numbers_come_back_bit_by_bit(tmp_path):
    values = [0.1 + 0.2, 1 / 3, 1e-300, 38.66000000000001]
    Records(tmp_path).append("a", {"values": values}, 0)
    assert Records(tmp_path).read()["a"]["values"] == values


def test_ranks_write_files_of_their_own(tmp_path):
    records = Records(tmp_path)
    for rank in (0, 1, 10):
        records.append(f"of {rank}", {"psnr": float(rank)}, rank)
    assert records.read() == {f"of {rank}": {"psnr": float(rank)} for rank in (0, 1, 10)}
    names = sorted(path.name for path in (tmp_path / "records").iterdir())
    assert names == ["rank0.jsonl", "rank1.jsonl", "rank10.jsonl"]


@pytest.mark.parametrize("length", range(1, 22))
def test_a_line_cut_anywhere_counts_as_none_and_harms_no_other(tmp_path, length):
    records = Records(tmp_path)
    records.append("1", {"psnr": 1.0}, 0)
    file = tmp_path / "records/rank0.jsonl"
    whole = file.read_bytes()
    line = json.dumps(["2", {"psnr": 22.25}]).encode()
    file.write_bytes(whole + line[: min(length, len(line) - 1)])
    assert records.read() == {"1": {"psnr": 1.0}}
    records.append("2", {"psnr": 2.0}, 0)
    records.append("3", {"psnr": 3.0}, 0)
    assert records.read() == {"1": {"psnr": 1.0}, "2": {"psnr": 2.0}, "3": {"psnr": 3.0}}
    assert len(file.read_text().splitlines()) == 4


def test_a_line_that_lacks_its_end_alone_is_kept(tmp_path):
    records = Records(tmp_path)
    records.append("1", {"psnr": 1.0}, 0)
    file = tmp_path / "records/rank0.jsonl"
    file.write_bytes(file.read_bytes()[:-1])
    records.append("2", {"psnr": 2.0}, 0)
    assert records.read() == {"1": {"psnr": 1.0}, "2": {"psnr": 2.0}}


def test_the_same_run_may_go_on(tmp_path):
    Records(tmp_path).claim(IDENTITY)
    Records(tmp_path).append("1", {}, 0)
    Records(tmp_path).claim(dict(reversed(IDENTITY.items())))
    assert Records(tmp_path).read() == {"1": {}}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"checkpoint": "cd", "model": {"depth": 4}}, r"other weights \(--ckpt\);"),
        ({"size": (64, 48), "prompt": None, PIXELS: [7]}, r"another --size, another prompt \(--prompt\);"),
        ({PIXELS: [7]}, r"other pictures in the prompt of this name \(--prompt\);"),
        ({"version of painter": "2"}, "another version of painter;"),
        ({"model": {"depth": 4}}, r"another network \(--model\);"),
        ({"oracle": {"noise": 1.0}, "checkpoint": None, "prompt": None}, r"another painter \(--oracle, .*\);"),
    ],
)
def test_another_run_is_refused_and_told_what_differs(tmp_path, change, named):
    records = Records(tmp_path / "out")
    records.claim(IDENTITY)
    records.append("1", {"psnr": 1.0}, 0)
    assert re.search(f"out holds results with {named} give another --out_dir", records.claim(IDENTITY | change))
    assert records.claim(IDENTITY) is None
    assert records.read() == {"1": {"psnr": 1.0}}


@pytest.mark.parametrize("text", [b"[1]", b"{", b"\xff", b"7"])
def test_a_damaged_note_of_the_run_is_named(tmp_path, text):
    records = Records(tmp_path)
    records.claim(IDENTITY)
    (tmp_path / "records/run.json").write_bytes(text)
    assert "run.json is damaged; remove " in records.claim(IDENTITY)


def test_lines_that_are_no_records_count_as_none(tmp_path):
    records = Records(tmp_path)
    records.append("1", {"psnr": 1.0}, 0)
    with (tmp_path / "records/rank0.jsonl").open("ab") as file:
        file.write(b'5\n"a"\n\xff\n[1, {}]\n["2", 3]\n["3"]\n')
    records.append("4", {}, 0)
    assert records.read() == {"1": {"psnr": 1.0}, "4": {}}


def test_all_is_forgotten(tmp_path):
    records = Records(tmp_path)
    records.clear()
    records.claim(IDENTITY)
    records.append("1", {}, 3)
    records.clear()
    assert records.read() == {}
    records.claim({"benchmark": "another"})
