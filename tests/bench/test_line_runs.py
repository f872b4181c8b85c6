"""A row of lines' figures: medians over the runs, and what is told of those that are in doubt."""

from __future__ import annotations

from bench.line.figures import Measured
from bench.line.runs import FIRST_SEED, row
from bench.processes import ProgramError


def taken(measure, *columns, runs=3, at_once=1):
    told = []
    cells = row(measure, columns, runs=runs, at_once=at_once, say=told.append)
    return list(map(str, cells)), told


def test_medians_are_taken_of_runs_with_other_dice_and_in_turns():
    calls = []

    def measure(who, *, seed):
        calls.append((who, seed))
        return Measured([seed / 100, 60 + seed, seed - FIRST_SEED])

    cells, told = taken(measure, "one", "other")
    assert cells == ["0.080 68 1"] * 2
    assert calls[:3] == [("one", FIRST_SEED), ("other", FIRST_SEED), ("one", FIRST_SEED + 1)]
    assert told[0].startswith("1/3 one: 0.070 67 0 (")


def test_what_failed_or_was_the_emulators_doing_is_told():
    def measure(who, *, seed):
        if seed == FIRST_SEED:
            raise ProgramError("it broke")
        return Measured([0.5], "2 packets dropped before it" if seed == FIRST_SEED + 1 else "")

    cells, told = taken(measure, "one", at_once=3)
    assert cells == ["0.500 (1 failed) (1 overloaded)"]
    assert any("failed: it broke" in line for line in told)
    assert any("overloaded: 2 packets dropped before it" in line for line in told)


def test_what_there_is_not_is_left_empty():
    assert taken(lambda who, *, seed: None, "one") == ([""], [])
