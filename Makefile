# Every target sets up what it needs. `make setup` runs again only when the lock or the project file changed.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.meshwise-setup

.PHONY: help setup demo test check bench figures docs lock clean

help:
	@echo "make demo    the platform, the shop behind proxies, load, a fault, and the loop closing (Ctrl-C stops it)"
	@echo "make test    the whole test suite"
	@echo "make check   ruff, mypy, import-linter, documentation checks"
	@echo "make bench NAME=proxy   one benchmark, written to benchmarks/results/"
	@echo "make figures            proposals, replay, judge and the real loop: hours, and it wants the machine to itself"
	@echo "make docs    regenerate the reference pages from the code"
	@echo "make setup   the virtual environment only; make clean removes it and every build product"

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml tools/setup.sh
	@tools/setup.sh "$(PYTHON)" "$(VENV)"
	@touch $@

demo: setup
	@exec $(BIN)/meshwise demo

# The whole demo wants the machine to itself, so the rest runs first, in the order and by the workers of tests/conftest.py.
# Tests start hundreds of processes: where no bytecode is kept, each would compile all our sources again.
test: export PYTHONDONTWRITEBYTECODE :=
test: setup
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder -m "not e2e"
	@$(BIN)/python -m pytest -m e2e tests/e2e

check: setup
	@$(BIN)/python -m tools.check

bench: setup
	@$(BIN)/python -m benchmarks.$(NAME) --json benchmarks/results/$(NAME).json

# The suite of policies takes over what the real loop gave.
SEED ?= 911
RESULTS := benchmarks/results
figures: setup
	@mkdir -p $(RESULTS)
	@$(BIN)/python -m benchmarks.live --defaults --json $(RESULTS)/live.json
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.policy --seed $(SEED) --live $(RESULTS)/live.json --json $(RESULTS)/policy.json
	@$(BIN)/python -m benchmarks.judge --json $(RESULTS)/judge.json

docs: setup
	@$(BIN)/python -m tools.reference
	@$(BIN)/python -m tools.compose

# Pins are resolved once for every supported Python and platform; hashes make the install repeatable.
lock: setup
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 \
	    --generate-hashes --no-annotate --no-header --quiet --output-file requirements.lock

clean:
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
