"""The eight sources of the paper, with its sampling weights (they are relative, and sum to 1.15)."""

from collections.abc import Mapping
from dataclasses import replace

from data.tasks import SOURCES
from engine.config import Source

WEIGHTS = {
    "nyuv2_depth": 0.10,
    "ade20k_semantic": 0.20,
    "coco_instance": 0.15,
    "coco_semantic": 0.25,
    "coco_pose": 0.20,
    "denoise": 0.15,
    "derain": 0.05,
    "enhance": 0.05,
}


def source(name: str, weight: float = 1.0) -> Source:
    """The source of a task in data/tasks/, with the lists that its preparation writes."""
    lists = SOURCES[name].lists
    return Source(train=lists["train"], weight=weight, val=lists["val"])


EIGHT_SOURCES = {name: source(name, weight) for name, weight in WEIGHTS.items()}


def weighted(sources: Mapping[str, Source], weights: Mapping[str, float]) -> dict[str, Source]:
    """The sources, some of them drawn with other weights."""
    return {name: replace(source, weight=weights.get(name, source.weight)) for name, source in sources.items()}
