"""What QUIC engines offer to links, listeners and diallers: shapes only, no code, no I/O.

An `Engine` is one connection, sans-IO: times go in, datagrams and a deadline come out, and what has
happened is told to an `Observer` when the link asks for it. Streams are numbers here; above the
link nobody sees them. An `Endpoint` is what shares a socket: it knows whom a datagram is for. A
`EndpointSocket` joins it to the socket and the event loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable, Sequence

    from quictunnel.quic.settings import LinkSettings, ServerTls


class Path(NamedTuple):
    """Where datagrams travel: the peer's address, and our own as far as the socket tells it."""

    host: str
    port: int
    local: bytes = b""
    """The local address of a socket that has many: the packed in6_addr or in_addr, or nothing."""


Datagram = tuple[bytes, tuple[str, int, bytes]]
"""A datagram and its `Path`, or a plain tuple of the same."""


class Peer(NamedTuple):
    """The one whom a socket is connected to, and the address that its connection knows it by.

    That is the one that was dialled: a QUIC client knows no other (RFC 9000, 9), so a connection
    that goes on by another address of its peer, or another family, does not hear of it.
    """

    real: tuple[str, int]
    known_as: tuple[str, int]


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


class Observer(Protocol):
    """Who is told what happened, in order, during `Engine.dispatch`."""

    def on_handshake(self) -> None:
        """The TLS handshake is complete, and the peer's certificate is known."""

    def on_stream_opened(self, stream_id: int) -> None:
        """The peer has opened a stream."""

    def on_stream_readable(self, stream_id: int) -> None:
        """There is data, or the end, to `read`."""

    def on_stream_reset(self, stream_id: int, code: int) -> None:
        """The peer has ended the stream before its orderly end; what is unread is void."""

    def on_stream_stopped(self, stream_id: int, code: int) -> None:
        """The peer takes no more of it; what we have not sent is dropped."""

    def on_stream_ended(self, stream_id: int) -> None:
        """All was sent and acknowledged, all was read: the stream is forgotten."""

    def on_closed(self, code: int | None, reason: str, *, by_peer: bool) -> None:
        """The connection is over; it stays only to quieten late datagrams."""


class Engine(Protocol):
    """One QUIC connection. Datagrams come to it through its `Endpoint`."""

    @property
    def exporter(self) -> bytes:
        """The TLS exporter of the tunnel's label, 32 bytes (RFC 8446, 7.5)."""

    @property
    def peer_certificates(self) -> Sequence[bytes]:
        """The certificates that a server has shown, as DER, the leaf first; a client shows none."""

    @property
    def alpn_mismatch(self) -> bool:
        """The handshake ended because the ends speak different protocols (RFC 7301)."""

    @property
    def forgotten_by_peer(self) -> bool:
        """It ended by a stateless reset (RFC 9000, 10.3): the peer does not know it any more."""

    @property
    def rtt(self) -> float | None:
        """The smoothed round-trip time in seconds, once there is one."""

    @property
    def pto(self) -> float:
        """The probe timeout in seconds, without back-off (RFC 9002, 6.2.1)."""

    @property
    def hold(self) -> float:
        """Seconds of silence after which the connection is given up: the smaller of both ends'."""

    @property
    def peer(self) -> tuple[str, int] | None:
        """Where datagrams are sent to now."""

    @property
    def heard_at(self) -> float | None:
        """When the peer's last genuine packet came."""

    @property
    def answered_at(self) -> float:
        """When the peer last acknowledged something; 0 before."""

    @property
    def is_terminated(self) -> bool:
        """Nothing more will come of it, and `Observer.on_closed` was told: it may be dropped."""

    @property
    def unacknowledged(self) -> bool:
        """Something was sent and its answer has not come."""

    def open_stream(self) -> int:
        """Open a bidirectional stream; beyond the peer's limit it waits by itself."""

    def read(self, stream_id: int, limit: int) -> tuple[bytes, bool]:
        """Take up to about `limit` bytes, and whether they were the last; this opens the window."""

    def write(self, stream_id: int, data: bytes | bytearray | memoryview) -> None:
        """Queue data to be sent."""

    def finish(self, stream_id: int) -> None:
        """Queue the end of what we send."""

    def stop_reading(self, stream_id: int, code: int) -> None:
        """Drop what is unread and what still comes, and ask the peer for no more."""

    def reset(self, stream_id: int, code: int) -> None:
        """End both directions at once; the stream is not reported on again."""

    def unsent(self, stream_id: int) -> int:
        """Return how many bytes written have not been sent even once."""

    @property
    def share(self) -> int:
        """How many bytes each stream may have unsent: its part of what the path needs."""

    def allow_streams(self, count: int) -> None:
        """Let the peer have `count` streams open at once; it never falls."""

    def trust(self) -> None:
        """Grant the peer the normal windows: it has proven who it is."""

    def ping(self) -> None:
        """Ask for an answer."""

    def revive(self, now: float) -> None:
        """Ask for an answer now, and forget how long answers were waited for in vain."""

    def move(self, now: float) -> None:
        """Go on from another local address, under a new connection id; learn the path anew."""

    def close_with(self, code: int, reason: str) -> None:
        """End the connection with an application code."""

    def transmit(self, now: float) -> Sequence[Datagram]:
        """Return the datagrams that are to be sent now."""

    def deadline(self) -> float | None:
        """Return when `expire` is to be called next."""

    def expire(self, now: float) -> None:
        """Let timers fire."""

    def dispatch(self, observer: Observer) -> None:
        """Tell what has happened since the last call.

        To be called after datagrams and `expire`, and after a `transmit` that has sent something.
        """


class IncomingConnection(Protocol):
    """The first words of somebody new, to be accepted, asked for their address, or ignored."""

    @property
    def is_validated(self) -> bool:
        """They have shown that the address is their own: they bear a token of our Retry."""


class ReceivedBatch(NamedTuple):
    """What a batch of datagrams has brought."""

    touched: Sequence[Engine]
    """The connections that have received something, each once."""
    newcomers: Sequence[IncomingConnection]
    """Those who would like to have one; good until the next batch."""


class Endpoint(Protocol):
    """The connections of one UDP socket, sans-IO: datagrams in, datagrams out.

    It leads datagrams to their connections, and answers those who have none and may not have one.
    Whom to let in is decided above.
    """

    def set_certificate(self, server_tls: ServerTls) -> None:
        """Show another certificate to those who come from now on.

        :raises SettingsError: this engine cannot use such a key.
        """

    def connect(self, peer: tuple[str, int], server_name: str | None, now: float) -> Engine:
        """Begin a connection to a literal address.

        :param server_name: the name to ask for (SNI), if any.
        """

    def receive(self, datagrams: Sequence[Datagram], now: float) -> ReceivedBatch:
        """Take datagrams, in the order they came in."""

    def accept(self, newcomer: IncomingConnection, now: float) -> Engine | None:
        """Begin a connection with a newcomer; None if what it opened with is no good."""

    def retry(self, newcomer: IncomingConnection, now: float) -> None:
        """Answer a newcomer with a Retry (RFC 9000, 8.1.2); no state is kept."""

    def ignore(self, newcomer: IncomingConnection) -> None:
        """Say nothing to a newcomer."""

    def transmit(self) -> Sequence[Datagram]:
        """Return the answers to those who have no connection.

        They are Retry, version negotiation, and the stateless reset for those who think that they
        have one.
        """

    def forget(self, engine: Engine) -> None:
        """Lead nothing to a connection any more."""


class EndpointSocket(Protocol):
    """An endpoint's socket on the event loop.

    It calls `arrived(arrivals)` with what a wake-up has brought, `refused(error)` with what the
    kernel has against sending, at once or by what it hears of earlier datagrams (ICMP), and
    `ready()` when it is full no more. That a datagram is too large is told to nobody.
    """

    @property
    def is_full(self) -> bool:
        """The kernel takes no more for the moment: hold back until `ready` is called."""

    def transmit(self, engine: Engine, now: float) -> bool:
        """Send what a connection has to send; return whether there was anything."""

    def answer(self) -> None:
        """Send what the endpoint itself has to say, or drop it if the kernel is busy."""

    def close(self) -> None:
        """Let go of the socket; the connections stay."""


class EndpointFactory(Protocol):
    """Makes an endpoint. Settings have been checked."""

    def __call__(
        self, settings: LinkSettings, *, server_tls: ServerTls | None, streams: int, now: float
    ) -> Endpoint:
        """Return an endpoint.

        :param server_tls: what those who come are shown; None where nobody may come.
        :param streams: how many streams a peer may have open until `allow_streams` says more.
        :param now: seconds, on the clock of all that follows.
        :raises SettingsError: this engine cannot use such a key.
        """


class EndpointSocketFactory(Protocol):
    """Makes the carriage of an endpoint; one that it has already is to be closed afterwards."""

    def __call__(
        self,
        endpoint: Endpoint,
        sock: socket.socket,
        *,
        peer: Peer | None,
        loop: asyncio.AbstractEventLoop,
        arrived: Callable[[ReceivedBatch], None],
        refused: Callable[[OSError], None],
        ready: Callable[[], None],
    ) -> EndpointSocket:
        """Return a carriage. See `EndpointSocket` for whom it calls.

        :param sock: a bound, or connected, UDP socket; it is taken over.
        :param peer: whom it is connected to; None if it hears everybody.
        :raises OSError: the kernel has no room for it; the socket is still the caller's then.
        """
