"""Fixtures of the laboratory, and a table of the measurements at the end of the report."""

from __future__ import annotations

import pytest
from laboratory import Laboratory
from scenario import Scenario

from testkit.engines import ENGINES
from testkit.namespaces import what_is_missing

SHOWN = "laboratory"
"""The property of a test's report that has its figures."""


def pytest_generate_tests(metafunc):
    if "engines" in metafunc.fixturenames:
        pairs = [(engine, engine) for engine in ENGINES]
        if metafunc.definition.get_closest_marker("one_engine"):
            pairs = pairs[-1:]
        if metafunc.definition.get_closest_marker("mixed"):
            pairs += [(one, other) for one in ENGINES for other in ENGINES if one != other]
        metafunc.parametrize("engines", pairs, ids=":".join)


def pytest_configure(config):
    config.addinivalue_line("markers", "mixed: also run with different engines at the two ends")
    config.addinivalue_line("markers", "one_engine: run with one engine, which does not matter")


def pytest_collection_modifyitems(items):
    """Start the long tests first. The others run beside them."""
    items.sort(key=lambda item: item.get_closest_marker("nightly") is None)


@pytest.fixture(scope="session")
def _possible():
    if missing := what_is_missing():
        pytest.skip(missing)


@pytest.fixture
def lab(_possible, tmp_path, engines):
    with Laboratory(tmp_path, engines) as lab:
        yield lab


@pytest.fixture
def scenario(lab, request, record_property):
    event = request.function.__name__.removeprefix("test_").replace("_", " ")
    scenario = Scenario(lab, event)
    record_property(SHOWN, scenario.figures)
    return scenario


def pytest_terminal_summary(terminalreporter):
    rows = [
        value | {"outcome": outcome}
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, ())
        for name, value in report.user_properties
        if name == SHOWN
    ]
    if not rows:
        return
    terminalreporter.section("laboratory: origin's engine:remote's, seconds until data")
    for row in sorted(rows, key=lambda row: (row["event"], row["engines"])):
        figures = ", ".join(f"{what} {seconds:.2f}" for what, seconds in row["seconds"].items())
        terminalreporter.line(
            f"| {row['event']} | {row['engines']} | {row['lost']} | {figures} | {row['outcome']} |"
        )
