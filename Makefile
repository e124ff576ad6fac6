# make demo   install, make a toy world of the eight data sets, show what the shipped small Painter paints on the CPU
# make demo-train   the same, with a small Painter that is trained now, on the CPU
# make toy    install, train the shipped weights anew on two CPU cores, into assets/painter_toy: about seven and a half hours
# make test   install, run the whole test suite in two processes
# make speed  install, measure a small network on a small canvas, the loader and decoding beside the plain ways, in about a minute
# make lint   style and types alone
# All install into .venv once, and again only when the requirements change. PYTHON=python3.12 picks another Python.

PYTHON ?= python3
BIN := .venv/bin
CORE := .venv/.core
DEV := .venv/.dev
define pip
@echo "installing into .venv (a minute; log in .venv/install.log)"
@$(BIN)/python -m pip install --no-compile -e $(1) > .venv/install.log 2>&1 || { tail -n 20 .venv/install.log; echo "installation failed; the whole log is .venv/install.log"; exit 1; }
@touch $@
endef
TRAIN := OMP_NUM_THREADS=1 $(BIN)/torchrun --nproc_per_node 2 tools/train.py

.PHONY: demo demo-train toy test speed lint install clean
demo: $(CORE)
	$(BIN)/python tools/demo.py

demo-train: $(CORE)
	$(BIN)/python tools/demo.py train

toy: $(CORE)
	$(BIN)/python tools/make_toy_datasets.py runs/toy/world --scenes 1200 --seed 1
	$(BIN)/python tools/prepare.py all --root runs/toy/world
	$(TRAIN) toy_half
	$(TRAIN) toy_half --init runs/toy/half/last --optim.loss l1l2 --optim.steps 3500 --optim.warmup 100 --out_dir runs/toy/half_2
	$(TRAIN) toy_half --model.img_size 256 128 --init runs/toy/half_2/last --optim.loss l1l2 --optim.lr 3e-4 --optim.steps 1500 --optim.warmup 50 --out_dir runs/toy/full
	$(TRAIN) toy
	$(TRAIN) toy_joints
	$(TRAIN) toy_finish
	$(TRAIN) toy_restore
	$(BIN)/python tools/export.py runs/toy/restore/last assets/painter_toy --precision bf16

test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

speed: install
	$(BIN)/python tools/speed.py all --quick --model painter_vit_small --canvas 448 224

lint: install
	$(BIN)/ruff check .
	$(BIN)/mypy

install: $(DEV)

$(CORE): requirements.txt setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Painter needs Python 3.11 or newer; $(PYTHON) is older. Try: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "could not make .venv; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(call pip,.)

$(DEV): $(CORE)
	$(call pip,'.[dev]')

clean:
	rm -rf .venv demo
