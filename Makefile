# Everything runs in an environment of its own, .venv, pinned by constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
MEASURED ?= bench.json
BASE ?= benchmarks/measured.json
TESTS ?= not long and not web and not cluster
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadgroup
# Without compiled files every start imports torch for ten seconds longer; .venv is ours to write to.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run test test-long mutants test-web web-tools test-cluster lint format type bench bench-compare docs ui clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(READY): pyproject.toml constraints.txt $(wildcard plugins/*/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "mmtk needs Python 3.11 or newer; say which: make PYTHON=/path/to/python3.12 …"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev]' \
		$(addprefix -e ,$(wildcard plugins/*))
	@touch $@

run: $(READY)  ## train MultiMix on synthetic X-rays: numbers, pictures, an MLflow run
	$(BIN)/mmtk run recipes/multimix.toml $(SET)

test: $(READY)  ## the tests, about 5 minutes on 2 cores
	$(PYTEST) -m "$(TESTS)"

test-long: mutants  ## what takes seconds to minutes: long loops, whole studies, and whether the tests kill the known bugs
	$(PYTEST) -m long

mutants: $(READY)  ## whether the tests kill the known bugs
	OMP_NUM_THREADS=1 $(BIN)/python tests/mutants

test-web: $(READY) web-tools  ## what needs Chromium or a real MLflow server
	$(PYTEST) -m web

web-tools:  ## install what these tests need, Chromium and PostgreSQL, where it may
	@command -v chromium >/dev/null || { apt-get -qq update && apt-get -qq install -y chromium >/dev/null; }
	@ls -d /usr/lib/postgresql/*/bin >/dev/null 2>&1 || command -v initdb >/dev/null || \
		{ apt-get -qq update && apt-get -qq install -y postgresql >/dev/null; }

test-cluster: $(READY)  ## launchers on a real Slurm on this machine; needs root, slurm-wlm and munge
	$(BIN)/python -m pytest -m cluster

lint: $(READY)  ## ruff: rules and format; imports against the order of packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

format: $(READY)  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

type: $(READY)  ## mypy, strict on the core
	$(BIN)/mypy

bench: $(READY)  ## what mmtk costs here, a plain implementation beside it, into MEASURED (bench.json)
	$(BIN)/python benchmarks/all.py $(MEASURED)

bench-compare: $(READY)  ## MEASURED against BASE (benchmarks/measured.json), as ratios; fails where a row grew by 15 %
	$(BIN)/python benchmarks/compare.py $(BASE) $(MEASURED)

docs: $(READY)  ## the reference from the installed components, then the site, strictly, in site/
	$(BIN)/python docs/make_reference.py
	$(BIN)/python docs/make_architecture.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Open site/index.html in a browser; search works without a server."

ui: $(READY)  ## the MLflow page of the runs made here
	$(BIN)/mlflow ui --backend-store-uri sqlite:///mlflow.db

clean:  ## remove .venv and caches, not the runs
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache .hypothesis
