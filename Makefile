# Everything a stranger needs: `make demo` and `make test` work on a machine that has Python >= 3.11,
# make and a package index. The virtual environment is made on the way, once.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PROTOS := $(sort $(wildcard protos/transplant/v1/*.proto))
STUBS := --python_out --pyi_out --grpc_python_out
OUT ?= build/demo
PYTEST_ARGS ?=
RUNS ?= 100000

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

# --- the virtual environment ---------------------------------------------------------------------

.PHONY: venv
venv: $(STAMP) ## Make .venv with everything that demo, tests and lint need

# The first interpreter that runs and is new enough; PYTHON=... on the command line overrules.
$(STAMP): pyproject.toml deploy/constraints.txt
	@if [ ! -x $(BIN)/python ]; then \
	  python=; \
	  for candidate in $${PYTHON:-python3 python3.13 python3.12 python3.11}; do \
	    if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	      python="$$candidate"; break; \
	    fi; \
	  done; \
	  if [ -z "$$python" ]; then \
	    echo "error: Python 3.11 or newer is needed and none of '$${PYTHON:-python3 python3.13 python3.12 python3.11}'" \
	         "is one. Install it, or name yours: make PYTHON=/path/to/python $(MAKECMDGOALS)" >&2; \
	    exit 1; \
	  fi; \
	  echo "making $(VENV) with $$("$$python" --version)"; \
	  if ! "$$python" -m venv $(VENV); then \
	    rm -rf $(VENV); \
	    echo "error: '$$python -m venv' failed (on Debian and Ubuntu: apt-get install python3-venv)" >&2; \
	    exit 1; \
	  fi; \
	fi
	@echo "installing into $(VENV) (2 GB and a few minutes the first time)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --constraint deploy/constraints.txt --editable '.[dev]'
	@touch $@

# --- generated stubs -----------------------------------------------------------------------------

.PHONY: stubs
stubs: $(STAMP) ## Generate transplant/v1 from protos/
	$(BIN)/python -m grpc_tools.protoc -Iprotos $(addsuffix =.,$(STUBS)) $(PROTOS)

.PHONY: stubs-check
stubs-check: $(STAMP) ## Fail if transplant/v1 is not what protos/ generates
	@fresh="$$(mktemp -d)"; trap 'rm -rf "$$fresh"' EXIT; \
	$(BIN)/python -m grpc_tools.protoc -Iprotos $(foreach out,$(STUBS),$(out)="$$fresh") $(PROTOS); \
	if ! diff -ru -x __init__.py -x __pycache__ transplant/v1 "$$fresh/transplant/v1"; then \
	  echo "error: transplant/v1 has drifted from protos/: run 'make stubs' and commit" >&2; exit 1; \
	fi; \
	echo "stubs: transplant/v1 is what protos/ generates"

# --- checks --------------------------------------------------------------------------------------

.PHONY: format
format: $(STAMP) ## Rewrite the code in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: lint
lint: $(STAMP) ## Style, import contracts, types, dependencies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/basedpyright
	$(BIN)/deptry .

# Tests share the cores, but for those that need the machine alone (a Ray, a whole federation as processes).
.PHONY: test
test: $(STAMP) ## All tests
	$(BIN)/pytest -m 'not alone' -n 2 --dist loadfile --durations=10 $(PYTEST_ARGS)
	$(BIN)/pytest -m alone --durations=10 $(PYTEST_ARGS)

.PHONY: test-fast
test-fast: $(STAMP) ## The tests that take less than ten seconds each
	$(BIN)/pytest -m 'not slow' -n 2 --dist loadfile $(PYTEST_ARGS)

.PHONY: access
access: $(STAMP) ## Call every RPC as everybody who must not; what came of it goes to build/access as records
	rm -rf build/access
	TRANSPLANT_ACCESS_RECORDS=build/access $(BIN)/pytest \
	  tests/integration/test_access_matrix.py tests/integration/test_serving_access.py

# What a run finds is written to build/fuzz as crash-*; tests/fuzz/__main__.py says how to go on.
.PHONY: fuzz
fuzz: $(STAMP) ## Fuzz the parsers of artifacts and manifests, RUNS=100000 executions each
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --constraint deploy/constraints.txt --editable '.[fuzz]'
	for target in artifact manifest; do \
	  PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -m fuzz $$target -runs=$(RUNS); \
	done

# --- the demo ------------------------------------------------------------------------------------

.PHONY: demo
demo: $(STAMP) ## One center, five sites, one universal net: ends with a table and build/demo/report.json
	$(BIN)/transplant-bench journey --data scenes --fresh --out $(OUT)

.PHONY: clean
clean: ## Remove what was built (not .venv; `rm -rf .venv` does that)
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage*
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +
