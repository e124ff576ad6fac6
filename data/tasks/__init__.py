"""The tasks: every `Task` that a file of this folder makes. A new task is one file here and an entry in a config."""

import difflib
import importlib
import pkgutil
from collections.abc import Iterable

from data.tasks.base import Entry, Interp, Job, Size, Task

__all__ = ["SOURCES", "TASKS", "Entry", "Interp", "Job", "Size", "Task", "keyed", "task_named", "task_of"]


def keyed(tasks: Iterable[Task], attribute: str) -> dict[str, Task]:
    """The tasks by this attribute; ValueError if two that are not the same have it in common."""
    found: dict[str, Task] = {}
    for task in tasks:
        if missing := [name for name in (attribute, "lists") if not hasattr(task, name)]:
            raise ValueError(f"{type(task).__module__}: {type(task).__name__} has no {missing[0]}; give it one")
        key = getattr(task, attribute)
        if found.setdefault(key, task) is not task:
            kinds = f"{type(found[key]).__name__} and {type(task).__name__}"
            raise ValueError(f"two tasks, {kinds}, have the {attribute} {key!r}; give each its own")
    return found


_MODULES = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
_ALL = [value for module in _MODULES for value in vars(module).values() if isinstance(value, Task)]

SOURCES = keyed(_ALL, "name")
"""tasks by the name of their source"""
TASKS = keyed(_ALL, "type")
"""tasks by the `type` of their pairs"""


def task_named(name: str) -> Task:
    """The task of a source, whose name may be cut short as far as it stays the only one: `depth`, `pose`.

    ValueError names those that there are.
    """
    found = [task for source, task in SOURCES.items() if name == source] or [
        task for source, task in SOURCES.items() if name and name in source
    ]
    if len(found) != 1:
        wrong = "may be" if found else "is none of"
        raise ValueError(f"task {name!r} {wrong} {', '.join(task.name for task in found or SOURCES.values())}")
    return found[0]


def task_of(pair_type: str) -> Task:
    """The task that paints pairs of this type; ValueError names the near ones if unknown."""
    if pair_type not in TASKS:
        near = difflib.get_close_matches(pair_type, TASKS, n=2) or TASKS
        raise ValueError(f"unknown type {pair_type!r}; did you mean {' or '.join(near)}?")
    return TASKS[pair_type]
