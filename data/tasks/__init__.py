"""The tasks: every `Task` that a file of this folder makes. A new task is one file here and an entry in a config."""

import difflib
import importlib
import pkgutil

from data.tasks.base import Entry, Interp, Job, Size, Task

__all__ = ["SOURCES", "TASKS", "Entry", "Interp", "Job", "Size", "Task", "task_of"]

_MODULES = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]

_FOUND = {id(value): value for module in _MODULES for value in vars(module).values() if isinstance(value, Task)}

SOURCES: dict[str, Task] = {task.name: task for task in _FOUND.values()}
"""tasks by the name of their source"""
TASKS: dict[str, Task] = {task.type: task for task in _FOUND.values()}
"""tasks by the `type` of their pairs"""

if min(len(SOURCES), len(TASKS)) < len(_FOUND):
    raise ValueError("two tasks in data/tasks/ have one name or one type; give each its own")


def task_of(pair_type: str) -> Task:
    """The task that paints pairs of this type; ValueError names the near ones if unknown."""
    if pair_type not in TASKS:
        near = difflib.get_close_matches(pair_type, TASKS, n=2) or TASKS
        raise ValueError(f"unknown type {pair_type!r}; did you mean {' or '.join(near)}?")
    return TASKS[pair_type]
