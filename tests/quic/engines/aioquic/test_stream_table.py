"""The streams of a connection: what is reported, in which order, and what is counted as read."""

from __future__ import annotations

import pytest
from aioquic.quic.packet_builder import QuicDeliveryState
from aioquic.quic.stream import QuicStreamFrame

from quictunnel.quic.engines.aioquic.receive_credit import ReceiveCredit
from quictunnel.quic.engines.aioquic.stream_table import StreamTable
from quictunnel.quic.engines.aioquic.streams import AioquicStream
from quictunnel.quic.flow_control import STREAM_WINDOW, Budget


class World:
    """A table of streams, and how much of what they received is unread."""

    def __init__(self) -> None:
        self.budget = Budget(256 * 1024 * 1024)
        self.credit = ReceiveCredit(self.budget)
        self.table = StreamTable(self.credit)
        self.received = 0

    def open(self, stream_id: int) -> AioquicStream:
        return self.table.add(stream_id, peer_limit=1000)

    def receive(self, stream_id: int, data: bytes, *, fin: bool = False) -> None:
        receiver = self.table.open[stream_id].receiver
        frame = QuicStreamFrame(data, fin, receiver.highest_offset)
        event = receiver.handle_frame(frame)
        self.received += len(data)
        if event is not None:
            self.table.on_data(stream_id, event.data, fin=event.end_stream)

    def read(self, stream_id: int, limit: int = 10**9) -> tuple[bytes, bool]:
        return self.table.read(stream_id, limit, now=0.0, rtt=0.1)

    @property
    def unread(self) -> int:
        self.credit.update(0, received=self.received, now=0.0)
        return self.budget.unread

    @property
    def ended(self) -> list[int]:
        return [stream.id for stream in self.table.pop_ended()]


def acknowledge_all(stream: AioquicStream) -> None:
    """Let the peer acknowledge all that a stream has written."""
    while (frame := stream.sender.get_frame(1000)) is not None:
        stop = frame.offset + len(frame.data)
        stream.sender.on_data_delivery(QuicDeliveryState.ACKED, frame.offset, stop, frame.fin)


@pytest.fixture
def world() -> World:
    return World()


def test_readable_streams_are_reported_first_in_first_out(world: World) -> None:
    order = [8, 0, 12, 4]
    for stream_id in sorted(order):
        world.open(stream_id)
    for stream_id in order:
        world.receive(stream_id, b"!")
    world.receive(order[0], b"?")
    assert list(world.table.pop_readable()) == order
    assert list(world.table.pop_readable()) == []


def test_a_stream_that_is_stopped_while_others_are_reported_is_not(world: World) -> None:
    for stream_id in (0, 4):
        world.open(stream_id)
        world.receive(stream_id, b"!")
    reported = world.table.pop_readable()
    assert next(reported) == 0
    world.table.stop_reading(4, 7)
    assert list(reported) == []


def test_ended_streams_are_reported_first_in_first_out(world: World) -> None:
    order = [8, 0, 12, 4]
    for stream_id in order:
        stream = world.open(stream_id)
        stream.sender.write(b"", end_stream=True)
        world.receive(stream_id, b"", fin=True)
        world.read(stream_id)
    assert world.ended == []
    for stream_id in order:
        acknowledge_all(world.table.open[stream_id])
    assert world.ended == order
    assert not world.table.open


def test_credit_is_for_bytes_that_were_read(world: World) -> None:
    world.open(0)
    world.receive(0, bytes(3000))
    assert world.unread == 3000
    world.receive(0, bytes(3000))
    assert len(world.read(0, 3000)[0]) == 3000
    assert world.unread == 3000
    world.table.stop_reading(0, 7)
    assert world.unread == 0
    world.receive(0, bytes(100))
    assert world.unread == 0, "nobody will read it"


def test_a_window_moves_when_half_of_it_was_read(world: World) -> None:
    stream = world.open(0)
    for _ in range(2):
        world.receive(0, bytes(STREAM_WINDOW // 4))
    world.read(0, 1)
    assert not world.table.windows_moved
    world.read(0)
    assert world.table.windows_moved == {0: stream}
    assert stream.max_stream_data_local == STREAM_WINDOW * 3 // 2


def test_no_window_moves_for_a_peer_that_has_ended(world: World) -> None:
    world.open(0)
    world.receive(0, bytes(STREAM_WINDOW), fin=True)
    assert world.read(0) == (bytes(STREAM_WINDOW), True)
    assert not world.table.windows_moved


def test_the_end_is_told_with_the_last_byte(world: World) -> None:
    world.open(0)
    world.receive(0, bytes(3000))
    world.receive(0, bytes(3000), fin=True)
    assert world.read(0, 1) == (bytes(3000), False)
    assert world.read(0, 1) == (bytes(3000), True)


def test_a_reset_is_reported_unless_nobody_reads(world: World) -> None:
    for stream_id in (0, 4):
        world.open(stream_id)
    world.table.stop_reading(4, 7)
    for stream_id in (0, 4):
        world.table.open[stream_id].receiver.handle_reset(final_size=50)
    world.received = 100
    assert world.table.on_reset(0)
    assert world.unread == 100, "until the reader has heard of it"
    assert not world.table.on_reset(4)
    assert world.unread == 50


def test_an_ended_stream_stands_in_no_table(world: World) -> None:
    stream = world.open(0)
    stream.sender.write(b"abc")
    world.table.on_change(stream)
    stream.was_reset = True
    stream.sender.reset(7)
    world.receive(0, bytes(STREAM_WINDOW))
    world.read(0)
    world.table.stop_reading(0, 7)
    stream.receiver.handle_reset(final_size=STREAM_WINDOW)
    world.table.on_reset(0)
    stream.sender.on_reset_delivery(QuicDeliveryState.ACKED)
    assert len(world.table.send_queue) == 1
    assert world.ended == [0]
    assert not world.table.send_queue
    assert not world.table.windows_moved
    world.table.on_change(stream)  # a late acknowledgement
    assert not world.table.send_queue
    assert world.ended == []
