# Every task of the project. `make demo` and `make test` set up by themselves.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 2

.PHONY: setup demo test test-fast check lint bench bench-labels lock clean

setup: $(STAMP)

# torch's own dependencies stay outside the lock (they differ between CPU and CUDA builds), so pip installs, not syncs.
$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(STAMP)

demo: setup
	$(BIN)/muster init --template pumps examples/pumps
	$(BIN)/muster run examples/pumps --demo

test: setup
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup --durations=40

test-fast: setup
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup -m "not slow"

check: lint
	$(BIN)/mypy
	$(BIN)/lint-imports

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/yamllint -s .

bench: setup
	$(BIN)/python benchmarks/main_job.py

# MUSTER_PEER_PYTHON names an interpreter with snorkel==0.10.0 (docs/benchmarks.md).
bench-labels: setup
	$(BIN)/python -m benchmarks.weak_labels

# Compile the lock anew from pyproject.toml under the bounds of constraints.txt.
lock:
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --python-version 3.11 --no-emit-index-url --no-emit-find-links --no-header \
	  $(foreach folder,$(PIP_FIND_LINKS),--find-links $(folder)) \
	  --all-extras --constraint constraints.txt pyproject.toml --output-file requirements.lock
	sed -i 's/^torch==\([0-9.]*\)+cpu/torch==\1/' requirements.lock

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -rf examples/*/raw examples/*/truth examples/*/out examples/*/.muster examples/*/inventory.csv
