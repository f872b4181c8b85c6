"""Engines on simulated lines: a few seconds each, on lines that cost little to simulate.

The margins are wide. The exact figures are in docs/how-to/congestion.md.
"""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest

from bench.line import figures
from bench.line.figures import Sender
from bench.line.line import MBIT, Line
from bench.line.lines import BY_NAME, HOME
from testkit.engines import ENGINES

pytestmark = pytest.mark.nightly

LOSSY = replace(HOME, rate=10 * MBIT, loss=0.01, queue=50_000)
"""A home line, but slower: fewer packets to simulate."""


@pytest.mark.parametrize("engine", ENGINES)
def test_a_lossy_line_is_full_and_its_queue_is_short(engine: str) -> None:
    found = figures.bulk(Sender(engine), LOSSY, seconds=2.0, warm_up=2.0)
    assert found.share > 0.85
    assert found.queueing < 0.25


def median_share(sender: Sender, line: Line, *, seconds: float, warm_up: float) -> float:
    """Return the median share of three runs. One run of a few seconds depends on its losses."""
    runs = (
        figures.bulk(sender, line, seconds=seconds, warm_up=warm_up, seed=seed)
        for seed in (7, 8, 9)
    )
    return statistics.median(run.share for run in runs)


def test_the_queue_stays_short_if_processes_are_suspended() -> None:
    sender = Sender("aioquic", stops=20)
    assert median_share(sender, LOSSY, seconds=3.0, warm_up=2.0) > 0.8
    assert figures.bulk(sender, LOSSY, seconds=3.0, warm_up=2.0).queueing < 0.3


@pytest.mark.parametrize("line", ["mobile", "mobile-overtaking"])
def test_jitter_and_reordering_are_not_taken_for_loss(line: str) -> None:
    sender = Sender("aioquic")
    assert median_share(sender, BY_NAME[line].line, seconds=6.0, warm_up=5.0) > 0.75


def test_losses_in_bursts() -> None:
    line = replace(LOSSY, loss=0.03, burst=3)
    assert figures.bulk(Sender("aioquic"), line, seconds=3.0, warm_up=2.0).share > 0.8


@pytest.mark.parametrize("engine", ENGINES)
def test_a_request_beside_a_download_takes_about_a_round_trip(engine: str) -> None:
    times = figures.request_times(Sender(engine), LOSSY, seconds=4.0, warm_up=1.0)
    assert len(times) > 40
    assert statistics.median(times) < 1.25
    assert figures.percentile(times, 0.9) < 2.2


@pytest.mark.parametrize("moved", [True, False], ids=["moved", "untold"])
@pytest.mark.parametrize(("rate", "then"), [(10, 2.5), (5, 10)], ids=["slower", "faster"])
def test_after_a_change_the_new_rate_is_found(rate: float, then: float, moved: bool) -> None:
    line = Line(rate=rate * MBIT, rtt=0.050, queue=64_000)
    other = replace(line, rate=then * MBIT)
    assert figures.after_a_change(Sender("aioquic"), line, other, moved=moved) > 0.8


def test_a_second_link_gets_a_share() -> None:
    line = Line(rate=5 * MBIT, rtt=0.050, queue=32_000)
    shares = figures.sharing((Sender("aioquic"), Sender("aioquic")), line, seconds=8.0)
    assert sum(shares) > 0.8
    assert min(shares) > 0.2
