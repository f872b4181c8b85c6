"""Interfaces between links and QUIC engines. No code, no I/O.

An `Engine` is one sans-IO connection: the caller passes times in and takes datagrams and a deadline
out, and the engine reports to an `Observer` on request. Streams are numbers here. An `Endpoint`
holds the connections of one UDP socket and assigns datagrams to them. An `EndpointSocket` joins an
endpoint with its socket and the event loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable, Sequence

    from quictunnel.quic.path.error_queue import IcmpError
    from quictunnel.quic.settings import LinkSettings, ServerTls


class Path(NamedTuple):
    """The addresses of a datagram."""

    host: str
    """The peer's IP address."""
    port: int
    """The peer's UDP port."""
    local: bytes = b""
    """This end's address, for a socket with several: a packed in_addr or in6_addr, or empty."""


Datagram = tuple[bytes, tuple[str, int, bytes]]
"""A datagram's payload and its `Path`, or a plain tuple of the same."""


class Peer(NamedTuple):
    """The peer of a connected socket, and the address that its connection uses for it.

    A QUIC client knows its server by the address that it dialed (RFC 9000, section 9). A connection
    that continues on another address of its peer, or another family, is not told.
    """

    real: tuple[str, int]
    """The address that the socket is connected to."""
    known_as: tuple[str, int]
    """The address that was dialed."""


class Statistics(NamedTuple):
    """Counters and estimates of one connection.

    Counters start at 0 and only grow. `rtt`, `congestion_window` and `mtu` describe the current
    path.
    """

    rtt: float | None
    """Smoothed round-trip time in seconds (RFC 9002, 5.3); None before the first sample."""
    congestion_window: int
    """Bytes that may be in flight."""
    mtu: int
    """Largest UDP payload, in bytes, that is sent on the current path (RFC 9000, 14)."""
    bytes_sent: int
    """UDP payload bytes sent."""
    bytes_received: int
    """UDP payload bytes received."""
    packets_sent: int
    """QUIC packets sent."""
    packets_lost: int
    """QUIC packets declared lost (RFC 9002, 6.1)."""
    bytes_lost: int
    """Bytes in those packets."""


class QlogTrace(Protocol):
    """The recording of one connection. Its methods return at once."""

    def write(self, events: bytes) -> None:
        """Write events of qlog, oldest first: records of a JSON text sequence (RFC 7464).

        Their times are milliseconds since the start of the trace.
        """

    def close(self) -> None:
        """The connection has ended."""


class Qlog(Protocol):
    """Starts recordings of connections."""

    def start_trace(self, *, is_client: bool, connection_id: bytes) -> QlogTrace | None:
        """Start to record a connection; return None if it is not recorded.

        :param is_client: whether this end has dialed.
        :param connection_id: the destination connection ID of the client's first packet.
        """


class Observer(Protocol):
    """Receives what has happened on a connection, in order, during `Engine.dispatch`."""

    def on_handshake(self) -> None:
        """Handle the end of the TLS handshake. The peer's certificate is known."""

    def on_stream_opened(self, stream_id: int) -> None:
        """Handle a stream that the peer has opened."""

    def on_stream_readable(self, stream_id: int) -> None:
        """Handle bytes, or the end, that can be read."""

    def on_stream_reset(self, stream_id: int, code: int) -> None:
        """Handle RESET_STREAM. Unread bytes are discarded."""

    def on_stream_stopped(self, stream_id: int, code: int) -> None:
        """Handle STOP_SENDING. Unsent bytes are discarded."""

    def on_stream_ended(self, stream_id: int) -> None:
        """Handle the orderly end of a stream: all sent, acknowledged and read."""

    def on_closed(self, code: int | None, reason: str, *, by_peer: bool) -> None:
        """Handle the end of the connection, which still answers late datagrams for a while."""


class Engine(Protocol):
    """One QUIC connection. Its `Endpoint` feeds it datagrams."""

    @property
    def exporter(self) -> bytes:
        """The TLS exporter of the tunnel's label, 32 bytes (RFC 8446, section 7.5)."""

    @property
    def peer_certificates(self) -> Sequence[bytes]:
        """The server's certificates as DER, the leaf first. A client has none."""

    @property
    def alpn_mismatch(self) -> bool:
        """Whether the handshake failed because the ends speak different protocols (RFC 7301)."""

    @property
    def forgotten_by_peer(self) -> bool:
        """Whether a stateless reset ended the connection (RFC 9000, section 10.3)."""

    @property
    def rtt(self) -> float | None:
        """The smoothed round-trip time in seconds; None before the first sample."""

    @property
    def pto(self) -> float:
        """The probe timeout in seconds, without back-off (RFC 9002, section 6.2.1)."""

    @property
    def hold(self) -> float:
        """The idle timeout in seconds: the smaller of both ends'."""

    @property
    def peer(self) -> tuple[str, int] | None:
        """The address that datagrams are sent to."""

    @property
    def heard_at(self) -> float | None:
        """When the peer's last valid packet arrived."""

    @property
    def answered_at(self) -> float:
        """When the peer last acknowledged a packet; 0 before."""

    @property
    def latest_sent(self) -> bytes:
        """The first 16 bytes of the latest datagram sent, which ICMP errors quote; empty before."""

    @property
    def is_terminated(self) -> bool:
        """Whether the connection can be dropped. `Observer.on_closed` was called."""

    @property
    def unacknowledged(self) -> bool:
        """Whether ack-eliciting packets are in flight."""

    @property
    def statistics(self) -> Statistics:
        """Estimates of the path, and counters."""

    def open_stream(self) -> int:
        """Open a bidirectional stream. Beyond the peer's limit it waits."""

    def read(self, stream_id: int, limit: int) -> tuple[bytes, bool]:
        """Return up to about `limit` bytes, and whether they are the last. Reading adds credit."""

    def write(self, stream_id: int, data: bytes | bytearray | memoryview) -> None:
        """Queue bytes."""

    def finish(self, stream_id: int) -> None:
        """Queue FIN."""

    def stop_reading(self, stream_id: int, code: int) -> None:
        """Discard unread and future bytes, and send STOP_SENDING."""

    def reset(self, stream_id: int, code: int) -> None:
        """End both directions at once. The stream is not reported again."""

    def unsent(self, stream_id: int) -> int:
        """Return the number of bytes that were never sent."""

    @property
    def share(self) -> int:
        """The number of unsent bytes that each stream may buffer."""

    def allow_streams(self, count: int) -> None:
        """Let the peer have `count` streams open at once. The limit never falls."""

    def trust(self) -> None:
        """Grant the peer normal windows, and count its datagrams and frames no more.

        Before, a connection that exceeds a limit of `limits` is closed with `Code.TOO_MUCH`.
        """

    def ping(self) -> None:
        """Queue a PING."""

    def revive(self, now: float) -> None:
        """Send a PING now, and reset the back-off of the probe timeout."""

    def move(self, now: float) -> None:
        """Continue from another local address, under a new connection ID, with a new path state."""

    def close_with(self, code: int, reason: str) -> None:
        """Close the connection with an application error code."""

    def transmit(self, now: float) -> Sequence[Datagram]:
        """Return the datagrams to send now."""

    def deadline(self) -> float | None:
        """Return when to call `expire`; None if there is no timer."""

    def expire(self, now: float) -> None:
        """Run timers that are due."""

    def dispatch(self, observer: Observer) -> None:
        """Report what has happened since the last call.

        Call it after datagrams were received, after `expire`, and after a `transmit` that has
        returned datagrams.
        """


class IncomingConnection(Protocol):
    """A new peer's first datagrams, to be accepted, answered with a Retry, or ignored.

    It waits for that decision, and takes the datagrams that the peer sends again in the meantime.
    """

    @property
    def path(self) -> tuple[str, int, bytes] | None:
        """The peer's address, as in `Path`. An engine may return None after the decision."""

    @property
    def is_validated(self) -> bool:
        """Whether the peer has proven its address with the token of a Retry."""


class ReceivedBatch(NamedTuple):
    """The result of a batch of datagrams."""

    connections: Sequence[Engine]
    """The connections that have received something, each once, and proven ones first."""
    incoming: Sequence[IncomingConnection]
    """New peers, each once."""

    @property
    def is_empty(self) -> bool:
        """Whether the datagrams, if any, have brought nothing."""
        return not (self.connections or self.incoming)


class Endpoint(Protocol):
    """The connections of one UDP socket, sans-IO.

    It assigns datagrams to connections and answers datagrams that belong to none. Its owner decides
    whom to accept.
    """

    def set_certificate(self, server_tls: ServerTls) -> None:
        """Use another certificate for new connections.

        :raises SettingsError: this engine cannot use the key.
        """

    def connect(self, peer: tuple[str, int], server_name: str | None, now: float) -> Engine:
        """Start a connection to an IP address.

        :param server_name: the name to send in SNI, if any.
        """

    def receive(self, datagrams: Sequence[Datagram], now: float) -> ReceivedBatch:
        """Process datagrams: those of proven connections first, each connection's in order.

        A connection is proven once `Engine.trust` was called. Datagrams of closed ones are dropped.
        """

    def accept(self, incoming: IncomingConnection, now: float) -> Engine | None:
        """Start a connection with a new peer; None if its first packet is invalid."""

    def retry(self, incoming: IncomingConnection, now: float) -> None:
        """Answer a new peer with a Retry (RFC 9000, section 8.1.2). No state is kept."""

    def ignore(self, incoming: IncomingConnection) -> None:
        """Drop a new peer without an answer."""

    def transmit(self) -> Sequence[Datagram]:
        """Return datagrams for peers without a connection.

        They are Retry, Version Negotiation and stateless resets.
        """

    def forget(self, engine: Engine) -> None:
        """Remove a connection."""


class EndpointSocket(Protocol):
    """An endpoint's socket on the event loop. See `EndpointSocketFactory` for its callbacks."""

    @property
    def is_full(self) -> bool:
        """Whether the kernel's buffer is full. `writable` is called when it is not any more."""

    def transmit(self, engine: Engine, now: float) -> bool:
        """Send a connection's datagrams; return whether there were any."""

    def answer(self) -> None:
        """Send the endpoint's own datagrams, or drop them if the kernel's buffer is full."""

    def accept_only(self, is_accepted: Callable[[str], bool] | None) -> None:
        """Drop datagrams before the engine sees them.

        :param is_accepted: returns whether datagrams of this host are accepted; None for all hosts.
        """

    def close(self) -> None:
        """Close the socket. The connections stay."""


class EndpointFactory(Protocol):
    """Creates an endpoint from checked settings."""

    def __call__(
        self, settings: LinkSettings, *, server_tls: ServerTls | None, streams: int, now: float
    ) -> Endpoint:
        """Return an endpoint.

        :param server_tls: the server's certificate and key; None if no connections are accepted.
        :param streams: streams that a peer may have open before `allow_streams` is called.
        :param now: seconds of the clock that is used from now on.
        :raises SettingsError: this engine cannot use the key.
        """


class EndpointSocketFactory(Protocol):
    """Creates the socket of an endpoint. The caller closes a previous one afterwards."""

    def __call__(
        self,
        endpoint: Endpoint,
        sock: socket.socket,
        *,
        peer: Peer | None,
        loop: asyncio.AbstractEventLoop,
        received: Callable[[ReceivedBatch], None],
        send_error: Callable[[OSError], None],
        icmp_error: Callable[[IcmpError], None],
        writable: Callable[[], None],
        carried: Callable[[Sequence[Datagram]], None] | None = None,
    ) -> EndpointSocket:
        """Return an endpoint socket.

        :param sock: a bound or connected UDP socket, owned by the endpoint socket from now on.
        :param peer: the peer of a connected socket; None for a bound one.
        :param received: called with the result of each batch of datagrams.
        :param send_error: called with errors of sending that `udp.is_send_error` accepts. Where the
            system has no queue of ICMP errors, they are among them.
        :param icmp_error: called with the ICMP errors about datagrams of this socket.
        :param writable: called when the kernel's buffer is not full any more.
        :param carried: called with the datagrams for addresses of `carried_addresses`, which a
            bound socket does not send. Without it, they are dropped.
        :raises OSError: the system cannot watch another socket. The caller still owns `sock`.
        """
