"""The house rules that a machine can check: imports go one way; style and types are clean; nothing is pickled."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
FLOOR = {"util": 0, "models": 1, "data": 1, "engine": 2, "configs": 3, "eval": 3, "tools": 4}  # imports go down
SOURCES = [path for package in FLOOR for path in sorted((REPOSITORY / package).rglob("*.py"))]


def imports(path: Path) -> set[str]:
    """Packages of this repository that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} has a relative import"
            found.add(str(node.module).split(".")[0])
    return found & FLOOR.keys()


def test_imports_go_one_way():
    for path in SOURCES:
        package = path.relative_to(REPOSITORY).parts[0]
        for other in imports(path) - {package}:
            assert FLOOR[other] < FLOOR[package], f"{path.relative_to(REPOSITORY)} imports {other}"


def test_files_stay_short():
    long = {str(path): count for path in SOURCES if (count := len(path.read_text().splitlines())) > 250}
    assert not long


def test_every_file_opens_with_its_idea():
    silent = [str(path) for path in SOURCES if path.read_text() and not ast.get_docstring(ast.parse(path.read_text()))]
    assert not silent


@pytest.mark.parametrize(
    "pattern",
    [
        r"weights_only\s*=\s*False",
        r"\bimport pickle\b",
        r"allow_pickle\s*=\s*True",
        r"strict\s*=\s*False",
        r"\beval\(\s*input",
    ],
)
def test_nothing_unsafe(pattern):
    guilty = [str(path) for path in SOURCES if re.search(pattern, path.read_text().replace("zip(strict=False)", ""))]
    assert not guilty


@pytest.mark.parametrize(
    "command", [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]], ids=" ".join
)
def test_style_and_types(command):
    result = subprocess.run(
        [sys.executable, "-m", *command], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_requirements_name_what_is_imported():
    """Every third-party package the core imports is in requirements.txt, or guarded where it is used."""
    distributions = {
        "PIL": "pillow",
        "cv2": "opencv-python-headless",
        "skimage": "scikit-image",
        "tensorboard": "tensorboard",
    }
    named = {
        re.split(r"[<>=]", line)[0]
        for line in (REPOSITORY / "requirements.txt").read_text().splitlines()
        if line and not line.startswith("#")
    }
    guarded = {"timm", "huggingface_hub", "gradio", "wandb", "detectron2", "mmcv", "panopticapi"}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else ([str(node.module)] if isinstance(node, ast.ImportFrom) else [])
            )
            for top in {name.split(".")[0] for name in names}:
                known = top in sys.stdlib_module_names or top in FLOOR or top in guarded
                assert known or distributions.get(top, top) in named, f"{path} imports {top}"
