"""Pairs that are files already: one folder of images, one of targets, partners of one name."""

from collections.abc import Callable, Collection, Iterator
from pathlib import PurePosixPath

from data.roots import Roots, names

Paths = tuple[str, str]  # image, target
Key = Callable[[str], str | None]  # what a file name and its partner's share; None: a file of another kind

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")


def stem(name: str) -> str | None:
    """`7` of `7.png`."""
    path = PurePosixPath(name)
    return path.stem if path.suffix.lower() in PICTURES else None


def after(prefix: str) -> Key:
    """`00007` of `rgb_00007.jpg`, for the prefix `rgb_`."""
    return lambda name: shared.removeprefix(prefix) if (shared := stem(name)) and name.startswith(prefix) else None


def paired(roots: Roots, folders: Paths, keys: tuple[Key, Key] = (stem, stem)) -> list[Paths]:
    """The pairs of a folder of images and one of targets, by name; ValueError names files without a partner."""
    images, targets = (_keyed(roots, folder, key) for folder, key in zip(folders, keys, strict=True))
    alone = [*(images[key] for key in images.keys() - targets), *(targets[key] for key in targets.keys() - images)]
    if alone:
        more = f" ({len(alone)} such files)" if len(alone) > 1 else ""
        missed_in = folders[min(alone).startswith(f"{folders[0]}/")]
        raise ValueError(f"{min(alone)} has no partner in {missed_in}{more}; copy it again")
    return [(images[key], targets[key]) for key in images]


def is_foreign(roots: Roots, folders: Paths, made: Collection[str], keys: tuple[Key, Key] = (stem, stem)) -> bool:
    """Whether the folders hold pictures that are not among those `made`; they need not exist."""
    return any(
        f"{folder}/{name}" not in made
        for folder, key in zip(folders, keys, strict=True)
        if is_folder(roots, folder)
        for name in names(roots, folder)
        if key(name) is not None
    )


def is_folder(roots: Roots, path: str) -> bool:
    """Whether any root has this folder."""
    return any((root / path).is_dir() for root in roots)


def subfolders(roots: Roots, folder: str) -> Iterator[str]:
    """The folders in a folder, sorted; ValueError if no root has it."""
    return (f"{folder}/{name}" for name in names(roots, folder) if is_folder(roots, f"{folder}/{name}"))


def _keyed(roots: Roots, folder: str, key: Key) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names(roots, folder):
        if (shared := key(name)) is None:
            continue
        if shared in found:
            raise ValueError(f"{found[shared]} and {name} have one name; remove one of them")
        found[shared] = f"{folder}/{name}"
    return found
