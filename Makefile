# Every target sets up what it needs: a virtual environment in .venv, made once and again when pyproject.toml changes.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
SHELL := /bin/bash -o pipefail

.PHONY: setup demo test lint

setup: $(READY)

demo: $(READY)
	$(BIN)/millis run pipeline/recipes/quickstart.yaml -o runs/quickstart

test: lint
	$(BIN)/python -m pytest -m "slow or not slow"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "millis needs Python 3.11 or newer, but $(PYTHON) is $$($(PYTHON) --version 2>&1);" \
	         "name another one: make $(or $(MAKECMDGOALS),setup) PYTHON=python3.11" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv || { \
	    echo "this Python cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@echo "setting up .venv: the first time this downloads some gigabytes, PyTorch above all"
	@$(BIN)/python -m pip install --editable '.[dev]' 2>&1 | tee .venv/setup.log | sed -nuE \
	    -e 's/^ *Downloading ([^ ]+) \(([0-9.]+ GB|[0-9]{3}[0-9.]* MB)\)$$/  downloading \1 (\2)/p' \
	    -e 's/^Installing collected packages:.*/  installing/p' \
	|| { tail -n 20 .venv/setup.log >&2; echo "set-up failed; the whole log is .venv/setup.log" >&2; exit 1; }
	@touch $@
