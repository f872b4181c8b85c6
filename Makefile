# What a person or CI runs. Everything happens in .venv, which `make` sets up by itself from a
# Python of 3.11 or newer (the newest found, or PYTHON=/path/to/python3).
#
# Stamps keep it quick: what the program needs, what tests and linters need beside it, what scripts
# of interop/ need, and the engine in Rust, which only `make engine` builds at first. Each is made
# anew when what it is made from changes; the engine too, once it is there.

VENV    := .venv
BIN     := $(VENV)/bin
PROGRAM := $(VENV)/.program-installed
TOOLS   := $(VENV)/.tools-installed
ENGINE  := $(VENV)/.engine-installed
CLIENTS := $(VENV)/.clients-installed

WHEELS         := engine/target/wheels
ENGINE_SOURCES := $(wildcard engine/Cargo.* engine/pyproject.toml engine/*.pyi engine/src/*.rs engine/src/*/*.rs)
# The engine if it has been built, or nothing: all goes without it. Its own tests want Rust too.
BUILT_ENGINE   := $(wildcard $(ENGINE))
RUST           := $(and $(BUILT_ENGINE),$(shell command -v cargo))

# All tests run in two processes, a file in either: they wait more than they work.
TWICE          := --numprocesses 2 --dist worksteal -m "not nightly"

# Laboratories wait more still; the long rows are begun first.
SIXFOLD       := --numprocesses 6 --maxschedchunk 1

# Images of containers often tell Python not to keep what it has compiled: each of the programs that
# tests start would compile itself anew.
unexport PYTHONDONTWRITEBYTECODE

PYTHON     ?=
CANDIDATES  = $(or $(PYTHON),python3.14 python3.13 python3.12 python3.11 python3)
PIP         = $(BIN)/python -m pip --disable-pip-version-check --quiet

# Whether there is a Rust that is new enough for the engine: its Cargo.toml says which one is.
define need_rust
@least=$$(sed -n 's/^rust-version = "\(.*\)"/\1/p' engine/Cargo.toml); \
has=$$(cargo --version 2>/dev/null | cut -d' ' -f2); \
if [ "$$(printf '%s\n' "$$least" "$${has:-0}" | sort -V | head -n 1)" != "$$least" ]; then \
  echo "the engine needs Rust $$least or newer, and $${has:+only }$${has:-none} is here:" \
    "install it first (https://rustup.rs)" >&2; \
  exit 2; \
fi
endef

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lab lint bench bench-line soak interop engine rust clean

help: ## say what can be made
	@echo "usage: make TARGET [ARGS='options of what is run'] [PYTHON=python3.x]"
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-14s%s\n", $$1, $$2}'

demo: $(PROGRAM) $(BUILT_ENGINE) ## a web page through the tunnel, on this machine alone (ARGS=--once ends by itself)
	@$(BIN)/quictunnel demo $(ARGS)

test: $(TOOLS) $(BUILT_ENGINE) ## all tests, and the engine's own in Rust once it is built
	$(BIN)/pytest $(or $(ARGS),$(TWICE))
	$(if $(RUST),$(if $(ARGS),,cd engine && cargo test --locked --no-default-features))

lab: $(TOOLS) $(BUILT_ENGINE) ## networks that change, go dark and come back, in minutes; wants root (ARGS='-m "not nightly"' for fewer)
	$(BIN)/pytest tests/lab $(SIXFOLD) $(ARGS)

lint: $(TOOLS) $(BUILT_ENGINE) ## style, types and the layers' imports, and the engine's Rust once it is built
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(if $(RUST),cd engine && cargo fmt --check)
	$(if $(RUST),cd engine && PYO3_PYTHON=$(abspath $(BIN)/python) cargo clippy --locked --all-targets -- -D warnings)

bench: $(PROGRAM) $(BUILT_ENGINE) ## figures: direct, quictunnel and a naive tunnel in turns (ARGS=--quick, --help)
	@$(BIN)/python -m bench $(ARGS)

bench-line: $(PROGRAM) $(BUILT_ENGINE) ## what becomes of lossy, long and shared lines; wants root (ARGS=--help; --simulated wants nothing)
	@$(BIN)/python -m bench.line $(ARGS)

soak: $(PROGRAM) $(BUILT_ENGINE) ## clients who do everything, over a bad network, for 20 minutes (ARGS=--help)
	@$(BIN)/python -m bench.soak $(ARGS)

interop: $(CLIENTS) $(BUILT_ENGINE) ## quictunnel beside other people's programs
	@$(BIN)/python -m interop $(ARGS)

engine: $(ENGINE) ## build the fast engine, which is written in Rust, and install it into .venv
	@$(BIN)/quictunnel --version

clean: ## remove .venv and what the tools have cached; certificates and figures stay
	rm -rf $(VENV) build dist engine/target
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
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

$(CLIENTS): pyproject.toml $(PROGRAM)
	@echo "installing the clients that scripts of interop need into $(VENV)"
	@$(PIP) install 'pip>=25.1'
	@$(PIP) install --group interop
	@touch $@

# The wheel stays where it was built: it can be carried to a machine that has no Rust.
$(ENGINE): $(ENGINE_SOURCES) | $(TOOLS)
	$(need_rust)
	@echo "building the engine, which takes a minute or two at first"
	@$(PIP) install --group engine
	@rm -rf $(WHEELS)
	@cd engine && ../$(BIN)/maturin build --quiet --release --locked --out target/wheels --interpreter ../$(BIN)/python
	@$(PIP) install --force-reinstall --no-deps $(WHEELS)/*.whl
	@touch $@

rust: # no more than ask; CI does, before it installs one
	$(need_rust)

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
