"""What a connection sends of itself: limits, paths, connection ids, pings, and probes of the MTU.

What streams send, and when a packet is begun at all, is for `sending`. No limit moves here:
`connection` and `receiving` move them.
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

from quictunnel.quic.engines.aioquic.mtu import PathMtu
from quictunnel.quic.engines.aioquic.recovery import Recovery

if TYPE_CHECKING:
    from aioquic.quic.connection import QuicConnectionId, QuicNetworkPath
    from aioquic.quic.crypto import CryptoPair
    from aioquic.quic.recovery import QuicPacketSpace
    from aioquic.quic.stream import QuicStream

    from quictunnel.quic.engine import Datagram
    from quictunnel.quic.engines.aioquic.streams import StreamState

ROOM_FOR_FRAME = 32
"""Bytes that must be left in a packet to start one more frame: its header, and some data."""


class ControlConnection(QuicConnection):
    """A connection that writes what concerns all of it."""

    _streams: dict[int, StreamState]  # type: ignore[assignment]  # `sending` makes them all
    _loss: Recovery

    def __init__(self, **arguments: Any) -> None:  # noqa: ANN401 - aioquic's own
        super().__init__(**arguments)
        self._limits_due: dict[int, StreamState] = {}  # with a window to tell of
        self._ids_due = False  # there may be connection ids to tell of
        self._mtu = PathMtu(self._max_datagram_size)
        self._loss = Recovery(
            congestion_control_algorithm=self._configuration.congestion_control_algorithm,
            initial_rtt=self._configuration.initial_rtt,
            max_datagram_size=self._max_datagram_size,
            peer_completed_address_validation=not self._is_client,
            send_probe=self._send_probe,
            logger=self._logger,
        )

    def _initialize(self, peer_cid: bytes) -> None:
        super()._initialize(peer_cid)
        # By aioquic's tables, each look at one costs as much as a call: their keys are an Enum's.
        self._short_crypto: CryptoPair = self._cryptos[tls.Epoch.ONE_RTT]
        self._short_space: QuicPacketSpace = self._spaces[tls.Epoch.ONE_RTT]
        self._short_stream: QuicStream = self._crypto_streams[tls.Epoch.ONE_RTT]

    def _replenish_connection_ids(self) -> None:
        super()._replenish_connection_ids()
        self._ids_due = True

    def _on_new_connection_id_delivery(
        self, delivery: QuicDeliveryState, connection_id: QuicConnectionId
    ) -> None:
        super()._on_new_connection_id_delivery(delivery, connection_id)
        self._ids_due = True

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
        self._ids_due = False
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

    def _on_limit_delivery(self, delivery: QuicDeliveryState, state: StreamState) -> None:
        """Take word of a MAX_STREAM_DATA frame: a lost one is written again, with today's limit."""
        if delivery != QuicDeliveryState.ACKED and state.number in self._streams:
            self._limits_due[state.number] = state

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
        builder.start_packet(QuicPacketType.ONE_RTT, self._short_crypto)
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
