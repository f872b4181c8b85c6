"""The emulated line does what its facts say, datagram by datagram."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.line.line import HEADERS, MBIT, Lanes, Line, Way

LINE = Line(rate=50 * MBIT, rtt=0.050)
SIZE = 1250
"""Bytes: such a packet takes 0.2 ms of the line."""


def test_a_datagram_takes_its_time_and_waits_for_those_before_it():
    way = Way(LINE, seed=1)
    assert way.arrival(SIZE, now=1.0) == pytest.approx(1.0252)
    assert way.arrival(SIZE, now=1.0) == pytest.approx(1.0254)
    assert way.arrival(SIZE, now=2.0) == pytest.approx(2.0252)
    assert [wait for _, wait in way.waits.samples] == pytest.approx([0.0, 0.0002, 0.0])


def test_what_finds_the_queue_full_is_dropped():
    way = Way(replace(LINE, queue=10_001), seed=1)
    assert [way.arrival(SIZE, now=0.0) is None for _ in range(10)] == [False] * 8 + [True] * 2
    assert way.dropped == 2
    assert way.arrival(SIZE, now=0.0003) is not None


@pytest.mark.parametrize("burst", [1, 3])
def test_as_much_is_lost_as_is_said_and_in_such_runs(burst: int):
    way = Way(replace(LINE, loss=0.03, burst=burst), seed=1)
    came = [way.arrival(SIZE, now=index * 0.001) is not None for index in range(100_000)]
    assert 0.028 < came.count(False) / len(came) < 0.032
    runs = "".join(" x"[not here] for here in came).split()
    assert sum(map(len, runs)) / len(runs) == pytest.approx(burst, rel=0.1)


def test_with_jitter_they_keep_their_order_unless_they_may_overtake():
    for overtaking in (False, True):
        way = Way(replace(LINE, jitter=0.02, overtaking=overtaking), seed=1)
        arrivals = [way.arrival(SIZE, now=index * 0.001) for index in range(1000)]
        assert (arrivals == sorted(arrivals)) is not overtaking
        late = [at - index * 0.001 - 0.0252 for index, at in enumerate(arrivals)]
        assert min(late) >= -1e-9
        assert max(late) <= 0.02


def test_all_who_share_a_line_share_its_queue_and_each_way_has_its_own():
    lanes = Lanes(LINE)
    assert lanes.arrivals(bytes(SIZE - HEADERS), "up", 0.0) == [pytest.approx(0.0252)]
    assert lanes.arrivals(bytes(SIZE - HEADERS), "up", 0.0) == [pytest.approx(0.0254)]
    assert lanes.arrivals(bytes(SIZE - HEADERS), "down", 0.0) == [pytest.approx(0.0252)]
    lanes.change(replace(LINE, rate=LINE.rate / 2))
    assert lanes.arrivals(bytes(SIZE - HEADERS), "down", 1.0) == [pytest.approx(1.0254)]
