"""The measuring tool, on small images: equal results, one JSON object, a table; it would see a wrong mask."""

import json

import pytest
import torch

from data.tasks.instance import Instances
from tools import speed

WORKS = ["instance_decode_480x640", "semantic_decode_480x640"]
WORST = "instance_decode_480x640_random_colors"


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(speed, "SIZE", (24, 32))


def test_json_is_one_object_and_nothing_else(capsys):
    threads = torch.get_num_threads()
    assert speed.main("decode", quick=True, json_=True) == 0
    out = capsys.readouterr().out
    content = json.loads(out)
    assert set(content) == {"rows", "machine"}
    assert [row["work"] for row in content["rows"]] == WORKS
    for row in content["rows"]:
        assert set(row) == {"work", "ours_s", "baseline_s", "ratio", "max_error"}
        assert row["ratio"] == pytest.approx(row["baseline_s"] / row["ours_s"])
        assert row["ratio"] > 1
        assert row["max_error"] < 1e-6
    assert content["machine"]["threads"] == 1
    assert torch.get_num_threads() == threads


def test_the_table_has_the_worst_case_too(capsys):
    assert speed.main("decode") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["work", *WORKS, WORST]


def test_errors_are_seen():
    masks, scores = torch.eye(3, dtype=torch.bool).view(3, 1, 3), torch.tensor([0.5, 0.5, 0.2])
    first = Instances(masks, scores)
    assert speed.instance_error(first, Instances(masks[[1, 0, 2]], scores)) == 0
    assert speed.instance_error(first, Instances(masks, scores - 0.1)) == pytest.approx(0.1)
    assert speed.instance_error(first, Instances(masks[[0, 0, 2]], scores)) == float("inf")
    assert speed.instance_error(first, Instances(masks[:2], scores[:2])) == float("inf")


def test_a_painted_prediction_has_thousands_of_colors(monkeypatch):
    monkeypatch.setattr(speed, "SIZE", (480, 640))
    image = speed._painted_instances(speed.np.random.default_rng(0))
    assert image.shape == (480, 640, 3)
    assert len(image.view(-1, 3).unique(dim=0)) > 50_000
