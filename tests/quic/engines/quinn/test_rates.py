"""The quinn engine on emulated lines, in virtual time.

The bounds are lower than the figures of `make bench-line`, because the runs are shorter.
"""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest

from bench.line import figures
from bench.line.figures import Sender
from bench.line.line import MBIT, Line
from bench.line.lines import BY_NAME, HOME

pytestmark = pytest.mark.nightly

QUINN = Sender("quinn")
SECONDS = 3.0
"""Measured time of each bulk stream."""

SEEDS = range(7, 12)
"""The engine has random numbers of its own, so runs with the same seed differ. If they differ by
much, the tests use the median."""


@pytest.mark.parametrize(
    ("name", "least"),
    [("home", 0.90), ("loss-1", 0.88), ("loss-3", 0.83), ("bursts-3", 0.83)],
)
def test_a_download_reaches_the_rate_of_a_lossy_line(name: str, least: float) -> None:
    found = figures.bulk(QUINN, BY_NAME[name].line, seconds=SECONDS)
    assert found.share > least
    assert found.queueing < 0.25


def test_processes_that_pause_lose_little_rate_and_leave_a_short_queue() -> None:
    sender = Sender("quinn", stops=20)
    runs = [figures.bulk(sender, HOME, seconds=2 * SECONDS, seed=seed) for seed in SEEDS[:3]]
    assert statistics.median(found.share for found in runs) > 0.9
    assert statistics.median(found.queueing for found in runs) < 0.26


@pytest.mark.parametrize("name", ["mobile", "mobile-overtaking"])
def test_jitter_costs_little_rate(name: str) -> None:
    line = BY_NAME[name].line
    runs = [figures.bulk(QUINN, line, seconds=2 * SECONDS, seed=seed) for seed in SEEDS]
    assert statistics.median(found.share for found in runs) > 0.82


def test_a_request_beside_a_download_takes_a_round_trip() -> None:
    line = replace(HOME, loss=0.01)
    times = figures.request_times(QUINN, line, seconds=2 * SECONDS)
    assert len(times) > 50
    assert figures.percentile(times, 0.5) < 1.15
    assert figures.percentile(times, 0.9) < 2.2


@pytest.mark.parametrize("factor", [2.0, 0.2])
@pytest.mark.parametrize("moved", [True, False])
def test_another_rate_is_found_within_five_seconds(factor: float, *, moved: bool) -> None:
    before = Line(rate=20 * MBIT, rtt=0.050, queue=100_000)
    after = replace(before, rate=factor * before.rate)
    for seed in SEEDS:  # the time since the last bandwidth probe differs
        assert figures.after_a_change(QUINN, before, after, moved=moved, seed=seed) > 0.8


def test_a_line_is_shared_with_another_link_and_with_cubic() -> None:
    """The bounds are wide, because single runs differ by much."""
    line = replace(HOME, rate=20 * MBIT, queue=100_000)
    first, second = figures.sharing((QUINN, QUINN), line, seconds=12.0)
    assert 0.2 < first / (first + second) < 0.8
    cubic, ours = figures.sharing((Sender("quinn", "cubic"), QUINN), line, seconds=6.0)
    assert 0.1 < ours / (cubic + ours) < 0.9
