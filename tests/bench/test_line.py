"""Networks and lines treat each datagram as their properties say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.line.line import HEADERS, MBIT, Line
from testkit.network import Network

LINE = Line(rate=50 * MBIT, rtt=0.050)

SIZE = 1250
"""Bytes: such a packet takes 0.2 ms of the line."""


def arrival(network: Network, now: float, direction: str = "up") -> float | None:
    """Return when a packet arrives, or None."""
    times = network.arrivals(SIZE, direction, now)
    return times[0] if times else None


def test_a_datagram_waits_for_the_previous_ones():
    network = LINE.network(seed=1)
    assert arrival(network, now=1.0) == pytest.approx(1.0252)
    assert arrival(network, now=1.0) == pytest.approx(1.0254)
    assert arrival(network, now=2.0) == pytest.approx(2.0252)
    waits = [wait for _, wait in network.direction("up").waits]
    assert waits == pytest.approx([0.0, 0.0002, 0.0])


def test_a_full_queue_drops_datagrams():
    network = replace(LINE, queue=10_001).network(seed=1)
    assert [arrival(network, now=0.0) is None for _ in range(10)] == [False] * 8 + [True] * 2
    assert network.direction("up").overflowed == network.dropped == 2
    assert arrival(network, now=0.0003) is not None


@pytest.mark.parametrize("burst", [1, 3])
def test_the_configured_share_is_lost_in_bursts(burst: int):
    network = replace(LINE, loss=0.03, burst=burst).network(seed=1)
    came = [arrival(network, now=index * 0.001) is not None for index in range(100_000)]
    assert 0.028 < came.count(False) / len(came) < 0.032
    runs = "".join(" x"[not here] for here in came).split()
    assert sum(map(len, runs)) / len(runs) == pytest.approx(burst, rel=0.1)


def test_jitter_keeps_the_order_unless_overtaking_is_allowed():
    for overtaking in (False, True):
        network = replace(LINE, jitter=0.02, overtaking=overtaking).network(seed=1)
        arrivals = [arrival(network, now=index * 0.001) for index in range(1000)]
        assert (arrivals == sorted(arrivals)) is not overtaking
        late = [at - index * 0.001 - 0.0252 for index, at in enumerate(arrivals)]
        assert min(late) >= -1e-9
        assert max(late) <= 0.02


def test_links_share_a_queue_and_each_direction_has_its_own():
    network = LINE.network(seed=1, overhead=HEADERS)
    assert network.arrivals(SIZE - HEADERS, "up", 0.0) == [pytest.approx(0.0252)]
    assert network.arrivals(SIZE - HEADERS, "up", 0.0) == [pytest.approx(0.0254)]
    assert network.arrivals(SIZE - HEADERS, "down", 0.0) == [pytest.approx(0.0252)]
    replace(LINE, rate=LINE.rate / 2).apply(network)
    assert network.arrivals(SIZE - HEADERS, "down", 1.0) == [pytest.approx(1.0254)]


def test_datagrams_are_duplicated_and_large_ones_are_lost():
    network = Network(duplication=0.5, mtu=1400)
    copies = [len(network.arrivals(1400, "up", index * 0.1)) for index in range(1000)]
    assert 400 < copies.count(2) < 600
    assert copies.count(0) == 0
    assert network.arrivals(1401, "up", 200.0) == []


def test_nothing_arrives_while_the_network_is_cut():
    network = Network(cut=True)
    assert network.arrivals(SIZE, "up", 0.0) == []
    network.cut = False
    assert network.arrivals(SIZE, "up", 1.0) == [pytest.approx(1.01)]
