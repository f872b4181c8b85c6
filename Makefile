# Everything runs in .venv, which `make` creates from a Python of 3.11 or newer (the newest found, or
# PYTHON=/path/to/python3).
#
# Everything is installed from requirements.lock, with hashes. LOCK= installs the newest versions that
# pyproject.toml allows instead.
#
# Each stamp file stands for something that is installed into .venv and is renewed when its sources
# change. The engine in Rust is optional: `make engine` builds it first, and from then on every
# target uses it and rebuilds it when needed.

VENV    := .venv
BIN     := $(VENV)/bin
PROGRAM := $(VENV)/.program-installed
TOOLS   := $(VENV)/.tools-installed
ENGINE  := $(VENV)/.engine-installed
CLIENTS := $(VENV)/.clients-installed
FUZZER  := $(VENV)/.fuzzer-installed
SITE    := $(VENV)/.site-installed
RELEASE := $(VENV)/.release-installed
LOCKER  := $(VENV)/.locker-installed
AUDITOR := $(VENV)/.auditor-installed
BOM     := $(VENV)/.bom-installed

WHEELS         := engine/target/wheels
ENGINE_SOURCES := $(wildcard engine/Cargo.* engine/pyproject.toml engine/*.pyi engine/src/*.rs engine/src/*/*.rs engine/src/*/*/*.rs)
# The engine's stamp if the engine has been built, otherwise nothing.
BUILT_ENGINE   := $(wildcard $(ENGINE))
RUST           := $(and $(BUILT_ENGINE),$(shell command -v cargo))

# Two processes for two cores: tests wait more than they compute.
TWICE          := --numprocesses 2 --dist worksteal -m "not nightly"

# Laboratory tests wait even more. The long ones start first.
SIXFOLD       := --numprocesses 6 --maxschedchunk 1

LOCK    ?= requirements.lock
# pip's options that allow only what is locked, also in the environments in which it builds wheels.
LOCKED   = $(if $(LOCK),--require-hashes --constraint $(LOCK) --build-constraint $(LOCK))
# Prints the lines of one package: its version, and its hashes. Every pip understands them.
locked_lines = sed -n '/^$(1)==/,/[^\\]$$/p' $(LOCK)
# All dependency groups of pyproject.toml, which include each other.
GROUPS  := install lock audit sbom go test engine fuzz docs interop release lint

# The targets in fuzz/, and the folder of the inputs that they find.
FUZZED := client_hello http_host link_frames messages preamble proxy_header websocket_frames websocket_opening
FOUND  := build/fuzz

ACTIONLINT_VERSION := 1.7.12
ACTIONLINT         := .tools/actionlint-$(ACTIONLINT_VERSION)

NFPM_VERSION := 2.45.2
NFPM         := .tools/nfpm-$(NFPM_VERSION)

# The architecture of the Debian package: amd64 or arm64.
DEB_ARCH ?= $(shell dpkg --print-architecture 2>/dev/null || echo amd64)
# The engine's wheel in the Debian package and the container image: from `make wheels` for a release,
# otherwise from `make engine`.
wheel_machine = $(if $(filter arm64,$(1)),aarch64,x86_64)
engine_wheel  = $(firstword $(wildcard dist/quictunnel_quinn-*manylinux*_$(call wheel_machine,$(1)).whl \
  $(WHEELS)/quictunnel_quinn-*manylinux*_$(call wheel_machine,$(1)).whl))

AS_ROOT = $(if $(filter-out 0,$(shell id -u)),sudo)

# The container image, and the tool that builds and runs it.
IMAGE     ?= ghcr.io/$(or $(GITHUB_REPOSITORY),quictunnel/quictunnel)
ARCH      ?= $(DEB_ARCH)
CONTAINER ?= $(or $(shell command -v podman),docker)
IMAGE_ARGS ?=
IMAGE_TAG  = $(or $(GITHUB_SHA),local)

# A Rust target such as aarch64-unknown-linux-musl for `make wheels`; empty for this machine. For both
# kinds of Mac in one wheel, maturin knows universal2-apple-darwin.
TARGET       ?=
RUST_TARGETS  = $(if $(filter universal2-%,$(TARGET)),x86_64-apple-darwin aarch64-apple-darwin,$(TARGET))

# Container images often set this. Every program that a test starts would then compile all modules.
unexport PYTHONDONTWRITEBYTECODE

PYTHON     ?=
CANDIDATES  = $(or $(PYTHON),python3.14 python3.13 python3.12 python3.11 python3)
PIP         = $(BIN)/python -m pip --disable-pip-version-check --quiet

# Checks that Rust is as new as engine/Cargo.toml requires.
define need_rust
@least=$$(sed -n 's/^rust-version = "\(.*\)"/\1/p' engine/Cargo.toml); \
has=$$(cargo --version 2>/dev/null | cut -d' ' -f2); \
if [ "$$(printf '%s\n' "$$least" "$${has:-0}" | sort -V | head -n 1)" != "$$least" ]; then \
  echo "the engine needs Rust $$least or newer, but found $${has:-none}: install it (https://rustup.rs)" >&2; \
  exit 2; \
fi
endef

# Checks that `cargo $(1)` works.
define need_cargo
@cargo $(1) >/dev/null 2>&1 || { echo "this needs $(2)" >&2; exit 2; }
endef

# Installs dependency groups (PEP 735).
define install_groups
@echo "installing $(1) into $(VENV)"
@$(PIP) install $(LOCKED) $(foreach group,$(2),--group $(group))
@touch $@
endef

# Installs this package and its dependencies. The pip of a new .venv may be too old for groups and for
# the hashes of constraints, so pip itself comes first. A package without an archive has no hash, so
# this one comes last, alone.
define install_program
@$(if $(LOCK),$(call locked_lines,pip),echo 'pip>=26') >$(VENV)/pip.txt
@$(PIP) install $(if $(LOCK),--require-hashes) --requirement $(VENV)/pip.txt
@$(BIN)/python -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
  print(*project["dependencies"], sep="\n")' >$(VENV)/dependencies.txt
@$(PIP) install $(LOCKED) --group install --requirement $(VENV)/dependencies.txt
@$(PIP) install --no-deps --no-build-isolation --editable .
endef

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test coverage lab fuzz fuzz-engine lint lock audit sbom deny actions docs figures bench bench-services bench-line bench-rates bench-scrape bench-watching attacks soak interop engine wheels sdist deb deb-tools test-deb image test-image push-image push-manifest check-tag release-page rust clean

help: ## list the targets
	@echo "usage: make TARGET [ARGS='options for the program that runs'] [PYTHON=python3.x]"
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-16s%s\n", $$1, $$2}'

demo: $(PROGRAM) $(BUILT_ENGINE) ## show a web page through a tunnel on this machine (ARGS=--once exits by itself)
	@$(BIN)/quictunnel demo $(ARGS)

test: $(TOOLS) $(BUILT_ENGINE) ## run all tests, and the engine's Rust tests once it is built
	$(BIN)/pytest $(or $(ARGS),$(TWICE))
	$(if $(RUST),$(if $(ARGS),,cd engine && cargo test --locked --no-default-features))

coverage: $(TOOLS) $(BUILT_ENGINE) ## run the tests and report which lines and branches they execute
	@rm -f build/coverage/.coverage*
	@$(BIN)/coverage run -m pytest $(or $(ARGS),$(TWICE)); status=$$?; \
	$(BIN)/coverage combine --quiet && $(BIN)/coverage report && exit $$status

lab: $(TOOLS) $(BUILT_ENGINE) ## test on changing networks, for minutes; needs root (ARGS='-m "not nightly"' for fewer)
	$(BIN)/pytest tests/lab $(SIXFOLD) $(ARGS)

fuzz: $(FUZZER) ## fuzz what peers and clients send, for 10 minutes in all (ARGS=-max_total_time=SECONDS for each)
	@for target in $(FUZZED); do \
	  mkdir -p $(FOUND)/$$target; \
	  echo "fuzzing $$target"; \
	  $(BIN)/python -m fuzz.$$target -artifact_prefix=$(FOUND)/$$target- \
	    $(or $(ARGS),-max_total_time=$$((600 / $(words $(FUZZED))))) \
	    $(FOUND)/$$target fuzz/corpus/$$target || exit; \
	done

# Without a sanitizer, because the engine and quinn-proto are safe Rust, and inputs run faster.
fuzz-engine: ## fuzz what the quinn engine receives, for ten minutes (needs nightly Rust and cargo-fuzz)
	$(call need_cargo,+nightly --version,nightly Rust: rustup toolchain install nightly)
	$(call need_cargo,fuzz --version,cargo-fuzz: cargo install --locked cargo-fuzz)
	@mkdir -p $(FOUND)/endpoint_receive
	cd engine && cargo +nightly fuzz run --sanitizer none endpoint_receive ../$(FOUND)/endpoint_receive ../fuzz/corpus/endpoint_receive \
	  -- -artifact_prefix=../$(FOUND)/endpoint_receive- -max_len=20000 -timeout=10 \
	  $(or $(ARGS),-max_total_time=600)

deny: ## check the engine's dependencies: advisories, licences, sources, bans (needs cargo-deny)
	$(call need_cargo,deny --version,cargo-deny: cargo install --locked cargo-deny)
	cd engine && cargo deny --locked check

lint: $(TOOLS) $(BUILT_ENGINE) ## check style, spelling, types and imports, and the engine's Rust once it is built
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(if $(RUST),cd engine && cargo fmt --check)
	$(if $(RUST),cd engine && PYO3_PYTHON=$(abspath $(BIN)/python) cargo clippy --locked --all-targets -- -D warnings)

lock: $(LOCKER) ## renew requirements.lock (ARGS=--upgrade for the newest versions)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --custom-compile-command 'make lock' $(foreach group,$(GROUPS),--group $(group)) \
	  --output-file requirements.lock $(ARGS) pyproject.toml

audit: $(AUDITOR) ## look for known vulnerabilities in everything that requirements.lock names
	$(BIN)/pip-audit --require-hashes --disable-pip --requirement requirements.lock $(ARGS)

# maturin puts the list of the engine's crates into its wheel (PEP 770).
sbom: $(BOM) ## list the components of quictunnel, and of the engine's wheel, in build/sbom (CycloneDX)
	@mkdir -p build/sbom
	@rm -rf build/sbom/environment
	@$(BIN)/python -m venv --without-pip build/sbom/environment
	@$(PIP) --python build/sbom/environment/bin/python install $(LOCKED) --requirement $(VENV)/dependencies.txt
	@version=$$($(BIN)/python -c 'import quictunnel; print(quictunnel.__version__)'); \
	sed "s/^dynamic = .*/version = \"$$version\"/" pyproject.toml >build/sbom/pyproject.toml
	$(BIN)/cyclonedx-py environment --pyproject build/sbom/pyproject.toml --output-reproducible \
	  --output-file build/sbom/quictunnel.cdx.json build/sbom/environment
	@for wheel in $(firstword $(wildcard dist/quictunnel_quinn-*linux*x86_64.whl $(WHEELS)/*.whl)); do \
	  $(BIN)/python -c 'import sys, zipfile; wheel = zipfile.ZipFile(sys.argv[1]); \
	    print(wheel.read(next(name for name in wheel.namelist() if "/sboms/" in name)).decode())' \
	    "$$wheel" >build/sbom/quictunnel-quinn.cdx.json; \
	done

actions: $(ACTIONLINT) ## check the workflows of GitHub Actions (needs Go to install actionlint)
	$(ACTIONLINT)

docs: $(SITE) ## build the documentation into build/site; a broken link is an error
	$(BIN)/python docs/generate.py
	$(BIN)/zensical build --clean --strict

figures: $(PROGRAM) ## update the tables in docs/ from bench/results/*.json
	$(BIN)/python docs/figures.py

bench: $(PROGRAM) $(BUILT_ENGINE) ## compare direct, quictunnel, a naive tunnel and other tunnels (ARGS=--quick, --help)
	@$(BIN)/python -m bench $(ARGS)

bench-services: $(PROGRAM) $(BUILT_ENGINE) ## measure 1, 100 and 1,000 services, and 200 origins (ARGS=--help)
	@$(BIN)/python -m bench.services $(ARGS)

bench-line: $(PROGRAM) $(BUILT_ENGINE) ## measure on lossy, long and shared lines; needs root (ARGS=--help; --simulated needs nothing)
	@$(BIN)/python -m bench.line $(ARGS)

attacks: $(PROGRAM) $(BUILT_ENGINE) ## measure what attackers do to a remote, a minute each; needs root (ARGS=--help)
	@$(BIN)/python -m bench.attacks $(ARGS)

bench-rates: $(PROGRAM) $(BUILT_ENGINE) ## measure how exact rate limits are, beside another service (ARGS=--help)
	@$(BIN)/python -m bench.rates $(ARGS)

bench-scrape: $(PROGRAM) $(BUILT_ENGINE) ## measure a scrape of the metrics beside 10,000 clients (ARGS=--help)
	@$(BIN)/python -m bench.scrape $(ARGS)

bench-watching: $(PROGRAM) $(BUILT_ENGINE) ## measure what open live pages and Prometheus cost clients (ARGS=--help)
	@$(BIN)/python -m bench.watching $(ARGS)

soak: $(PROGRAM) $(BUILT_ENGINE) ## run random clients over a bad network for 20 minutes (ARGS=--help)
	@$(BIN)/python -m bench.soak $(ARGS)

interop: $(CLIENTS) $(BUILT_ENGINE) ## test with other servers, proxies and clients
	@$(BIN)/python -m interop $(ARGS)

engine: $(ENGINE) ## build the quinn engine (needs Rust) and install it into .venv
	@$(BIN)/quictunnel --version

# Wheels for other machines are linked with zig, so that they run on old versions of glibc, or with musl.
wheels: $(RELEASE) ## build a wheel of the engine into dist/ (TARGET=aarch64-unknown-linux-musl for other machines)
	$(need_rust)
	$(if $(TARGET),rustup target add $(RUST_TARGETS))
	cd engine && PATH="$(abspath $(BIN)):$$PATH" maturin build --release --locked --out ../dist \
	  --interpreter $(abspath $(BIN)/python) $(if $(TARGET),--target $(TARGET) $(if $(findstring linux,$(TARGET)),--zig))
	$(BIN)/twine check --strict dist/*.whl

sdist: $(RELEASE) ## build the source distributions of both packages, and quictunnel's wheel, into dist/
	$(BIN)/python -m build --no-isolation --outdir dist .
	cd engine && ../$(BIN)/maturin sdist --out ../dist
	$(BIN)/twine check --strict dist/*

# Python's wheels and the engine's decide the oldest release that the package is for: Debian 12.
deb: $(RELEASE) $(NFPM) ## build a Debian package with all libraries into dist/ (DEB_ARCH=arm64 for another; needs Go)
	@$(BIN)/python -m build --no-isolation --wheel --outdir build/wheel .
	@$(if $(call engine_wheel,$(DEB_ARCH)),,echo "there is no wheel of the engine: run 'make engine' first" >&2; exit 2)
	$(BIN)/python -m deb.build --arch $(DEB_ARCH) --engine $(call engine_wheel,$(DEB_ARCH)) \
	  --wheel $$(ls -t build/wheel/quictunnel-*.whl | head -n 1)
	@mkdir -p dist
	@eval "$$($(BIN)/python -m deb.variables $(DEB_ARCH))"; $(NFPM) package --config deb/nfpm.yaml --packager deb --target dist/

deb-tools: ## install what test-deb needs, on Debian or Ubuntu
	$(AS_ROOT) apt-get update -q
	$(AS_ROOT) apt-get install -q -y debian-archive-keyring lintian mmdebstrap

test-deb: ## check the Debian package in dist/ with lintian, and install it into a new system
	$(AS_ROOT) deb/test.sh dist/quictunnel_*_$(DEB_ARCH).deb

image: $(RELEASE) ## build the container image from the wheel of the engine (ARCH=arm64 for another; IMAGE_ARGS=...)
	@$(if $(call engine_wheel,$(ARCH)),,echo "there is no wheel of the engine: run 'make engine' first" >&2; exit 2)
	@rm -rf build/image && mkdir -p build/image
	@$(BIN)/python -m build --no-isolation --wheel --outdir build/image .
	@cp $(call engine_wheel,$(ARCH)) build/image/
	$(CONTAINER) build --platform linux/$(ARCH) --file Containerfile --tag $(IMAGE):$(IMAGE_TAG)-$(ARCH) $(IMAGE_ARGS) \
	  $(if $(findstring podman,$(CONTAINER)),--format docker) .

test-image: ## run the image that `make image` has built
	contrib/image/test.sh $(CONTAINER) $(IMAGE):$(IMAGE_TAG)-$(ARCH)

push-image: ## publish the image of one architecture (needs GITHUB_TOKEN)
	@echo "$$GITHUB_TOKEN" | $(CONTAINER) login $(firstword $(subst /, ,$(IMAGE))) --username "$$GITHUB_ACTOR" --password-stdin
	$(CONTAINER) push $(IMAGE):$(IMAGE_TAG)-$(ARCH)

push-manifest: ## publish the images of both architectures as TAG=latest (needs GITHUB_TOKEN)
	@echo "$$GITHUB_TOKEN" | $(CONTAINER) login $(firstword $(subst /, ,$(IMAGE))) --username "$$GITHUB_ACTOR" --password-stdin
	$(CONTAINER) manifest create $(IMAGE):$(TAG) $(foreach arch,amd64 arm64,$(if $(findstring podman,$(CONTAINER)),docker://)$(IMAGE):$(IMAGE_TAG)-$(arch))
	$(CONTAINER) manifest push $(IMAGE):$(TAG) $(if $(findstring podman,$(CONTAINER)),docker://$(IMAGE):$(TAG))

check-tag: $(PROGRAM) ## check that TAG=v1.2.3 names the version of this tree
	@version=$$($(BIN)/python -c 'import quictunnel; print(quictunnel.__version__)'); \
	if [ "$(TAG)" != "v$$version" ]; then \
	  echo "the tag '$(TAG)' does not name this version: expected v$$version" >&2; \
	  exit 1; \
	fi

release-page: ## create the release of TAG=v1.2.3 on GitHub, with the files in dist/
	gh release create "$(TAG)" --verify-tag --title "$(TAG)" \
	  --notes "See CHANGELOG.md. Verify a file with: gh attestation verify FILE --repo $$GITHUB_REPOSITORY" dist/*

clean: ## remove .venv, builds and caches; certificates and figures stay
	rm -rf $(VENV) build dist engine/target engine/fuzz/target .tools .cache
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	rm -f docs/reference/cli.md docs/reference/log.md docs/reference/metrics.md docs/reference/admin-api.md docs/explanation/quinn-engine.md
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(PROGRAM): pyproject.toml $(LOCK) | $(BIN)/pip
	@echo "installing quictunnel and its dependencies into $(VENV)"
	$(install_program)
	@touch $@

$(TOOLS): pyproject.toml $(PROGRAM)
	$(call install_groups,what tests and linters need,test lint)

$(CLIENTS): pyproject.toml $(PROGRAM)
	$(call install_groups,the clients that interop needs,interop)

$(FUZZER): pyproject.toml $(PROGRAM)
	$(call install_groups,the fuzzer,fuzz)

$(SITE): pyproject.toml $(PROGRAM)
	$(call install_groups,what builds the documentation,docs)

$(RELEASE): pyproject.toml $(PROGRAM)
	$(call install_groups,what builds distributions,engine release)

# Without anything else, so that it works when requirements.lock lacks something.
$(LOCKER): | $(BIN)/pip
	@echo "installing what locks versions into $(VENV)"
	@$(if $(LOCK),$(call locked_lines,uv),echo uv) >$(VENV)/uv.txt
	@$(PIP) install $(if $(LOCK),--require-hashes) --requirement $(VENV)/uv.txt
	@touch $@

$(AUDITOR): pyproject.toml $(PROGRAM)
	$(call install_groups,what looks for known vulnerabilities,audit)

$(BOM): pyproject.toml $(PROGRAM)
	$(call install_groups,what lists components,sbom)

$(ACTIONLINT):
	@echo "installing actionlint $(ACTIONLINT_VERSION)"
	@GOBIN=$(abspath .tools) go install github.com/rhysd/actionlint/cmd/actionlint@v$(ACTIONLINT_VERSION)
	@mv .tools/actionlint $@

$(NFPM):
	@echo "installing nfpm $(NFPM_VERSION)"
	@GOBIN=$(abspath .tools) go install github.com/goreleaser/nfpm/v2/cmd/nfpm@v$(NFPM_VERSION)
	@mv .tools/nfpm $@

# The wheel stays in $(WHEELS): it can be copied to a machine that has no Rust.
$(ENGINE): $(ENGINE_SOURCES) | $(TOOLS)
	$(need_rust)
	@echo "building the engine, which takes a minute or two the first time"
	@$(PIP) install $(LOCKED) --group engine
	@rm -rf $(WHEELS)
	@cd engine && ../$(BIN)/maturin build --quiet --release --locked --out target/wheels --interpreter ../$(BIN)/python
	@$(PIP) install --force-reinstall --no-deps $(WHEELS)/*.whl
	@touch $@

rust: # only checks; CI calls it before it installs Rust
	$(need_rust)

# venv installs pip last, so a .venv without pip is incomplete and is created again. Debian packages
# ensurepip separately (python3-venv), which is why two things are checked.
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
