"""Compare this code with stored outputs of the original implementation, case by case.

    python tools/check_golden.py tests/golden

prints a line a case (name, the error that comes nearest to its tolerance, PASS or FAIL), then "N passed, M
failed"; the exit code is 0 only if there was something to check and all of it passed. DIR may be a whole tree
(model/, eval/) or one family of it. The full ViT-L case takes about a minute and 5 GB.
"""

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import Positional

import tools.golden
from models.attention import Choice
from tools.golden import Checks, model

_FILES = pkgutil.iter_modules(tools.golden.__path__)
_MODULES = [importlib.import_module(f"tools.golden.{file.name}") for file in _FILES]
CHECKS = {name: check for module in _MODULES for name, check in getattr(module, "CHECKS", {}).items()}


def find_cases(folder: Path, attention: str) -> Iterator[tuple[str, Any]]:
    """(name, function returning Checks) for every case under `folder`; an unknown family is a case that fails."""
    if (folder / "cases.json").is_file():
        yield from model.cases(folder, attention)
    elif files := sorted(folder.glob("*.npz")):
        for file in files:
            check = CHECKS.get(f"{folder.name}/{file.stem}")
            yield file.stem, partial(check, file) if check else _unknown
    else:
        for child in sorted(path for path in folder.iterdir() if path.is_dir()):
            for name, check in find_cases(child, attention):
                yield f"{child.name}/{name}" if name != child.name else name, check


def main(folder: Annotated[Positional[Path], tyro.conf.arg(metavar="DIR")], attention: Choice = "auto") -> int:
    """Check every golden case under DIR; returns the exit code.

    Args:
        folder: a tree of golden cases, or one family of it
        attention: attention back end under test
    """
    if not folder.is_dir():
        raise SystemExit(f"{folder} is not a folder; give the folder that holds model/ or eval/")
    verdicts = [_report(name, check) for name, check in find_cases(folder, attention)]
    if not verdicts:
        print(f"no golden case under {folder}; expected model/cases.json or eval/NN_*/*.npz")
    print(f"{sum(verdicts)} passed, {len(verdicts) - sum(verdicts)} failed")
    return 0 if verdicts and all(verdicts) else 1


def _report(name: str, check: Any) -> bool:
    """Run one case and print its line."""
    try:
        if not (checks := check()):
            raise ValueError("nothing in it was compared")
    except Exception as error:  # a case that cannot run is a failed case, whatever the reason
        print(f"{name:44s} {type(error).__name__}: {error}  FAIL", flush=True)
        return False
    failed = [key for key, (error, tolerance) in checks.items() if not error <= tolerance]
    key = max(checks, key=lambda key: _share(*checks[key]))
    verdict = f"FAIL ({', '.join(failed)})" if failed else "PASS"
    print(f"{name:44s} {key}: error {checks[key][0]:.1e}, allowed {checks[key][1]:.1e}  {verdict}", flush=True)
    return not failed


def _share(error: float, tolerance: float) -> float:
    """How much of the tolerance an error takes; NaN takes all."""
    return 0 if error == 0 else error / tolerance if tolerance and error == error else float("inf")


def _unknown() -> Checks:
    raise ValueError("no check is known for this file")


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
