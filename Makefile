# Everything below works on a machine with Python 3.11 or 3.12 and nothing else installed.
#   make demo    set up, then two made-up patients through a real server: look into demo/
#   make test    set up, then all tests (the others: make help)

# The first Python that fits (Debian and Ubuntu keep ensurepip in a package of its own); another one:
# make setup PYTHON=/path/to/python3.12
FITS = import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))
PYTHON ?= $(shell for p in python3 python3.12 python3.11 python; do \
	$$p -c '$(FITS)' >/dev/null 2>&1 && echo $$p && break; done)

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
STAMP := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test coverage lint format serve bench clean

help:
	@echo "make demo | test | coverage | setup | serve STUDIES=folder | lint | format | bench | clean"

setup: $(STAMP)

# Newer than its two inputs: nothing to do. PyTorch first, so that nothing after it chooses another build.
$(STAMP): pyproject.toml constraints.txt
	@$(or $(PYTHON),false) -c '$(FITS)' || { echo "Error: Python 3.11 or 3.12 with venv is needed; install it (on Debian and Ubuntu with python3-venv) or set PYTHON=." >&2; exit 2; }
	@echo "Setting up $(VENV) (once; some minutes) ..."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) --editable '.[server,train,test,dev]'
	$(PIP) --no-deps monailabel==0.8.5
	@touch $@

demo: $(STAMP)
	@$(BIN)/brainmvp demo --out demo

# A process per core, each of one thread, and the tests of one file in one process: they share what is slow to start.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --durations=15

test: $(STAMP)
	$(PYTEST)

coverage: $(STAMP)
	$(PYTEST) --cov

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

serve: $(STAMP)
	@test -n "$(STUDIES)" || { echo "Error: say which folder of studies, as in: make serve STUDIES=demo/studies" >&2; exit 2; }
	@$(BIN)/brainmvp serve --studies "$(STUDIES)"

bench: $(STAMP)
	$(BIN)/python benchmarks/networks.py
	$(BIN)/python benchmarks/segment.py
	$(BIN)/python benchmarks/slicer_module.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .coverage .coverage.*
