# What a person or CI runs. Everything happens in .venv, which `make` sets up by itself from a
# Python of 3.11 or newer (the newest found, or PYTHON=/path/to/python3).
#
# Two stamps keep it quick: what the program needs, and what tests and linters need beside it.
# Either is made anew when pyproject.toml changes.

VENV    := .venv
BIN     := $(VENV)/bin
PROGRAM := $(VENV)/.program-installed
TOOLS   := $(VENV)/.tools-installed

PYTHON     ?=
CANDIDATES  = $(or $(PYTHON),python3.14 python3.13 python3.12 python3.11 python3)
PIP         = $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint bench interop clean

help: ## say what can be made
	@echo "usage: make TARGET [ARGS='options of what is run'] [PYTHON=python3.x]"
	@echo
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-12s%s\n", $$1, $$2}'

demo: $(PROGRAM) ## a web page through the tunnel, on this machine alone (ARGS=--once ends by itself)
	@$(BIN)/quictunnel demo $(ARGS)

test: $(TOOLS) ## all tests
	$(BIN)/pytest $(ARGS)

lint: $(TOOLS) ## style, types and the layers' imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(PROGRAM) ## figures: direct, quictunnel and a naive tunnel in turns (ARGS=--quick, --help)
	@$(BIN)/python -m bench $(ARGS)

interop: $(PROGRAM) ## quictunnel beside other people's programs
	@$(BIN)/python -m interop $(ARGS)

clean: ## remove .venv and what the tools have cached; certificates and figures stay
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(PROGRAM): pyproject.toml | $(BIN)/pip
	@echo "installing quictunnel and what it needs into $(VENV)"
	@$(PIP) install --editable .
	@touch $@

# Dependency groups (PEP 735) are understood by pip 25.1 and newer; a new .venv may hold an older one.
$(TOOLS): pyproject.toml $(PROGRAM)
	@echo "installing what tests and linters need into $(VENV)"
	@$(PIP) install 'pip>=25.1'
	@$(PIP) install --group test --group lint
	@touch $@

# pip is the last thing that venv makes, so a half-made .venv is completed here. Debian splits
# ensurepip off into python3-venv, hence two questions and two sentences.
$(BIN)/pip:
	@bare=; \
	for python in $(CANDIDATES); do \
	  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  if "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
	    echo "making $(VENV) with $$("$$python" --version)"; \
	    exec "$$python" -m venv $(VENV); \
	  fi; \
	  bare="$$python"; \
	done; \
	if [ -n "$$bare" ]; then \
	  echo "$$bare has no venv module: install it first (Debian, Ubuntu: apt install python3-venv)" >&2; \
	else \
	  echo "no Python 3.11 or newer found (looked for: $(CANDIDATES)); give one with PYTHON=/path/to/python3" >&2; \
	fi; \
	exit 2
