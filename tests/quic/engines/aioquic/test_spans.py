"""What comes out of order costs little, and its disorder is bounded, before a handshake too."""

from __future__ import annotations

import pytest
from aioquic.quic.connection import QuicConnectionError
from aioquic.quic.rangeset import RangeSet
from aioquic.quic.stream import QuicStreamFrame
from aioquic.tls import Epoch
from hypothesis import given
from hypothesis import strategies as some
from pair import Pair

from quictunnel.quic.engines.aioquic.spans import (
    CRYPTO_SPANS_MAX,
    STREAM_SPANS_MAX,
    BoundedReceiver,
    Spans,
)


@given(some.lists(some.tuples(some.integers(0, 60), some.integers(1, 12))))
def test_spans_are_what_aioquics_own_are(added: list[tuple[int, int]]) -> None:
    ours, theirs = Spans(), RangeSet()
    for start, size in added:
        for spans in (ours, theirs):
            spans.add(start, start + size)
        assert [ours[index] for index in range(len(ours))] == list(theirs)
    while len(theirs):
        assert ours.shift() == theirs.shift()
    assert len(ours) == 0


def single_bytes(receiver: BoundedReceiver, count: int) -> None:
    """Let so many bytes come, no two of them neighbours."""
    start = receiver.starting_offset() + 1
    for number in range(count):
        receiver.handle_frame(QuicStreamFrame(data=b"!", offset=start + 2 * number))


@pytest.mark.parametrize("most", [CRYPTO_SPANS_MAX, STREAM_SPANS_MAX])
def test_more_gaps_than_any_network_leaves_end_the_connection(most: int) -> None:
    receiver = BoundedReceiver(0, spans_max=most)
    single_bytes(receiver, most)
    with pytest.raises(QuicConnectionError, match="gaps"):
        single_bytes(receiver, most + 1)


def test_gaps_that_are_filled_count_no_more() -> None:
    receiver = BoundedReceiver(0, spans_max=10)
    for _ in range(3):
        start = receiver.starting_offset()
        single_bytes(receiver, 10)
        receiver.handle_frame(QuicStreamFrame(data=bytes(20), offset=start))
        assert receiver.starting_offset() == start + 20


@pytest.mark.parametrize("epoch", [Epoch.INITIAL, Epoch.HANDSHAKE, Epoch.ONE_RTT])
def test_handshakes_are_bounded_at_both_ends(epoch: Epoch) -> None:
    pair = Pair()
    pair.run(lambda: all(end.handshakes for end in pair.ends))
    for end in pair.ends:
        receiver = end.engine._crypto_streams[epoch].receiver
        with pytest.raises(QuicConnectionError, match="gaps"):
            single_bytes(receiver, CRYPTO_SPANS_MAX + 1)


def test_a_peer_that_leaves_too_many_gaps_is_thrown_out() -> None:
    pair = Pair.trusting()
    stream = pair.client.open(b"!")
    pair.run(lambda: stream in pair.server.inbox)
    sender = pair.client.engine._streams[stream].sender
    sender.write(bytes(4 * STREAM_SPANS_MAX))
    pending = sender._pending
    pending.shift()
    # Every other byte is sent, as if the rest were yet to come.
    for at in range(2, 2 * STREAM_SPANS_MAX + 10, 2):
        pending.add(at, at + 1)
    pair.client.engine._sending[stream] = pair.client.engine._streams[stream]
    pair.run(lambda: pair.server.closed is not None)
    code, reason, by_peer = pair.server.closed
    assert (code, by_peer) == (None, False)
    assert "gaps" in reason
