"""The quinn engine on emulated lines, in virtual time: near their rate, whatever they lose, with an
empty queue. The bounds are below what docs/congestion.md shows, for these runs are short."""

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
"""Counted, of each bulk stream."""

SEEDS = range(7, 12)
"""The engine throws dice of its own, so that single runs differ for the same seed too: where they
differ by much it is the median that counts."""


@pytest.mark.parametrize(
    ("name", "least"),
    [("home", 0.90), ("loss-1", 0.88), ("loss-3", 0.83), ("bursts-3", 0.83)],
)
def test_a_download_is_near_the_rate_of_a_line_that_loses(name: str, least: float) -> None:
    found = figures.bulk(QUINN, BY_NAME[name].line, seconds=SECONDS)
    assert found.share > least
    assert found.queueing < 0.25


def test_ends_that_stand_still_now_and_then_cost_little_and_leave_a_short_queue() -> None:
    sender = Sender("quinn", stops=20)
    runs = [figures.bulk(sender, HOME, seconds=2 * SECONDS, seed=seed) for seed in SEEDS[:3]]
    assert statistics.median(found.share for found in runs) > 0.9
    assert statistics.median(found.queueing for found in runs) < 0.26


@pytest.mark.parametrize("name", ["mobile", "mobile-overtaking"])
def test_jitter_is_neither_loss_nor_a_queue(name: str) -> None:
    line = BY_NAME[name].line
    runs = [figures.bulk(QUINN, line, seconds=2 * SECONDS, seed=seed) for seed in SEEDS]
    assert statistics.median(found.share for found in runs) > 0.82


def test_a_keystroke_beside_a_download_takes_a_round_trip() -> None:
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
    for seed in SEEDS:  # in each of them, whenever the last probe for more was
        assert figures.after_a_change(QUINN, before, after, moved=moved, seed=seed) > 0.8


def test_two_links_share_a_line_and_a_cubic_flow_is_neither_victim_nor_victor() -> None:
    """Single runs differ by much: two links 32 to 68 % of 40, ours beside cubic 40 to 82 of 14."""
    line = replace(HOME, rate=20 * MBIT, queue=100_000)
    first, second = figures.sharing((QUINN, QUINN), line, seconds=12.0)
    assert 0.2 < first / (first + second) < 0.8
    cubic, ours = figures.sharing((Sender("quinn", "cubic"), QUINN), line, seconds=6.0)
    assert 0.1 < ours / (cubic + ours) < 0.9
