"""Many connections are measured at once, and a rate is judged."""

from __future__ import annotations

import io
import socket

import pytest
from rich.console import Console

from bench.rates import Row, table
from testkit.connections import TcpPeer
from testkit.flows import flow


def row(limited: float) -> Row:
    return Row("quinn", "down", 50, limited, (limited / 51, limited / 49), 3000.0, 2900.0)


@pytest.fixture
def pairs():
    pairs = [tuple(map(TcpPeer, socket.socketpair())) for _ in range(3)]
    yield pairs
    for pair in pairs:
        for peer in pair:
            peer.sock.close()


def test_bytes_are_counted_where_they_arrive(pairs):
    result = flow([a for a, _ in pairs], [b for _, b in pairs], 0.1, warm_up=0.05)
    assert len(result.received) == 3
    assert min(result.received) > 0
    assert result.seconds >= 0.1
    assert result.megabits == pytest.approx(sum(result.received) * 8e-6 / result.seconds)


def test_a_connection_without_a_sender_gets_nothing(pairs):
    (sender, _), *others = pairs
    result = flow([sender], [b for _, b in pairs], 0.1)
    assert result.received[0] > 0
    assert result.received[1:] == (0,) * len(others)


@pytest.mark.parametrize(
    ("limited", "is_exact"), [(9.4, False), (9.5, True), (10.5, True), (10.6, False)]
)
def test_a_rate_may_differ_by_a_twentieth(limited, is_exact):
    assert row(limited).is_exact == is_exact


def test_the_table_compares_the_other_service_with_itself():
    console = Console(width=120, file=io.StringIO())
    console.print(table([row(10.0)]))
    assert "0.97" in console.file.getvalue()
