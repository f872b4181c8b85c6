"""What little a stream says comes soon on a path that loses some, though its packet is lost."""

from __future__ import annotations

import pytest
from pair import Engines, Network, Pair

DELAY = 0.05
ROUND_TRIP = 2 * DELAY
SOON = 0.75 * ROUND_TRIP
"""One way, and what a repetition waits for; to see a loss and mend it takes two round trips."""

REMEMBERED = 10.0
"""Seconds."""


def lose_some(pair: Pair, stream: int) -> None:
    """Lose a packet with data, and have it mended and known."""
    say_unheard(pair, stream, b"first")
    pair.run(lambda: pair.server.inbox.get(stream) == b"first")
    pair.run_for(ROUND_TRIP)


def say_unheard(pair: Pair, stream: int, words: bytes) -> None:
    """Write, and lose what leaves at once."""
    pair.network.cut = True
    pair.client.write(stream, words)
    pair.run_for(0.001)
    pair.network.cut = False


@pytest.fixture
def pair(engines: Engines) -> Pair:
    return Pair.trusting(Network(delay=DELAY), engines=engines)


def test_where_a_packet_was_lost_the_next_loss_costs_next_to_nothing(pair: Pair) -> None:
    stream = pair.client.open()
    lose_some(pair, stream)
    for count in range(1, 4):
        say_unheard(pair, stream, b".")
        words = b"first" + count * b"."
        pair.run(lambda words=words: pair.server.inbox[stream] == words, limit=SOON)
        pair.run_for(ROUND_TRIP)


def test_of_several_streams_each_has_its_own(pair: Pair) -> None:
    streams = [pair.client.open() for _ in range(3)]
    lose_some(pair, streams[0])
    for stream in streams[1:]:
        say_unheard(pair, stream, b"hello")
    pair.run(lambda: all(pair.server.inbox.get(s) == b"hello" for s in streams[1:]), limit=SOON)


@pytest.mark.parametrize("wait", [0.0, REMEMBERED + 1.0])
def test_where_nothing_was_lost_of_late_nothing_is_sent_twice(pair: Pair, wait: float) -> None:
    stream = pair.client.open()
    if wait:
        lose_some(pair, stream)
        pair.run_for(wait)
    say_unheard(pair, stream, b".")
    with pytest.raises(AssertionError, match="not within"):
        pair.run(lambda: pair.server.inbox.get(stream, b"").endswith(b"."), limit=1.5 * ROUND_TRIP)
    pair.run(lambda: pair.server.inbox.get(stream, b"").endswith(b"."))


def test_much_is_not_sent_twice(pair: Pair) -> None:
    stream = pair.client.open()
    lose_some(pair, stream)
    say_unheard(pair, stream, bytes(1001))
    with pytest.raises(AssertionError, match="not within"):
        pair.run(lambda: len(pair.server.inbox[stream]) > len(b"first"), limit=1.5 * ROUND_TRIP)


def test_a_stream_that_is_reset_meanwhile_says_nothing_more(pair: Pair) -> None:
    stream = pair.client.open()
    lose_some(pair, stream)
    say_unheard(pair, stream, b"said in vain")
    pair.client.reset(stream, 7)
    pair.run(lambda: stream in pair.server.resets)
    pair.run_for(1.0)
    assert pair.server.resets == {stream: 7}
    assert pair.client.closed is None
    assert pair.server.closed is None


def test_a_move_meanwhile_loses_nothing(pair: Pair) -> None:
    stream = pair.client.open()
    lose_some(pair, stream)
    say_unheard(pair, stream, b".")
    pair.client.engine.move(pair.now)
    pair.run(lambda: pair.server.inbox[stream] == b"first.")
    assert pair.client.closed is None
