#!/usr/bin/env bash
# Sourced: `here`, the repository; `python`, PYTHON or .venv/bin/python or python3; its packages can be imported.
here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
python="${PYTHON:-$here/.venv/bin/python}"
command -v "$python" > /dev/null || python=python3
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
