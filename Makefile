# make demo   install, make a toy world of the eight data sets, train a small Painter on the CPU, show pictures
# make test   install, run the whole test suite in two processes
# make speed  install, measure a small network on a small canvas, the loader and decoding beside the plain ways, in about a minute
# make lint   style and types alone
# All install into .venv once, and again only when the requirements change. PYTHON=python3.12 picks another Python.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test speed lint install clean
demo: install
	$(BIN)/python tools/demo.py

test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile

speed: install
	$(BIN)/python tools/speed.py all --quick --model painter_vit_small --canvas 448 224

lint: install
	$(BIN)/ruff check .
	$(BIN)/mypy

install: $(STAMP)

$(STAMP): requirements.txt setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Painter needs Python 3.11 or newer; $(PYTHON) is older. Try: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "could not make .venv; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "installing into .venv (a minute; log in .venv/install.log)"
	@$(BIN)/python -m pip install -e '.[dev]' > .venv/install.log 2>&1 || { tail -n 20 .venv/install.log; echo "installation failed; the whole log is .venv/install.log"; exit 1; }
	@touch $@

clean:
	rm -rf .venv demo
