"""Installs the packages of this repository; the requirements are those of requirements.txt.

They are installed from a clone (`pip install -e .`): the weights and prompts in assets/ are in no wheel.
"""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
LINES = (HERE / "requirements.txt").read_text().splitlines()

setup(
    name="painter",
    version="0.2.0",
    description="Images Speak in Images: a generalist painter for in-context visual learning",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    packages=find_packages(
        include=[f"{name}*" for name in ("models", "data", "engine", "util", "eval", "tools", "configs")]
    ),
    install_requires=[line for line in LINES if line and not line.startswith("#")],
    extras_require={
        "demo": ["gradio>=6.31,<7"],
        "dev": ["pytest>=8.4", "pytest-xdist>=3.6", "hypothesis>=6.90", "ruff>=0.6", "mypy>=1.11"],
        "hub": ["huggingface_hub>=0.24"],
        "timm": ["timm>=1.0", "torchvision"],
        "wandb": ["wandb>=0.17"],
    },
)
