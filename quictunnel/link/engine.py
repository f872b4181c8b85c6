"""What a QUIC engine offers to a link, and what it tells it: shapes only, no code, no I/O.

An engine is sans-IO: datagrams and times go in, datagrams and a deadline come out, and what has
happened is told to an `Observer` when the link asks for it. Streams are numbers here; above the
link nobody sees them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from cryptography import x509


class Path(NamedTuple):
    """Where datagrams travel: the peer's address, and our own as far as the socket tells it."""

    host: str
    port: int
    local: bytes = b""
    """The local address of a socket that has many: the packed in6_addr or in_addr, or nothing."""


Datagram = tuple[bytes, Path]


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

    def on_pong(self) -> None:
        """A ping has been answered."""

    def on_closed(self, code: int | None, reason: str, *, by_peer: bool) -> None:
        """The connection is over; it stays only to quieten late datagrams."""

    def on_id_issued(self, connection_id: bytes) -> None:
        """The peer may from now on send to this connection id too."""

    def on_id_retired(self, connection_id: bytes) -> None:
        """The peer will not send to this connection id again."""


class Engine(Protocol):
    """One QUIC connection."""

    @property
    def exporter(self) -> bytes:
        """The TLS exporter of the tunnel's label, 32 bytes (RFC 8446, 7.5)."""

    @property
    def peer_certificate(self) -> x509.Certificate | None:
        """The certificate that the peer showed, if it is a server."""

    @property
    def peer_chain(self) -> tuple[x509.Certificate, ...]:
        """What it sent along with it."""

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
    def path(self) -> Path | None:
        """Where datagrams are sent to now."""

    @property
    def heard_at(self) -> float | None:
        """When the peer's last genuine packet came."""

    @property
    def answered_at(self) -> float:
        """When the peer last acknowledged something; 0 before."""

    @property
    def is_terminated(self) -> bool:
        """Nothing more will come of it: it may be dropped."""

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

    def receive(self, data: bytes, path: Path, now: float) -> None:
        """Take a datagram."""

    def transmit(self, now: float) -> list[Datagram]:
        """Return the datagrams that are to be sent now."""

    def deadline(self) -> float | None:
        """Return when `expire` is to be called next."""

    def expire(self, now: float) -> None:
        """Let timers fire."""

    def dispatch(self, observer: Observer) -> None:
        """Tell what has happened since the last call."""
