"""quictunnel's fast QUIC engine: quinn-proto behind the interface of quictunnel's links.

Times are seconds on the caller's clock, which must not go back. Addresses are literal. What a
`Connection` offers is described at `Engine` in quictunnel/quic/engine.py.
"""

from collections.abc import Sequence
from typing import Protocol, final

API: int
"""The number of this interface; quictunnel asks for the one that it knows."""

__version__: str

STREAM_WINDOW: int
STREAM_WINDOW_FIRST: int
"""Bytes that a stream may have under way or unread."""

LINK_WINDOW: int
"""Bytes that a connection may have under way on streams that are read."""

LINK_WINDOW_UNPROVEN: int
"""Bytes that a peer may send in all before `Connection.trust`."""

def version() -> str:
    """Return the name and version of the library beneath."""

Path = tuple[str, int, bytes]
"""The peer's host and port; our own address packed, or nothing."""

Datagram = tuple[bytes, Path]

class Observer(Protocol):
    """Who is told what happened, during `Connection.dispatch`."""

    def on_handshake(self) -> None: ...
    def on_stream_opened(self, stream_id: int) -> None: ...
    def on_stream_readable(self, stream_id: int) -> None: ...
    def on_stream_reset(self, stream_id: int, code: int) -> None: ...
    def on_stream_stopped(self, stream_id: int, code: int) -> None: ...
    def on_stream_ended(self, stream_id: int) -> None: ...
    def on_closed(self, code: int | None, reason: str, *, by_peer: bool) -> None: ...

@final
class Newcomer:
    """Somebody who wants a connection and waits to hear. Dropped, it is ignored."""

    @property
    def is_validated(self) -> bool:
        """Whether it has shown that its address is its own."""

    @property
    def path(self) -> Path | None:
        """Where it comes from; None once it was answered."""

@final
class Connection:
    """One QUIC connection. Its streams are known by their numbers."""

    @property
    def exporter(self) -> bytes: ...
    @property
    def peer_certificates(self) -> tuple[bytes, ...]: ...
    @property
    def rtt(self) -> float | None: ...
    @property
    def pto(self) -> float: ...
    @property
    def hold(self) -> float: ...
    @property
    def peer(self) -> tuple[str, int] | None: ...
    @property
    def heard_at(self) -> float | None: ...
    @property
    def answered_at(self) -> float: ...
    @property
    def is_terminated(self) -> bool: ...
    @property
    def unacknowledged(self) -> bool: ...
    @property
    def alpn_mismatch(self) -> bool: ...
    @property
    def forgotten_by_peer(self) -> bool: ...
    @property
    def stream_count(self) -> int:
        """How many streams are known."""

    @property
    def statistics(self) -> tuple[int, int, int, int, int, int, int]:
        """Congestion window, packets lost, bytes out and in, datagrams out and in, MTU."""

    def open_stream(self) -> int: ...
    def read(self, stream_id: int, limit: int) -> tuple[bytes, bool]: ...
    def write(self, stream_id: int, data: bytes | bytearray | memoryview) -> None: ...
    def finish(self, stream_id: int) -> None: ...
    def stop_reading(self, stream_id: int, code: int) -> None: ...
    def reset(self, stream_id: int, code: int) -> None: ...
    def unsent(self, stream_id: int) -> int: ...
    @property
    def share(self) -> int: ...
    def allow_streams(self, count: int) -> None: ...
    def trust(self) -> None: ...
    def ping(self) -> None: ...
    def revive(self, now: float) -> None: ...
    def move(self, now: float) -> None: ...
    def close_with(self, code: int, reason: str) -> None: ...
    def transmit(self, now: float) -> list[Datagram]:
        """Return the datagrams that are to be sent now, for another carrier than a socket."""

    def send(self, now: float) -> int:
        """Send what is to be sent now through the endpoint's socket; return how many writes."""

    def deadline(self) -> float | None: ...
    def expire(self, now: float) -> None: ...
    def dispatch(self, observer: Observer) -> None: ...

@final
class Endpoint:
    """All connections of one UDP socket.

    :param hold: seconds that a silent connection is kept.
    :param streams: how many streams a peer may have open until `Connection.allow_streams`.
    :param unread_limit: bytes that all connections may hold unread before peers are slowed.
    :param congestion: "bbr", "cubic" or "reno"; None for the engine's own choice, bbr.
    :param reset_key: from which the tokens of stateless resets follow; None for a random one.
    :param accepts: whether others may begin connections, once there is a certificate.
    :param now: the caller's clock now.
    :raises ValueError: in words.
    """

    def __new__(
        cls,
        *,
        alpn: str,
        hold: float,
        streams: int,
        unread_limit: int,
        congestion: str | None,
        reset_key: bytes | None,
        accepts: bool,
        now: float,
    ) -> Endpoint: ...
    def set_certificate(self, chain: Sequence[bytes], key: bytes) -> None:
        """Show this certificate from now on: DER, the leaf first, and its key as PKCS #8.

        :raises ValueError: a key that cannot be used, or that is not the certificate's.
        """

    def connect(self, peer: tuple[str, int], server_name: str | None, now: float) -> Connection:
        """Begin a connection.

        :raises ValueError: an address or a name that nobody can have.
        """

    def accept(self, newcomer: Newcomer, now: float) -> Connection | None:
        """Let a newcomer in; None if its first packet proves to be no good."""

    def retry(self, newcomer: Newcomer, now: float = 0.0) -> None:
        """Ask a newcomer to show that its address is its own (RFC 9000, 8.1.2)."""

    def ignore(self, newcomer: Newcomer) -> None:
        """Leave a newcomer without an answer."""

    @property
    def connection_count(self) -> int:
        """How many connections datagrams are led to."""

    def forget(self, connection: Connection) -> None:
        """Lead nothing to the connection any more."""

    def receive(
        self, datagrams: Sequence[Datagram], now: float
    ) -> tuple[list[Connection], list[Newcomer]]:
        """Take datagrams; return whom something has come for, and who is new."""

    def transmit(self) -> list[Datagram]:
        """Return the endpoint's own answers to those who have no connection."""

    def attach(
        self,
        fd: int,
        peer: tuple[str, int] | None = None,
        known_as: tuple[str, int] | None = None,
    ) -> int:
        """Use a duplicate of this UDP socket's descriptor, in place of the one before.

        :param peer: whom the socket is connected to, if it is; `known_as` is given then as well.
        :param known_as: the address that was dialled, which the connection takes `peer` for.
        :returns: a number for `detach`.
        :raises OSError: the kernel refuses; the socket before is still in use then.
        """

    def detach(self, number: int) -> None:
        """Let go of the socket of that number, unless another one has taken its place."""

    def take_trouble(self) -> OSError | None:
        """Return why something could not be sent, if that has happened since the last call."""

    def receive_ready(self, now: float) -> tuple[list[Connection], list[Newcomer]]:
        """Do what `receive` does with what waits in the socket, as one system call gives it.

        :raises OSError: word of an earlier datagram of ours, on a connected socket.
        """

    def flush(self) -> bool:
        """Send what the kernel did not take; return whether all of it is gone."""

    @property
    def is_full(self) -> bool:
        """Whether the kernel takes no more for the moment."""
