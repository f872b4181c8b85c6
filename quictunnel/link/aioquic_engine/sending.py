"""What a connection sends: packets filled from the streams that have something, and no others.

aioquic visits every stream for every packet; here a stream stands in a table while it has frames to
write, in another while flow control holds its data back, and in none while it is idle. Neither does
a window move here: `connection` moves it when data is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aioquic import tls
from aioquic.quic.connection import (
    CONNECTION_LIMIT_FRAME_CAPACITY,
    MAX_STREAM_DATA_FRAME_CAPACITY,
    QuicConnection,
)
from aioquic.quic.packet import QuicFrameType, QuicPacketType
from aioquic.quic.packet_builder import QuicDeliveryState, QuicPacketBuilder

from quictunnel.link.aioquic_engine.mtu import PathMtu
from quictunnel.link.aioquic_engine.recovery import Recovery
from quictunnel.link.aioquic_engine.streams import StreamState
from quictunnel.link.aioquic_engine.turns import Turns

if TYPE_CHECKING:
    from aioquic._buffer import Buffer
    from aioquic.quic.connection import QuicNetworkPath, QuicReceiveContext
    from aioquic.quic.recovery import QuicPacketSpace

    from quictunnel.link.engine import Datagram

TAIL_PINGS = 3
"""How many of the ACKs that follow what was sent last ask for an ACK themselves: by as many packets
that arrive, a loss shows (RFC 9002, 6.1.1) in a round trip, and without a probe timeout."""

ROOM_FOR_FRAME = 32
"""Bytes that must be left in a packet to start one more frame: its header, and some data."""


class SendingConnection(QuicConnection):
    """A connection that keeps account of which streams have something to send."""

    _streams: dict[int, StreamState]  # type: ignore[assignment]  # `_new_state` makes them all
    _loss: Recovery

    def __init__(self, **arguments: Any) -> None:  # noqa: ANN401 - aioquic's own
        super().__init__(**arguments)
        self._opened: list[int] = []  # by the peer, not told of yet
        self._readable: dict[int, StreamState] = {}  # with data or an end that is not told of yet
        self._touched: dict[int, StreamState] = {}  # those that may have ended
        self._sending = Turns()
        self._held: dict[int, StreamState] = {}  # whose data flow control holds back
        self._limits_due: dict[int, StreamState] = {}  # with a window to tell of
        self._tail_pings = 0  # that are still to follow what was sent last
        self._mtu = PathMtu(self._max_datagram_size)
        self._loss = Recovery(
            congestion_control_algorithm=self._configuration.congestion_control_algorithm,
            initial_rtt=self._configuration.initial_rtt,
            max_datagram_size=self._max_datagram_size,
            peer_completed_address_validation=not self._is_client,
            send_probe=self._send_probe,
            logger=self._logger,
        )

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

    def _on_limit_delivery(self, delivery: QuicDeliveryState, state: StreamState) -> None:
        """Take word of a MAX_STREAM_DATA frame: a lost one is written again, with today's limit."""
        if delivery != QuicDeliveryState.ACKED and state.number in self._streams:
            self._limits_due[state.number] = state

    # Packets

    def _write_application(
        self, builder: QuicPacketBuilder, network_path: QuicNetworkPath, now: float
    ) -> None:
        """Fill 1-RTT packets until nothing is left to send, or pacing or the window says stop.

        The window's stop comes as aioquic's QuicPacketBuilderStop, which its caller takes.
        """
        if not self._cryptos[tls.Epoch.ONE_RTT].send.is_valid():
            return
        space = self._spaces[tls.Epoch.ONE_RTT]
        pacer = self._loss._pacer
        while self._has_frames(space, network_path, now):
            ack_due = space.ack_at is not None and space.ack_at <= now
            if not ack_due:
                self._pacing_at = pacer.next_send_time(now=now)
                if self._pacing_at is not None:
                    return
            # A probe asks, and takes no new data along: a silent link would run empty by them.
            only_asks = self._probe_pending and self._loss.is_window_full
            builder.start_packet(QuicPacketType.ONE_RTT, self._cryptos[tls.Epoch.ONE_RTT])
            if ack_due or (space.ack_at is not None and self._sending):
                self._write_ack_frame(builder=builder, space=space, now=now)
                if self._tail_pings and space.ack_eliciting_in_flight and not self._sending:
                    self._tail_pings -= 1
                    self._write_ping_frame(builder, comment="tail")
            if self._handshake_complete:
                self._write_control_frames(builder, network_path, space, now)
            self._write_crypto(builder, space)
            if not only_asks:
                self._write_streams(builder, space)
            if builder.packet_is_empty:
                return
            pacer.update_after_send(now=now, size=builder._buffer.tell())

    def _may_have_to_send(self, now: float) -> bool:
        """Return whether it is worth while to begin a packet: most turns of the loop have none."""
        if (
            not self._handshake_confirmed
            or self._close_pending
            or len(self._network_paths) > 1
            or self._has_frames(self._spaces[tls.Epoch.ONE_RTT], self._network_paths[0], now)
        ):
            return True
        self._pacing_at = None  # nothing waits for it
        return False

    def _has_frames(self, space: QuicPacketSpace, path: QuicNetworkPath, now: float) -> bool:
        """Return whether there is any frame for a 1-RTT packet; if in doubt, yes."""
        data, streams = self._local_max_data, self._local_max_streams_bidi
        return bool(
            self._sending
            or (space.ack_at is not None and space.ack_at <= now)
            or self._limits_due
            or data.value != data.sent
            or streams.value - streams.sent > streams.sent - streams.used
            or self._ping_pending
            or self._probe_pending
            or self._streams_blocked_pending
            or self._handshake_done_pending
            or self._retire_connection_ids
            or path.remote_challenges
            or not path.is_validated
            or not self._crypto_streams[tls.Epoch.ONE_RTT].sender.buffer_is_empty
            or any(not connection_id.was_sent for connection_id in self._host_cids)
        )

    def _write_control_frames(
        self,
        builder: QuicPacketBuilder,
        network_path: QuicNetworkPath,
        space: QuicPacketSpace,
        now: float,
    ) -> None:
        """Write what concerns the connection: paths, connection ids, limits, pings."""
        if not (network_path.is_validated or network_path.local_challenge_sent):
            self._write_path_challenge_frame(builder=builder, network_path=network_path)
            if network_path.validation_deadline is None:
                # RFC 9000, 8.2.4: three times the larger of this path's PTO and a new one's.
                pto = max(self._loss.get_probe_timeout(), 2 * self._configuration.initial_rtt)
                network_path.validation_deadline = now + 3 * pto
        if self._handshake_done_pending:
            self._write_handshake_done_frame(builder=builder)
            self._handshake_done_pending = False
        while network_path.remote_challenges:
            challenge = network_path.remote_challenges[0]
            self._write_path_response_frame(builder=builder, challenge=challenge)
            network_path.remote_challenges.popleft()
        for connection_id in self._host_cids:
            if not connection_id.was_sent:
                self._write_new_connection_id_frame(builder=builder, connection_id=connection_id)
        while self._retire_connection_ids:
            number = self._retire_connection_ids[0]
            self._write_retire_connection_id_frame(builder=builder, sequence_number=number)
            self._retire_connection_ids.pop(0)
        if self._streams_blocked_pending:
            self._write_streams_blocked_frame(
                builder=builder,
                frame_type=QuicFrameType.STREAMS_BLOCKED_BIDI,
                limit=self._remote_max_streams_bidi,
            )
            self._streams_blocked_pending = False
        self._write_connection_limits(builder=builder, space=space)
        while self._limits_due and builder.remaining_buffer_space >= ROOM_FOR_FRAME:
            stream_id, state = next(iter(self._limits_due.items()))
            self._write_stream_limit(builder, state)
            del self._limits_due[stream_id]
        if self._ping_pending:
            self._write_ping_frame(builder, self._ping_pending)
            self._ping_pending.clear()
        if self._probe_pending:
            self._write_ping_frame(builder, comment="probe")
            self._probe_pending = False

    def _write_connection_limits(self, builder: QuicPacketBuilder, space: QuicPacketSpace) -> None:
        """Tell of MAX_DATA when it has moved, of MAX_STREAMS when half of the grant is used up."""
        streams = self._local_max_streams_bidi
        due = [self._local_max_data]
        if streams.value - streams.sent > streams.sent - streams.used:
            due.append(streams)
        for limit in due:
            if limit.value == limit.sent:
                continue
            buf = builder.start_frame(
                limit.frame_type,
                capacity=CONNECTION_LIMIT_FRAME_CAPACITY,
                handler=self._on_connection_limit_delivery,
                handler_args=(limit,),
            )
            buf.push_uint_var(limit.value)
            limit.sent = limit.value

    def _write_stream_limit(self, builder: QuicPacketBuilder, state: StreamState) -> None:
        """Tell of MAX_STREAM_DATA, which `connection` has moved."""
        buf = builder.start_frame(
            QuicFrameType.MAX_STREAM_DATA,
            capacity=MAX_STREAM_DATA_FRAME_CAPACITY,
            handler=self._on_limit_delivery,
            handler_args=(state,),
        )
        buf.push_uint_var(state.number)
        buf.push_uint_var(state.max_stream_data_local)
        state.max_stream_data_local_sent = state.max_stream_data_local

    def _write_crypto(self, builder: QuicPacketBuilder, space: QuicPacketSpace) -> None:
        stream = self._crypto_streams[tls.Epoch.ONE_RTT]
        if not stream.sender.buffer_is_empty:
            self._write_crypto_frame(builder=builder, space=space, stream=stream)

    def _write_streams(self, builder: QuicPacketBuilder, space: QuicPacketSpace) -> None:
        """Fill what is left of a packet, turn by turn.

        Each turn either takes a stream from the table or has filled the packet.
        """
        sending = self._sending
        while sending and builder.remaining_flight_space >= ROOM_FOR_FRAME:
            state = sending.next()
            if state.is_blocked:  # beyond the peer's limit, not a word (RFC 9000, 4.6)
                del sending[state.number]
                continue
            room = builder.remaining_flight_space
            if state.receiver.stop_pending:
                self._write_stop_sending_frame(builder=builder, stream=state)
            if state.sender.reset_pending and builder.remaining_flight_space >= ROOM_FOR_FRAME:
                self._write_reset_stream_frame(builder=builder, stream=state)
            elif not state.sender.buffer_is_empty:
                self._write_data(builder, space, state)
            sending.end(state, room - builder.remaining_flight_space)

    def _write_data(
        self, builder: QuicPacketBuilder, space: QuicPacketSpace, state: StreamState
    ) -> None:
        sender = state.sender
        self._tail_pings = TAIL_PINGS
        limit = min(
            sender.highest_offset + self._remote_max_data - self._remote_max_data_used,
            state.max_stream_data_remote,
        )
        self._remote_max_data_used += self._write_stream_frame(
            builder=builder, space=space, stream=state, max_offset=limit
        )
        if sender.has_pending:
            if sender.next_offset >= limit:
                del self._sending[state.number]
                self._held[state.number] = state
        elif not sender.eof_pending:
            sender.buffer_is_empty = True

    # The path's MTU

    def _probe_mtu(self, size: int, now: float) -> list[Datagram]:
        """Return a datagram of `size` bytes that shows whether the path carries it (RFC 8899)."""
        path = self._network_paths[0]
        assert self._version is not None  # the handshake is confirmed
        builder = QuicPacketBuilder(
            host_cid=self.host_cid,
            is_client=self._is_client,
            max_datagram_size=size,
            packet_number=self._packet_number,
            peer_cid=self._peer_cid.cid,
            spin_bit=self._spin_bit,
            version=self._version,
        )
        builder.start_packet(QuicPacketType.ONE_RTT, self._cryptos[tls.Epoch.ONE_RTT])
        buf = builder.start_frame(
            QuicFrameType.PING,
            handler=self._on_mtu_probe_delivery,
            handler_args=(self._mtu.search, size),
        )
        buf.push_bytes(bytes(builder.remaining_buffer_space))
        datagrams, packets = builder.flush()
        self._packet_number = builder.packet_number
        for packet in packets:
            packet.sent_time = now
            packet.in_flight = False  # its loss says nothing of congestion (RFC 9000, 14.4)
            self._loss.on_packet_sent(packet=packet, space=self._spaces[packet.epoch])
        return [(datagram, path.addr) for datagram in datagrams]

    def _on_mtu_probe_delivery(
        self, delivery: QuicDeliveryState, search: object, size: int
    ) -> None:
        if search is not self._mtu.search:
            return
        if self._mtu.on_probe(size, arrived=delivery == QuicDeliveryState.ACKED):
            self._set_datagram_size(self._mtu.size)

    def _set_datagram_size(self, size: int) -> None:
        self._max_datagram_size = size
        self._loss.set_max_datagram_size(size)
