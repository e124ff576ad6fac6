"""The tasks: every `Task` that a file of this folder makes. A new task is one file here and an entry in a config."""

import difflib
import importlib
import pkgutil
from collections import Counter
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
    """The task of a source, by its name or by a word of it that no other has: `nyuv2_depth`, `depth`, `pose`.

    ValueError lists the names, and suggests near ones.
    """
    found = [name] if name in SOURCES else [source for source in SOURCES if name in source.split("_")]
    if len(found) > 1:
        raise ValueError(f"task {name!r} may be {', '.join(found)}; give one of them")
    if not found:
        num = Counter(word for source in SOURCES for word in source.split("_"))
        known = dict.fromkeys([*SOURCES, *(word for word in num if num[word] == 1)])
        near = " or ".join(difflib.get_close_matches(name, known, n=2))
        raise ValueError(f"task {name!r} is none of {', '.join(SOURCES)}{near and f'; did you mean {near}?'}")
    return SOURCES[found[0]]


def task_of(pair_type: str) -> Task:
    """The task that paints pairs of this type; ValueError names the near ones if unknown."""
    if pair_type not in TASKS:
        near = difflib.get_close_matches(pair_type, TASKS, n=2) or TASKS
        raise ValueError(f"unknown type {pair_type!r}; did you mean {' or '.join(near)}?")
    return TASKS[pair_type]
