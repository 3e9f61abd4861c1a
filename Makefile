# Everything that a person does with this repository. `make run` and `make test` need nothing but
# Python 3.11 or newer; they set up .venv on first use and are quick afterwards.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8501

.PHONY: help install run test lint format bench pictures bundle runs clean

help:
	@echo "make run       install and open the app on a bundled trained network"
	@echo "make test      install and run every check and test"
	@echo "make lint      ruff and mypy alone"
	@echo "make format    let ruff format the code"
	@echo "make bench     benchmarks: ratios against peers, each measured in one run"
	@echo "make pictures  take the pictures of README again (needs Chromium)"
	@echo "make bundle    make all bundled analyses again"
	@echo "make runs      train and measure the bundled runs again (hours); RUNS=… names some of them"

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; install it, or name it: make run PYTHON=…" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.app: requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.test: requirements.txt requirements-timm.txt requirements-fast.txt requirements-lightning.txt requirements-transformers.txt requirements-test.txt | $(VENV)/.app
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-test.txt
	@touch $@

install: $(VENV)/.app

run: install
	$(BIN)/streamlit run app.py --server.port $(PORT)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy core

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.test
	$(BIN)/python -m benchmarks

pictures: $(VENV)/.test
	$(BIN)/python -m scripts.pictures

bundle: install
	$(BIN)/python -m scripts.bundle
	$(BIN)/python -m scripts.bundle_profiles

runs: install
	OMP_NUM_THREADS=1 $(BIN)/python -m scripts.train_runs --out build/runs $(RUNS)
	OMP_NUM_THREADS=1 $(BIN)/python -m scripts.bundle_runs --from build/runs $(RUNS)
	OMP_NUM_THREADS=1 $(BIN)/python -m scripts.bundle_robustness
	$(if $(RUNS),,OMP_NUM_THREADS=1 $(BIN)/python -m scripts.train_grid --out build/runs/grid.json)
	$(if $(RUNS),,OMP_NUM_THREADS=1 $(BIN)/python -m scripts.train_sizes --out build/runs/sizes.json)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
