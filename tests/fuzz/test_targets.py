"""Every fuzz target in Python accepts its seeds, and no seed is without a target."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FUZZ = ROOT / "fuzz"
CORPORA = sorted(path.name for path in (FUZZ / "corpus").iterdir())
IN_RUST = sorted(path.stem for path in (ROOT / "engine" / "fuzz" / "fuzz_targets").glob("*.rs"))
TARGETS = sorted(set(CORPORA) - set(IN_RUST))


@pytest.mark.parametrize("target", TARGETS)
def test_no_seed_breaks_its_target(target):
    seeds = sorted((FUZZ / "corpus" / target).iterdir())
    assert len(seeds) > 10
    check = importlib.import_module(f"fuzz.{target}").check
    for seed in seeds:
        check(seed.read_bytes())


def test_make_fuzz_runs_every_target():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    line = next(line for line in makefile.splitlines() if line.startswith("FUZZED"))
    assert sorted(line.partition(":=")[2].split()) == TARGETS


def test_every_target_has_seeds():
    assert sorted(TARGETS + IN_RUST) == CORPORA
