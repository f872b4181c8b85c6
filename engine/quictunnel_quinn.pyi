"""quictunnel's fast QUIC engine: quinn-proto behind quictunnel's engine interface.

Times are seconds on the caller's monotonic clock. Addresses are literal. quictunnel/quic/engine.py
describes the members of `Connection` at `Engine`.
"""

from collections.abc import Sequence
from typing import Protocol, final

from quictunnel.quic.engine import Statistics

API: int
"""Version of this interface. quictunnel refuses a module with another number."""

__version__: str

STREAM_WINDOW: int
"""Bytes that a stream may have in flight or unread while it is read."""

STREAM_WINDOW_FIRST: int
"""The same before the stream has been read."""

LINK_WINDOW: int
"""Bytes that the streams of a connection may have in flight while they are read."""

LINK_WINDOW_UNPROVEN: int
"""Bytes that a dialed peer may send in total before `Connection.trust`."""

HELLO_WINDOW: int
"""Bytes that an accepted peer may send in total before `Connection.trust`."""

def version() -> str:
    """Return the name and version of the QUIC library."""

Path = tuple[str, int, bytes]
"""The peer's host and port, and the packed local address or b""."""

Datagram = tuple[bytes, Path]

class Observer(Protocol):
    """Receives a connection's events during `Connection.dispatch`."""

    def on_handshake(self) -> None: ...
    def on_stream_opened(self, stream_id: int) -> None: ...
    def on_stream_readable(self, stream_id: int) -> None: ...
    def on_stream_reset(self, stream_id: int, code: int) -> None: ...
    def on_stream_stopped(self, stream_id: int, code: int) -> None: ...
    def on_stream_ended(self, stream_id: int) -> None: ...
    def on_closed(self, code: int | None, reason: str, *, by_peer: bool) -> None: ...

@final
class IncomingConnection:
    """An incoming connection that waits for a decision. Dropping it ignores the connection."""

    @property
    def is_validated(self) -> bool:
        """Whether the peer's address is validated (RFC 9000, 8.1)."""

    @property
    def path(self) -> Path | None:
        """The peer's address, or None after the decision."""

@final
class Connection:
    """One QUIC connection. Streams are identified by their stream ID."""

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
    def latest_sent(self) -> bytes: ...
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
        """Number of streams that have not ended."""

    @property
    def statistics(self) -> Statistics: ...
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
        """Return the datagrams that may be sent now, for a path without a socket."""

    def send(self, now: float) -> int:
        """Send what may be sent now through the endpoint's socket. Return the number of writes."""

    def deadline(self) -> float | None: ...
    def expire(self, now: float) -> None: ...
    def dispatch(self, observer: Observer) -> None: ...

@final
class Endpoint:
    """The connections that share a UDP socket.

    :param hold: the idle timeout in seconds.
    :param streams: streams that a peer may have open until `Connection.allow_streams`.
    :param unread_limit: unread bytes that all connections together may hold.
    :param congestion: "bbr", "cubic" or "reno". None for the default, bbr.
    :param reset_key: secret that stateless reset tokens are derived from. None for a random one.
    :param accepts: whether incoming connections are accepted, once there is a certificate.
    :param unproven_datagrams: datagrams that are processed for an accepted connection before
        `Connection.trust`.
    :param unproven_datagrams_free: the first of them, which do not count for the following rate.
    :param unproven_datagrams_per_second: datagrams per second, at least one, that are processed for
        all accepted connections together before `Connection.trust`.
    :param unproven_datagram_burst: the same, at once.
    :param unproven_frames: frames, other than PADDING, that are processed for any connection before
        `Connection.trust`.
    :param frames_per_packet: frames, other than PADDING, of a packet of any connection.
    :param link_frames_per_packet: those of them that name no stream.
    :param too_much: application error code of a connection with too many datagrams or frames
        before `Connection.trust`.
    :param violation: application error code of a connection with too many frames in a packet.
    :param qlog: whether connections are recorded, for `take_qlog`.
    :param now: the current time on the caller's clock.
    :raises ValueError: a setting is not valid.
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
        unproven_datagrams: int,
        unproven_datagrams_free: int,
        unproven_datagrams_per_second: int,
        unproven_datagram_burst: int,
        unproven_frames: int,
        frames_per_packet: int,
        link_frames_per_packet: int,
        too_much: int,
        violation: int,
        qlog: bool,
        now: float,
    ) -> Endpoint: ...
    def set_certificate(self, chain: Sequence[bytes], key: bytes) -> None:
        """Use this certificate for new connections: DER, leaf first, and its key as PKCS #8.

        :raises ValueError: the key's type is not supported, or the key does not match.
        """

    def connect(self, peer: tuple[str, int], server_name: str | None, now: float) -> Connection:
        """Dial a peer.

        :raises ValueError: the address or the server name is not valid.
        """

    def accept(self, incoming: IncomingConnection, now: float) -> Connection | None:
        """Accept a connection. None if its first packet is not valid."""

    def retry(self, incoming: IncomingConnection) -> None:
        """Respond with a Retry packet (RFC 9000, 8.1.2)."""

    def ignore(self, incoming: IncomingConnection) -> None:
        """Drop an incoming connection without a response."""

    @property
    def connection_count(self) -> int:
        """Number of connections that datagrams are routed to."""

    def take_qlog(self) -> list[tuple[int, bool, bytes, bytes, bool]]:
        """Return the events of recorded connections since the last call.

        Each item has the recording's number, whether this end has dialed, the destination
        connection ID of the client's first packet, records of a JSON text sequence (RFC 7464), and
        whether they are the last ones.
        """

    def discard(self, connection: Connection) -> None:
        """Route no more datagrams to a connection."""

    def receive(
        self, datagrams: Sequence[Datagram], now: float
    ) -> tuple[list[Connection], list[IncomingConnection]]:
        """Route datagrams. Return the connections that received something, and incoming ones.

        The datagrams of trusted connections are processed first.
        """

    def transmit(self) -> list[Datagram]:
        """Return the responses to peers without a connection."""

    def take_carried(self) -> list[Datagram]:
        """Return the datagrams for addresses of 100::/64 that the attached socket was given.

        A bound socket does not send to these addresses, which stand for other paths than UDP.
        """

    def attach(
        self,
        fd: int,
        peer: tuple[str, int] | None = None,
        known_as: tuple[str, int] | None = None,
    ) -> int:
        """Attach a duplicate of this UDP socket's descriptor, in place of the previous socket.

        :param peer: the address that the socket is connected to, if it is. Needs `known_as`.
        :param known_as: the address that was dialled, under which the connection knows `peer`.
        :returns: a number for `detach`.
        :raises OSError: the kernel reports an error. The previous socket stays attached.
        """

    def detach(self, number: int) -> None:
        """Detach the socket with this number, unless another socket has replaced it."""

    def take_send_error(self) -> OSError | None:
        """Return the latest send error since the last call."""

    def receive_ready(self, now: float) -> tuple[list[Connection], list[IncomingConnection], bool]:
        """Do what `receive` does with the datagrams of the attached socket.

        It makes one system call, or more while they bring nothing. The last item is whether the
        kernel has no more datagrams.

        :raises OSError: ICMP reported an error for an earlier datagram. Nothing is lost.
        """

    def flush(self) -> bool:
        """Send the queued datagrams. Return whether none is left."""

    @property
    def is_full(self) -> bool:
        """Whether the kernel's send buffer is full."""
