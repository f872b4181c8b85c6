"""What a connection sends at a time: a flight of datagrams, by our own builder wherever it may be.

What they hold is for `sending`. What is not the daily business of an open connection is left to
aioquic: the handshake, closing, more than one path, and whatever must be padded.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from aioquic.quic.packet_builder import QuicPacketBuilderStop

from quictunnel.quic.engines.aioquic.packing import ShortPackets
from quictunnel.quic.engines.aioquic.sending import SendingConnection

if TYPE_CHECKING:
    from aioquic.quic.connection import QuicNetworkPath

    from quictunnel.quic.engine import Datagram


class FlightsConnection(SendingConnection):
    """A connection that makes datagrams of its frames."""

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        """Return what is to be sent now; most turns of the loop have nothing, and cost little."""
        if not self._is_settled():
            return super().datagrams_to_send(now)
        path = self._network_paths[0]
        self._pacing_at = None  # nothing waits for it yet
        if not self._has_frames(path, now):
            return []
        loss = self._loss
        room = loss.congestion_window - loss.bytes_in_flight
        builder = ShortPackets(
            crypto=self._short_crypto,
            max_datagram_size=self._max_datagram_size,
            # Probes go beyond the window (RFC 9002, 7.5).
            max_flight_bytes=max(room, self._max_datagram_size) if self._probe_pending else room,
            packet_number=self._packet_number,
            peer_cid=self._peer_cid.cid,
            spin_bit=self._spin_bit,
        )
        with contextlib.suppress(QuicPacketBuilderStop):  # the window, or a packet, is full
            self._write_application(builder, path, now)
        return self._register(builder, path, now)

    def _is_settled(self) -> bool:
        """Return whether there are only 1-RTT packets to send, and on one path that is known."""
        path = self._network_paths[0]
        return (
            self._handshake_confirmed
            and path.is_validated
            and len(self._network_paths) == 1
            and not path.remote_challenges
            and not self._close_pending
            and self._remote_preferred_address is None
            and not self._short_crypto._update_key_requested
        )

    def _register(self, builder: ShortPackets, path: QuicNetworkPath, now: float) -> list[Datagram]:
        """Take note of what leaves."""
        datagrams, packets = builder.flush()
        self._packet_number = builder.packet_number
        space = self._short_space
        for packet in packets:
            packet.sent_time = now
            self._loss.on_packet_sent(packet=packet, space=space)
            if packet.is_ack_eliciting and not self._ack_eliciting_sent_since_receipt:
                self._close_at = now + self._idle_timeout()  # RFC 9000, 10.1
                self._ack_eliciting_sent_since_receipt = True
        addr = path.addr
        path.bytes_sent += sum(map(len, datagrams))
        return [(datagram, addr) for datagram in datagrams]
