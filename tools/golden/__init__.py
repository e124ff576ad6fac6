"""Stored outputs of the original implementation, and how this code is compared with them.

A file here checks one kind of case; `CHECKS` of each names the stored files (family/file, without .npz) and
the function that compares one of them.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Stored = dict[str, NDArray[Any]]
Checks = dict[str, tuple[float, float]]  # quantity -> (error, tolerance)


def load(path: Path) -> Stored:
    """The arrays of a stored file."""
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def indices(stored: Stored, name: str) -> list[int]:
    """The numbers i of the arrays called `name`_i."""
    tails = [key.removeprefix(f"{name}_") for key in stored if key.startswith(f"{name}_")]
    return sorted(int(tail) for tail in tails if tail.isdigit())


def differing(ours: Any, stored: Any) -> tuple[float, float]:
    """The share of differing values, of which there must be none; infinite for another shape."""
    ours, stored = np.asarray(ours), np.asarray(stored)
    return (float(np.mean(ours != stored)) if ours.shape == stored.shape else float("inf")), 0.0


def largest(ours: Any, stored: Any, tolerance: float) -> tuple[float, float]:
    """The largest absolute difference; infinite for another shape, or where one alone is not a number."""
    ours, stored = np.asarray(ours, np.float64), np.asarray(stored, np.float64)
    if ours.shape != stored.shape or (np.isnan(ours) != np.isnan(stored)).any():
        return float("inf"), tolerance
    return float(np.nan_to_num(np.abs(ours - stored)).max(initial=0)), tolerance
