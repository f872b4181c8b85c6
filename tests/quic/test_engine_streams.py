"""Many streams: beyond the peer's limit they wait, and the limit rises as streams end."""

from __future__ import annotations

import pytest
from pair import ROUGH, Engines, Network, Pair, assert_nothing_left


@pytest.mark.parametrize("network", [{}, ROUGH], ids=["good", "bad"])
def test_streams_beyond_the_limit_wait_and_then_go_on(network: dict, engines: Engines) -> None:
    pair = Pair.trusting(Network(**network), echo=True, engines=engines)
    data = [bytes([number]) * 1000 for number in range(100)]
    streams = [pair.client.open(d, fin=True) for d in data]
    pair.run(lambda: len(pair.client.ended) == 100)
    assert [bytes(pair.client.inbox[stream]) for stream in streams] == data
    pair.run(lambda: len(pair.server.ended) == 100)
    assert_nothing_left(*pair.ends)


def test_no_more_than_the_limit_are_open_at_once(engines: Engines) -> None:
    pair = Pair.trusting(streams=16, engines=engines)
    for _ in range(40):
        pair.client.open(b"hello")
    pair.run_for(3.0)
    assert len(pair.server.opened) == 16


def test_a_higher_limit_lets_those_that_wait_go_on(engines: Engines) -> None:
    pair = Pair.trusting(streams=16, engines=engines)
    for _ in range(40):
        pair.client.open(b"hello")
    pair.run_for(1.0)
    pair.server.engine.allow_streams(1000)
    pair.run(lambda: len(pair.server.inbox) == 40)


def test_the_limit_rises_by_what_has_ended(engines: Engines) -> None:
    pair = Pair.trusting(streams=16, echo=True, engines=engines)
    for _ in range(30):
        stream = pair.client.open(b"hello", fin=True)
        pair.run(lambda stream=stream: stream in pair.client.ended)
    for _ in range(40):
        pair.client.open(b"hello")
    pair.run_for(3.0)
    assert len(pair.server.opened) == 30 + 16


def test_the_limit_never_falls(engines: Engines) -> None:
    pair = Pair.trusting(streams=1000, engines=engines)
    pair.server.engine.allow_streams(1)
    for _ in range(40):
        pair.client.open(b"hello")
    pair.run(lambda: len(pair.server.opened) == 40)


def test_the_acceptor_may_open_streams_as_well(engines: Engines) -> None:
    pair = Pair.trusting(engines=engines)
    stream = pair.server.open(b"hello")
    assert stream == 1
    pair.run(lambda: pair.client.inbox.get(stream) == b"hello")


def test_a_stream_that_waits_can_be_reset(engines: Engines) -> None:
    """Nothing may be said of a stream that the peer does not allow yet: it would end the link."""
    pair = Pair.trusting(streams=16, engines=engines)
    first = [pair.client.open(b"hello") for _ in range(16)]
    waiting = [pair.client.open(b"hello") for _ in range(4)]
    pair.run_for(1.0)
    for stream in waiting:
        pair.client.reset(stream, 0x10)
    pair.run_for(2.0)
    assert pair.client.closed is pair.server.closed is None
    for stream in first:
        pair.client.reset(stream, 0x10)
    pair.run_for(3.0)
    assert pair.client.closed is pair.server.closed is None
    assert_nothing_left(*pair.ends)
    again = pair.client.open(b"again")
    pair.run(lambda: pair.server.inbox.get(again) == b"again")


def test_a_stream_that_waits_can_be_read_no_more(engines: Engines) -> None:
    pair = Pair.trusting(streams=16, engines=engines)
    for _ in range(16):
        pair.client.open(b"hello")
    waiting = pair.client.open(b"hello")
    pair.client.engine.stop_reading(waiting, 0x10)
    pair.run_for(2.0)
    assert pair.client.closed is pair.server.closed is None


def test_a_peer_that_opens_too_many_ends_the_link(met_by_aioquic: Engines) -> None:
    pair = Pair.trusting(streams=16, engines=met_by_aioquic)
    pair.client.engine._remote_max_streams_bidi = 1000
    for _ in range(17):
        pair.client.open(b"hello")
    pair.run(lambda: pair.server.closed is not None)
    assert "stream_limit_error" in pair.server.closed[1]


def test_a_small_stream_does_not_wait_behind_a_large_one(engines: Engines) -> None:
    pair = Pair.trusting(Network(delay=0.01, rate=2.5e6, queue=0.05), engines=engines)
    large = pair.client.open(bytes(8_000_000))
    pair.run_for(1.0)
    assert pair.client.engine.unsent(large) > 1_000_000
    asked_at = pair.now
    small = pair.client.open(b"question", fin=True)
    pair.run(lambda: small in pair.server.fins)
    waits = pair.network.delay + pair.network.queue
    assert pair.now - asked_at < 2 * waits, "no more than the path's own queue, and once lost"
