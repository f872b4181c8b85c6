"""One stream: its inbox, its halves, and what they report."""

from __future__ import annotations

import pytest
from aioquic.quic.connection import QuicConnectionError
from aioquic.quic.packet_builder import QuicDeliveryState
from aioquic.quic.rangeset import RangeSet
from aioquic.quic.stream import QuicStreamFrame
from aioquic.tls import Epoch
from hypothesis import given
from hypothesis import strategies as st
from pair import Pair

from quictunnel.quic.engines.aioquic.streams import (
    GAPS_MAX,
    PIECE_MIN,
    AioquicStream,
    Ranges,
    Receiver,
    Sender,
)
from testkit.lines import lines_of

ACKED, LOST = QuicDeliveryState


class Owner:
    """A stream and how often it has reported a change."""

    def __init__(self) -> None:
        self.changes = 0
        self.stream = AioquicStream(0, on_change=self.on_change, peer_limit=1000)

    def on_change(self, stream: AioquicStream) -> None:
        assert stream.id == 0
        self.changes += 1

    def receive(self, data: bytes, offset: int, *, fin: bool = False) -> None:
        event = self.stream.receiver.handle_frame(QuicStreamFrame(data, fin, offset))
        if event is not None:
            self.stream.put(event.data)
            self.stream.fin_received |= event.end_stream


@pytest.fixture
def owner() -> Owner:
    return Owner()


class TestInbox:
    def test_small_pieces_are_joined_and_large_ones_are_not(self, owner: Owner) -> None:
        stream = owner.stream
        for _ in range(100):
            stream.put(b"ab")
        assert len(stream.inbox) == 1
        stream.put(bytes(PIECE_MIN))
        assert len(stream.inbox) == 2
        stream.put(b"")
        assert stream.take(10**6) == b"ab" * 100 + bytes(PIECE_MIN)
        assert stream.take(10) == b""

    def test_whole_pieces_are_taken_until_the_limit_is_reached(self, owner: Owner) -> None:
        for _ in range(3):
            owner.stream.put(bytes(PIECE_MIN))
        assert len(owner.stream.take(1)) == PIECE_MIN
        assert len(owner.stream.take(PIECE_MIN + 1)) == 2 * PIECE_MIN

    def test_stopping_drops_it_and_asks_the_peer_to_stop(self, owner: Owner) -> None:
        owner.receive(bytes(100), 0)
        owner.receive(bytes(100), 200)  # behind a gap: it may still be sent again
        owner.stream.stop_reading(7)
        assert not owner.stream.inbox
        assert owner.stream.receiver.stop_pending
        assert owner.stream.count_dropped() == 100
        assert owner.stream.count_dropped() == 0

    def test_all_up_to_the_final_size_is_dropped_with_a_reset(self, owner: Owner) -> None:
        owner.receive(bytes(100), 0)
        owner.stream.receiver.handle_reset(final_size=500, error_code=1)
        owner.stream.stop_reading(7)
        assert not owner.stream.receiver.stop_pending, "the peer has ended already"
        assert owner.stream.count_dropped() == 500


class TestSender:
    def test_unsent_counts_no_retransmission(self, owner: Owner) -> None:
        sender = owner.stream.sender
        sender.write(bytes(100))
        assert sender.unsent == 100
        sender.get_frame(60)
        assert sender.unsent == 40
        sender.on_data_delivery(LOST, 0, 60, False)
        assert sender.unsent == 40
        assert owner.changes == 1

    def test_it_is_blocked_by_a_limit_only_for_new_data(self, owner: Owner) -> None:
        sender = owner.stream.sender
        assert not sender.is_blocked_at(0)
        sender.write(bytes(100))
        sender.get_frame(100, 50)
        assert sender.is_blocked_at(50)
        sender.on_data_delivery(LOST, 10, 20, False)
        assert not sender.is_blocked_at(50)

    def test_its_end_is_reported_when_all_is_acknowledged(self, owner: Owner) -> None:
        sender = owner.stream.sender
        sender.write(b"abc", end_stream=True)
        sender.get_frame(100)
        sender.on_data_delivery(ACKED, 0, 3, True)
        assert sender.is_finished
        assert owner.changes == 1

    def test_a_reset_frees_the_buffer_and_is_sent_until_acknowledged(self, owner: Owner) -> None:
        sender: Sender = owner.stream.sender
        sender.write(bytes(1000))
        sender.get_frame(10)
        sender.reset(7)
        assert (len(sender._buffer), sender.unsent, sender.was_reset) == (0, 0, True)
        assert sender.get_reset_frame().final_size == 10
        sender.on_data_delivery(LOST, 0, 10, False)
        assert not sender.reset_pending
        sender.on_reset_delivery(LOST)
        assert owner.stream.wants_to_send
        sender.get_reset_frame()
        sender.on_reset_delivery(ACKED)
        assert sender.is_finished


class TestReceiver:
    def test_a_lost_stop_sending_is_sent_again_while_the_peer_may_send(self, owner: Owner) -> None:
        receiver = owner.stream.receiver
        owner.stream.stop_reading(7)
        receiver.get_stop_frame()
        receiver.on_stop_sending_delivery(LOST)
        assert owner.stream.wants_to_send
        assert receiver.get_stop_frame().error_code == 7
        receiver.handle_reset(final_size=0)
        receiver.on_stop_sending_delivery(LOST)
        assert not receiver.stop_pending

    def test_too_many_gaps_end_the_connection(self) -> None:
        receiver = Receiver(0, lambda: None)
        leave_gaps(receiver, GAPS_MAX)
        with pytest.raises(QuicConnectionError, match="gaps"):
            leave_gaps(receiver, GAPS_MAX + 1)

    def test_gaps_that_are_filled_do_not_count(self) -> None:
        receiver = Receiver(0, lambda: None)
        for _ in range(3):
            start = receiver.starting_offset()
            leave_gaps(receiver, GAPS_MAX)
            receiver.handle_frame(QuicStreamFrame(data=bytes(2 * GAPS_MAX), offset=start))
            assert receiver.starting_offset() == start + 2 * GAPS_MAX

    def test_a_frame_costs_little_beside_as_many_gaps_as_may_be(self) -> None:
        receiver = Receiver(0, lambda: None)
        leave_gaps(receiver, GAPS_MAX)
        frame = QuicStreamFrame(data=b"!", offset=2 * GAPS_MAX - 1)
        assert lines_of(lambda: receiver.handle_frame(frame)) < 100


def leave_gaps(receiver: Receiver, count: int) -> None:
    """Let so many bytes arrive, no two of them neighbours."""
    start = receiver.starting_offset() + 1
    for number in range(count):
        receiver.handle_frame(QuicStreamFrame(data=b"!", offset=start + 2 * number))


@pytest.mark.parametrize("epoch", [Epoch.INITIAL, Epoch.HANDSHAKE, Epoch.ONE_RTT])
def test_the_gaps_in_a_handshake_are_limited_at_both_ends(epoch: Epoch) -> None:
    pair = Pair()
    pair.run(lambda: all(end.handshakes for end in pair.ends))
    for end in pair.ends:
        receiver = end.engine._crypto_streams[epoch].receiver
        with pytest.raises(QuicConnectionError, match="gaps"):
            leave_gaps(receiver, GAPS_MAX + 1)


def test_a_peer_that_leaves_too_many_gaps_is_disconnected() -> None:
    pair = Pair.trusting()
    stream_id = pair.client.open(b"!")
    pair.run(lambda: stream_id in pair.server.inbox)
    stream = pair.client.engine._table.open[stream_id]
    stream.sender.write(bytes(4 * GAPS_MAX))
    pending = stream.sender._pending
    pending.shift()
    for offset in range(2, 2 * GAPS_MAX + 10, 2):  # as if the bytes between were to follow
        pending.add(offset, offset + 1)
    pair.client.engine._table.send_queue.add(stream)
    pair.run(lambda: pair.server.closed is not None)
    code, reason, by_peer = pair.server.closed
    assert (code, by_peer) == (None, False)
    assert "gaps" in reason


def test_it_may_be_discarded_when_both_halves_are_over_and_the_end_is_read(owner: Owner) -> None:
    stream = owner.stream
    stream.sender.write(b"", end_stream=True)
    stream.sender.get_frame(10)
    stream.sender.on_data_delivery(ACKED, 0, 0, True)
    assert not stream.may_be_discarded
    owner.receive(b"abc", 0, fin=True)
    assert not stream.may_be_discarded, "nobody has read it"
    stream.fin_read = True
    assert stream.may_be_discarded


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=60))
def test_ranges_are_those_that_aioquic_keeps(pieces: list[tuple[int, int]]) -> None:
    ours, theirs = Ranges(), RangeSet()
    for start, size in pieces:
        ours.add(start, start + size)
        theirs.add(start, start + size)
        assert list(ours) == list(theirs)
