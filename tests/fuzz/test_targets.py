"""Every fuzz target still works: it accepts its seeds, and each seed's fate is the expected one."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[2] / "fuzz"
TARGETS = sorted(path.name for path in (FUZZ / "corpus").iterdir())


@pytest.mark.parametrize("target", TARGETS)
def test_no_seed_breaks_its_target(target):
    seeds = sorted((FUZZ / "corpus" / target).iterdir())
    assert len(seeds) > 10
    check = importlib.import_module(f"fuzz.{target}").check
    for seed in seeds:
        check(seed.read_bytes())


def test_make_fuzz_runs_every_target():
    makefile = (FUZZ.parent / "Makefile").read_text("utf-8")
    line = next(line for line in makefile.splitlines() if line.startswith("FUZZED"))
    assert sorted(line.partition(":=")[2].split()) == TARGETS
