"""A row of figures: medians over the runs, and reports of failed and overloaded runs."""

from __future__ import annotations

import pytest
import typer

from bench.line.__main__ import main
from bench.line.figures import Measured
from bench.line.runs import FIRST_SEED, row
from testkit.programs import ProgramError


def taken(measure, *columns, runs=3, at_once=1, again=0):
    told = []
    cells = row(measure, columns, runs=runs, at_once=at_once, again=again, say=told.append)
    return list(map(str, cells)), told


def test_a_cell_has_medians_of_runs_with_different_seeds():
    calls = []

    def measure(who, *, seed):
        calls.append((who, seed))
        return Measured([seed / 100, 60 + seed, seed - FIRST_SEED])

    cells, told = taken(measure, "one", "other")
    assert cells == ["0.080 68 1"] * 2
    assert calls[:3] == [("one", FIRST_SEED), ("other", FIRST_SEED), ("one", FIRST_SEED + 1)]
    assert told[0].startswith("1/3 one: 0.070 67 0 (")


def test_failed_and_overloaded_runs_are_reported():
    def measure(who, *, seed):
        if seed == FIRST_SEED:
            raise ProgramError("it broke")
        return Measured([0.5], "2 packets dropped before it" if seed == FIRST_SEED + 1 else "")

    cells, told = taken(measure, "one", at_once=3)
    assert cells == ["0.500 (1 failed) (1 overloaded)"]
    assert any("failed: it broke" in line for line in told)
    assert any("overloaded: 2 packets dropped before it" in line for line in told)


def test_a_measurement_that_does_not_exist_is_empty():
    assert taken(lambda who, *, seed: None, "one") == ([""], [])


def test_an_overloaded_run_is_repeated():
    late = iter(["late", "late", "", ""])

    def measure(who, *, seed):
        overload = next(late)
        return Measured([0.1 if overload else 0.9], overload)

    cells, told = taken(measure, "one", runs=2, again=2)
    assert cells == ["0.900"]
    assert [", and again (" in line for line in told] == [True, True, False, False]


def test_the_last_repetition_counts():
    figures = iter([0.1, 0.2, 0.3])
    cells, told = taken(
        lambda who, *, seed: Measured([next(figures)], "late"), "one", runs=1, again=2
    )
    assert cells == ["0.300 (1 overloaded)"]
    assert len(told) == 3


def test_a_failed_run_is_not_repeated():
    def measure(who, *, seed):
        raise ProgramError("it broke")

    assert taken(measure, "one", runs=1, again=2)[0] == ["(1 failed)"]


@pytest.mark.parametrize("options", [{"again": 1}, {"at_once": 2}, {"ways": ["direct"]}])
def test_options_for_real_lines_are_refused_in_virtual_time(options):
    with pytest.raises(typer.BadParameter, match=r"--(again|at-once|ways) is for real lines"):
        main(in_virtual_time=True, **options)
