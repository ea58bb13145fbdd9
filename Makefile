# `make demo` and `make test` need Python 3.11 or newer and nothing else. `.tools` holds uv, which makes `.venv`
# from the locks; both lie in this folder and can be thrown away at any time.

SHELL := bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3)
UV := .tools/bin/uv
BIN := .venv/bin
# Which Python is the newcomer's choice, and an activated environment is not the one meant here.
export UV_PYTHON_DOWNLOADS := never
unexport VIRTUAL_ENV

# The development environment holds all that the demo needs, so where it stands the demo runs in it.
DEV := .venv/.dev
# MLflow's clients, of either generation, and its server, which ours is held against.
CLIENTS := .mlflow/2/.ready .mlflow/3/.ready
DEMO := $(if $(wildcard $(DEV)),$(DEV),.venv/.demo)

.PHONY: help
help:  ## say what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 10

.PHONY: demo
demo: $(DEMO)  ## replay a year of real flights; KEEP=1 leaves mainspring running with its page
	$(BIN)/python examples/late-arrivals/replay.py $(if $(KEEP),--keep)

.PHONY: test
test: lint types imports tests  ## everything that CI checks

.PHONY: lint
lint: $(DEV)  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: types
types: $(DEV)  ## mypy, strict
	$(BIN)/mypy

.PHONY: imports
imports: $(DEV)  ## words < stages < shell < doors
	$(BIN)/lint-imports --no-logo

.PHONY: tests
tests: $(DEV) $(CLIENTS)  ## pytest: tests, doctests and the documents' examples
	$(BIN)/pytest -n 2 --dist worksteal

.PHONY: coverage
coverage: $(DEV) $(CLIENTS)  ## the same, with what the tests run of each file; it takes a third longer
	$(BIN)/pytest -n 2 --dist worksteal --cov --cov-report=term:skip-covered

.PHONY: format
format: $(DEV)  ## rewrite what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: dev
dev: $(DEV)  ## the environment for working on mainspring, in .venv

# An unchanged lock keeps its versions; UPGRADE=1 takes the newest that pyproject.toml allows.
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

.PHONY: lock
lock: $(UV)  ## write the locks again; UPGRADE=1 takes newer versions
	$(COMPILE) locks/bootstrap.in --output-file locks/bootstrap.txt
	$(COMPILE) locks/build.in --output-file locks/build.txt
	$(COMPILE) locks/mlflow-2.in --output-file locks/mlflow-2.txt
	$(COMPILE) locks/mlflow-3.in --output-file locks/mlflow-3.txt
	$(COMPILE) locks/demo-data.in --no-deps --output-file locks/demo-data.txt
	$(COMPILE) pyproject.toml --extra dev --output-file locks/dev.txt
	$(COMPILE) pyproject.toml --extra demo --constraints locks/dev.txt --output-file locks/demo.txt

.PHONY: oldest
oldest: $(UV)  ## the tests against the oldest releases that pyproject.toml allows, in an environment of their own
	$(UV) venv --quiet --clear --python $(PYTHON) .oldest
	$(UV) pip install --quiet --python .oldest/bin/python --build-constraints locks/build.txt \
		--resolution lowest-direct --editable '.[dev]'
	$(UV) pip install --quiet --python .oldest/bin/python --require-hashes --no-deps -r locks/demo-data.txt
	.oldest/bin/python -m pytest -n 2

.PHONY: clean
clean:  ## throw away the environments and what the tools left
	rm -rf .venv .oldest .peers .mlflow .tools build dist .coverage .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(UV): locks/bootstrap.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "mainspring needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .tools
	.tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/bootstrap.txt
	@touch $@

# `sync` installs exactly what the locks name, and `--build-constraints` holds the build tool to its hash as well. Code is
# compiled once, and not by each process that starts where Python may not write.
.venv/.%: locks/%.txt locks/demo-data.txt locks/build.txt pyproject.toml $(UV)
	test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) .venv
	rm -f .venv/.demo .venv/.dev
	$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes --build-constraints locks/build.txt \
		locks/$*.txt locks/demo-data.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --build-constraints locks/build.txt --editable .
	@touch $@

.mlflow/%/.ready: locks/mlflow-%.txt $(UV)
	$(UV) venv --quiet --clear --python $(PYTHON) .mlflow/$*
	$(UV) pip sync --quiet --compile-bytecode --python .mlflow/$*/bin/python --require-hashes locks/mlflow-$*.txt
	@touch $@
