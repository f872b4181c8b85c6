"""aioquic's connection as the link wants it: one QUIC connection behind `link.engine.Engine`.

This is the face of the engine; what comes is in `unpacking` and `receiving`, what goes in `flights`
and `sending`. No sockets, no clock of its own, no asyncio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aioquic import tls
from aioquic.quic.connection import (
    END_STATES,
    QuicConnectionState,
    stream_is_client_initiated,
)
from aioquic.quic.packet import QuicErrorCode, QuicFrameType
from cryptography.hazmat.primitives.serialization import Encoding

from quictunnel.quic.engines.aioquic.tls import derive_exporter, is_alpn_mismatch
from quictunnel.quic.engines.aioquic.unpacking import UnpackingConnection
from quictunnel.quic.flow_control import LINK_WINDOW_UNPROVEN, STREAM_WINDOW, Budget, share

if TYPE_CHECKING:
    from aioquic.quic.configuration import QuicConfiguration

    from quictunnel.quic.engine import Datagram
    from quictunnel.quic.engines.aioquic.receiving import Routes


REASON_MAX = 512
"""Bytes of the words with which a connection is closed: they must fit one packet."""


class AioquicEngine(UnpackingConnection):
    """One QUIC connection. Implements `quictunnel.quic.engine.Engine`.

    :param budget: what is held unread, over all connections that share it.
    :param routes: is told which connection ids lead here, from the first datagram on.
    :param streams: how many streams the peer may have open until `allow_streams` says more.
    """

    def __init__(
        self,
        configuration: QuicConfiguration,
        *,
        budget: Budget,
        routes: Routes,
        streams: int,
        original_destination_connection_id: bytes | None = None,
        retry_source_connection_id: bytes | None = None,
    ) -> None:
        configuration.max_data = LINK_WINDOW_UNPROVEN
        configuration.max_stream_data = STREAM_WINDOW
        super().__init__(
            budget=budget,
            routes=routes,
            configuration=configuration,
            original_destination_connection_id=original_destination_connection_id,
            retry_source_connection_id=retry_source_connection_id,
        )
        self._exporter = b""
        self._local_max_streams_bidi.value = self._local_max_streams_bidi.sent = streams
        self._local_max_streams_uni.value = self._local_max_streams_uni.sent = 0
        for connection_id in self._host_cids:
            routes.lead(connection_id.cid, self)
            if not self._is_client:  # whose first id has no token (RFC 9000, 18.2)
                connection_id.stateless_reset_token = routes.reset_token(connection_id.cid)

    # What the link asks

    @property
    def exporter(self) -> bytes:
        """The TLS exporter of the tunnel's label, 32 bytes."""
        return self._exporter

    @property
    def peer_certificates(self) -> list[bytes]:
        """The certificates that the peer has shown, as DER, the leaf first."""
        leaf = self.tls._peer_certificate
        shown = [] if leaf is None else [leaf, *self.tls._peer_certificate_chain]
        return [certificate.public_bytes(Encoding.DER) for certificate in shown]

    @property
    def alpn_mismatch(self) -> bool:
        """The handshake ended because the ends speak different protocols."""
        return self._close_event is not None and is_alpn_mismatch(self._close_event)

    @property
    def rtt(self) -> float | None:
        """The smoothed round-trip time in seconds."""
        return self._loss.smoothed_rtt

    @property
    def pto(self) -> float:
        """The probe timeout in seconds."""
        return self._loss.get_probe_timeout()

    @property
    def hold(self) -> float:
        """The idle timeout that both ends have agreed on, in seconds."""
        return self._idle_timeout()

    @property
    def peer(self) -> tuple[str, int] | None:
        """Where datagrams are sent to now."""
        address = self.get_peer_address()
        return None if address is None else (address[0], address[1])

    @property
    def heard_at(self) -> float | None:
        """When the last packet with a new highest number came."""
        space = self._spaces.get(tls.Epoch.ONE_RTT)
        return space.largest_received_time if space is not None else None

    @property
    def answered_at(self) -> float:
        """When something that must be acknowledged last was."""
        return self._loss.answered_at

    @property
    def is_terminated(self) -> bool:
        """The closing period is over."""
        return self._state is QuicConnectionState.TERMINATED

    @property
    def unacknowledged(self) -> bool:
        """Something that must be acknowledged is in flight."""
        return any(space.ack_eliciting_in_flight for space in self._loss.spaces)

    # Streams

    def open_stream(self) -> int:
        """Open a bidirectional stream and return its number."""
        stream_id: int = self._local_next_stream_id_bidi
        state = self._new_state(stream_id, self._remote_max_stream_data_bidi_remote)
        self._local_next_stream_id_bidi = stream_id + 4
        if stream_id // 4 >= self._remote_max_streams_bidi:
            state.is_blocked = True
            self._streams_blocked_bidi.append(state)
            self._streams_blocked_pending = True
        return stream_id

    def write(self, stream_id: int, data: bytes | bytearray | memoryview) -> None:
        """Queue data to be sent; dropped where the peer's wish for no more is yet to be told."""
        state = self._streams[stream_id]
        if state.sender.was_reset:
            return
        state.sender.write(data)  # type: ignore[arg-type]  # it copies any buffer into its own
        self._begin_to_send(state, len(data))

    def finish(self, stream_id: int) -> None:
        """Queue the end of what we send."""
        state = self._streams[stream_id]
        if state.sender.was_reset:
            return
        state.sender.write(b"", end_stream=True)
        self._sending.begin(state)

    def reset(self, stream_id: int, code: int) -> None:
        """End both directions at once."""
        state = self._streams.get(stream_id)
        if state is None or state.forgotten:
            return
        state.forgotten = True
        state.sender.reset(code)
        self._stop_reading(state, code)

    def unsent(self, stream_id: int) -> int:
        """Return how many bytes written have not been sent even once."""
        state = self._streams.get(stream_id)
        return 0 if state is None else state.sender.unsent

    @property
    def share(self) -> int:
        """How many bytes each stream may have unsent; those held back by readers do not count."""
        loss = self._loss
        return share(
            rate=loss._pacer.rate, rtt=loss.smoothed_rtt or 0.0, streams=len(self._sending)
        )

    def allow_streams(self, count: int) -> None:
        """Let the peer have `count` streams open at once."""
        limit = self._local_max_streams_bidi
        discarded = limit.used - sum(
            stream_is_client_initiated(stream_id) != self._is_client for stream_id in self._streams
        )
        limit.value = max(limit.value, discarded + count)

    def trust(self) -> None:
        """Grant the normal windows."""
        if not (self._proven or self._closed_told):
            self._proven = True
            self._window.begin()

    def ping(self) -> None:
        """Ask for an answer; one question at a time is enough.

        A congestion window full of what was lost does not hold it back (RFC 9002, 7.5).
        """
        if not self._ping_pending:
            self.send_ping(0)
        if self._handshake_confirmed:
            self._send_probe()

    def revive(self, now: float) -> None:
        """Probe at once, and take nothing for granted of the path: it was away.

        What is acknowledged late, having been sent before an outage, would else be taken for a
        round trip as long as that, by which the rest is then paced.
        """
        if self._handshake_confirmed and self._state not in END_STATES:
            self._forget_repetitions()
            self._loss.meet_new_path(now, datagram_size=self._max_datagram_size)
            self._loss.revive(now)

    def move(self, now: float) -> None:
        """Go on from another local address (RFC 9000, 9.2 and 9.5)."""
        if self._handshake_confirmed:
            self.change_connection_id()
            self._meet_new_path(now)

    def close_with(self, code: int, reason: str) -> None:
        """End the connection with an application code; a long reason is cut to fit a datagram."""
        cut = reason.encode(errors="replace")[:REASON_MAX].decode(errors="ignore")
        self.close(error_code=code, reason_phrase=cut)

    # Time and datagrams

    def receive(self, data: bytes, path: tuple[str, int, bytes], now: float) -> None:
        """Take a datagram that its endpoint has led here; one that aioquic fails in ends it."""
        self._now = now
        before = self._network_paths[0] if self._network_paths else None
        try:
            self.receive_datagram(data, path, now)
        except Exception as exc:  # others' datagrams wait behind it
            words = f"the engine has failed: {type(exc).__name__}: {exc}"
            self.close(
                error_code=QuicErrorCode.INTERNAL_ERROR,
                frame_type=QuicFrameType.PADDING,
                reason_phrase=words[: REASON_MAX // 4],
            )
        if before is not None and self._network_paths[0] is not before:
            self._meet_new_path(now)  # the peer has moved, and aioquic has followed

    def transmit(self, now: float) -> list[Datagram]:
        """Return what is to be sent now."""
        self._now = now
        if not self._network_paths or self._state in END_STATES:
            return []
        timeouts = self._loss._pto_count
        if self._mtu.on_timeouts(timeouts):
            self._set_datagram_size(self._mtu.size)
        datagrams = self.datagrams_to_send(now)
        if not self._sending:
            self._loss.on_app_limited()
        if self._handshake_confirmed and not timeouts and self._network_paths[0].is_validated:
            size = self._mtu.next_probe()
            if size is not None and self._state not in END_STATES:
                datagrams += self._probe_mtu(size, now)
        return datagrams

    def deadline(self) -> float | None:
        """Return when `expire` is to be called."""
        if self._close_at is None:
            return None
        timer = self.get_timer()
        assert timer is not None  # `_close_at` at the latest
        return min(timer, self._window.relief_at)

    def expire(self, now: float) -> None:
        """Let the timers fire that are due."""
        self._now = now
        if self._close_at is not None:
            self.handle_timer(now)  # relief comes with the next dispatch

    def _meet_new_path(self, now: float) -> None:
        """Begin with what every path carries, and at once."""
        self._mtu.restart()
        self._max_datagram_size = self._mtu.size
        self.revive(now)

    # Keys

    def _update_traffic_key(
        self,
        direction: tls.Direction,
        epoch: tls.Epoch,
        cipher_suite: tls.CipherSuite,
        secret: bytes,
    ) -> None:
        super()._update_traffic_key(direction, epoch, cipher_suite, secret)
        # The transcript is the exporter's (up to the server's Finished, RFC 8446, 7.1) when a
        # server installs its sending key and when a client installs its receiving key.
        at_finished = tls.Direction.DECRYPT if self._is_client else tls.Direction.ENCRYPT
        if epoch is tls.Epoch.ONE_RTT and direction is at_finished:
            self._exporter = derive_exporter(self.tls)
