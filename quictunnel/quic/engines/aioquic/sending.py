"""What a connection sends: packets filled from the streams that have something, and no others.

aioquic visits every stream for every packet; here a stream stands in a table while it has frames to
write, in another while flow control holds its data back, and in none while it is idle. What is
said of the connection itself is for `control`, and by whom packets are built for `flights`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aioquic.quic.packet import QuicPacketType

from quictunnel.quic.engines.aioquic.control import ROOM_FOR_FRAME, ControlConnection
from quictunnel.quic.engines.aioquic.streams import StreamState
from quictunnel.quic.engines.aioquic.turns import Turns

if TYPE_CHECKING:
    from aioquic._buffer import Buffer
    from aioquic.quic.connection import QuicNetworkPath, QuicReceiveContext
    from aioquic.quic.packet_builder import QuicDeliveryHandler, QuicPacketBuilder
    from aioquic.quic.recovery import QuicPacketSpace

TAIL_PINGS = 3
"""How many of the ACKs that follow what was sent last ask for an ACK themselves: by as many packets
that arrive, a loss shows (RFC 9002, 6.1.1) in a round trip, and without a probe timeout."""


STREAM_WITH_LENGTH = 0x0A
"""The type of a STREAM frame that says how long it is, without its bits OFF and FIN."""

FRAME_HEADER_MAX = 1 + 8 + 8 + 2
"""Bytes before its data at most: type, stream, offset, length."""


class SendingConnection(ControlConnection):
    """A connection that keeps account of which streams have something to send."""

    def __init__(self, **arguments: Any) -> None:  # noqa: ANN401 - aioquic's own
        super().__init__(**arguments)
        self._opened: list[int] = []  # by the peer, not told of yet
        self._readable: dict[int, StreamState] = {}  # with data or an end that is not told of yet
        self._touched: dict[int, StreamState] = {}  # those that may have ended
        self._sending = Turns()
        self._held: dict[int, StreamState] = {}  # whose data flow control holds back
        self._tail_pings = 0  # that are still to follow what was sent last

    # Streams come to be

    def _new_state(self, stream_id: int, max_stream_data_remote: int) -> StreamState:
        state = StreamState(
            stream_id,
            touched=self._touch,
            window=self._local_max_stream_data_bidi_remote,
            max_stream_data_remote=max_stream_data_remote,
        )
        self._streams[stream_id] = state
        return state

    def _get_or_create_stream(self, frame_type: int, stream_id: int) -> StreamState:
        state = self._streams.get(stream_id)
        if state is not None:
            return state
        first = self._local_max_streams_bidi.used
        super()._get_or_create_stream(frame_type, stream_id)  # checks; opens the lower ones too
        self._streams_queue.clear()
        for number in range(first, self._local_max_streams_bidi.used):
            opened = number * 4 + stream_id % 4
            self._new_state(opened, self._remote_max_stream_data_bidi_local)
            self._opened.append(opened)
        return self._streams[stream_id]

    def _touch(self, state: StreamState) -> None:
        """Look at a stream again: it has something to send, or may have ended."""
        stream_id = state.number
        self._touched[stream_id] = state
        if state.wants_to_send and not state.is_blocked and stream_id in self._streams:
            self._held.pop(stream_id, None)
            self._sending.begin(state)

    # What lets held streams go on

    def _handle_max_data_frame(
        self, context: QuicReceiveContext, frame_type: int, buf: Buffer
    ) -> None:
        super()._handle_max_data_frame(context, frame_type, buf)
        self._sending.update(self._held)
        self._held.clear()

    def _handle_max_stream_data_frame(
        self, context: QuicReceiveContext, frame_type: int, buf: Buffer
    ) -> None:
        start = buf.tell()
        stream_id = buf.pull_uint_var()
        buf.seek(start)
        super()._handle_max_stream_data_frame(context, frame_type, buf)
        state = self._held.pop(stream_id, None)
        if state is not None:
            self._sending[stream_id] = state

    def _unblock_streams(self, is_unidirectional: bool) -> None:
        waiting = [state for state in self._streams_blocked_bidi if isinstance(state, StreamState)]
        super()._unblock_streams(is_unidirectional)
        for state in waiting:
            if not state.is_blocked:
                self._touch(state)

    # Packets

    def _write_application(
        self, builder: QuicPacketBuilder, network_path: QuicNetworkPath, now: float
    ) -> None:
        """Fill 1-RTT packets until nothing is left to send, or pacing or the window says stop.

        The window's stop comes as aioquic's QuicPacketBuilderStop, which its caller takes.
        """
        crypto = self._short_crypto
        if not crypto.send.is_valid():
            return
        space = self._short_space
        pacer = self._loss._pacer
        sending = self._sending
        has_own = self._has_own_frames(network_path)
        while True:
            ack_due = space.ack_at is not None and space.ack_at <= now
            if not ack_due:
                if not (sending or has_own):
                    return
                self._pacing_at = pacer.next_send_time(now=now)
                if self._pacing_at is not None:
                    return
            # A probe asks, and takes no new data along: a silent link would run empty by them.
            only_asks = self._probe_pending and self._loss.is_window_full
            builder.start_packet(QuicPacketType.ONE_RTT, crypto)
            if ack_due or (space.ack_at is not None and sending):
                self._write_ack(builder, space, now)
            if has_own:
                if self._handshake_complete:
                    self._write_control_frames(builder, network_path, space, now)
                self._write_crypto(builder, space)
                has_own = self._has_own_frames(network_path)
            if sending and not only_asks:
                self._write_streams(builder)
            if builder.packet_is_empty:
                return
            pacer.update_after_send(now=now, size=builder._buffer.tell())

    def _has_frames(self, path: QuicNetworkPath, now: float) -> bool:
        """Return whether there is any frame for a 1-RTT packet; if in doubt, yes."""
        ack_at = self._short_space.ack_at
        return bool(
            self._sending or (ack_at is not None and ack_at <= now) or self._has_own_frames(path)
        )

    def _has_own_frames(self, path: QuicNetworkPath) -> bool:
        """Return whether there is anything to say of the connection itself; if in doubt, yes."""
        data, streams = self._local_max_data, self._local_max_streams_bidi
        return bool(
            self._limits_due
            or data.value != data.sent
            or streams.value - streams.sent > streams.sent - streams.used
            or self._ping_pending
            or self._probe_pending
            or self._streams_blocked_pending
            or self._handshake_done_pending
            or self._retire_connection_ids
            or path.remote_challenges
            or not path.is_validated
            or not self._short_stream.sender.buffer_is_empty
            or self._ids_due
        )

    def _write_ack(self, builder: QuicPacketBuilder, space: QuicPacketSpace, now: float) -> None:
        self._write_ack_frame(builder=builder, space=space, now=now)
        if self._tail_pings and space.ack_eliciting_in_flight and not self._sending:
            self._tail_pings -= 1
            self._write_ping_frame(builder, comment="tail")

    def _write_crypto(self, builder: QuicPacketBuilder, space: QuicPacketSpace) -> None:
        stream = self._short_stream
        if not stream.sender.buffer_is_empty:
            self._write_crypto_frame(builder=builder, space=space, stream=stream)

    def _write_streams(self, builder: QuicPacketBuilder) -> None:
        """Fill what is left of a packet, turn by turn.

        Each turn either takes a stream from the table or has filled the packet.
        """
        sending = self._sending
        room = builder.remaining_flight_space
        while sending and room >= ROOM_FOR_FRAME:
            state = sending.next()
            if state.is_blocked:  # beyond the peer's limit, not a word (RFC 9000, 4.6)
                del sending[state.number]
                continue
            left = room
            if state.receiver.stop_pending:
                self._write_stop_sending_frame(builder=builder, stream=state)
                left = builder.remaining_flight_space
            if state.sender.reset_pending and left >= ROOM_FOR_FRAME:
                self._write_reset_stream_frame(builder=builder, stream=state)
            elif not state.sender.buffer_is_empty:
                self._write_data(builder, state, left)
            left = builder.remaining_flight_space
            sending.end(state, room - left)
            room = left

    def _write_data(self, builder: QuicPacketBuilder, state: StreamState, room: int) -> None:
        """Write a STREAM frame of at most `room` bytes."""
        sender = state.sender
        self._tail_pings = TAIL_PINGS
        before = sender.highest_offset
        limit = min(
            before + self._remote_max_data - self._remote_max_data_used,
            state.max_stream_data_remote,
        )
        piece = sender.take(room, limit)
        if piece is not None:
            offset, data, fin = piece  # it was cut to the room that there is
            write_stream_frame(
                builder, state.number, offset, data, fin=fin, handler=sender.on_data_delivery
            )
            self._remote_max_data_used += sender.highest_offset - before
        if sender.is_held(limit):
            del self._sending[state.number]
            self._held[state.number] = state


def write_stream_frame(
    builder: QuicPacketBuilder,
    stream_id: int,
    offset: int,
    data: bytes,
    *,
    fin: bool = False,
    handler: QuicDeliveryHandler | None = None,
) -> None:
    """Write a STREAM frame (RFC 9000, 19.8), which always says how long it is, in two bytes.

    :param handler: is told what has become of it.
    :raises QuicPacketBuilderStop: there is no room.
    """
    buf = builder.start_frame(
        STREAM_WITH_LENGTH | (0x04 if offset else 0) | fin,
        handler=handler,
        handler_args=(offset, offset + len(data), fin),
    )
    buf.push_uint_var(stream_id)
    if offset:
        buf.push_uint_var(offset)
    buf.push_uint16(len(data) | 0x4000)
    buf.push_bytes(data)
