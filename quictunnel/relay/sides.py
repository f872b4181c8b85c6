"""The two sides of a relay: asyncio protocols, each of which is the other's peer.

What arrives on one side is written to the other; a side that cannot write pauses the other's
reading; an EOF goes over as an EOF. What becomes of the whole when a side is lost is decided in
`quictunnel.relay.relay`. There is no task, no queue and no buffer beyond the transports' own,
except for the few bytes that come before the other side stands.

The TCP connection's transport is one of `quictunnel.relay.tcp_transport`: what it does beyond
asyncio's own (it reports a reset even while reading is paused, and everything but `close()` sends
RST) is relied on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, cast

from quictunnel.relay import tcp_options as tcp

if TYPE_CHECKING:
    from quictunnel.relay.relay import Relay


class TcpTransport(Protocol):
    """What a TCP connection's transport has beyond an `asyncio.Transport`."""

    read_most: int
    """Bytes read at a time at most."""


class StreamTransport(Protocol):
    """What a stream's transport has beyond an `asyncio.Transport`."""

    @property
    def is_silent(self) -> bool:
        """Whether nothing has been heard from the link's other end for a while."""

    def reset(self, code: int) -> None:
        """End both directions at once, drop what is unsent, and tell the other end the code."""


class Side(asyncio.Protocol):
    """What both sides have in common."""

    __slots__ = (
        "_eof_due",
        "_waiting",
        "ended",
        "eof_sent",
        "is_lost",
        "peer",
        "received",
        "relay",
        "transport",
        "write_paused",
    )

    peer: Side

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.transport: asyncio.Transport | None = None
        self.received = 0
        """Bytes that have arrived here."""
        self.ended = False
        """Whether EOF has arrived here."""
        self.eof_sent = False
        """Whether EOF has gone out here."""
        self.is_lost = False
        """Whether the transport has reported its end."""
        self.write_paused = False
        self._waiting = b""
        self._eof_due = False

    def write(self, data: bytes) -> None:
        """Write to this side, or keep the bytes until it stands.

        For what goes ahead of the other side's bytes (a preamble, a PROXY header), to be called
        before the other side is read. Both kinds are bounded: a header, and the one piece that the
        other side had read when it was handed over, since it is paused until this side stands.
        """
        if self.transport is None:
            self._waiting += data
        else:
            self.transport.write(data)  # which drops it if it has failed

    def write_eof(self) -> None:
        """Write EOF to this side, behind all that was written, or keep it until the side stands."""
        if self.transport is None:
            self._eof_due = True
        elif not self.transport.is_closing():
            self._end_writing(self.transport)

    def cut(self, code: int) -> None:
        """End this side at once and drop what it holds, if it stands and has not ended."""
        self._waiting = b""
        if self.transport is not None and not self.is_lost:
            self._abort(self.transport, code)

    def hold_reading(self) -> None:
        """Stop reading: the other side cannot take more."""
        if self.transport is not None:
            self.transport.pause_reading()

    def allow_reading(self) -> None:
        """Read on, if the other side stands and can take more."""
        if self.transport is None or self.transport.is_closing() or self.ended:
            return
        if self.peer.transport is not None and not self.peer.write_paused:
            self.transport.resume_reading()

    def settle(self) -> None:
        """Close the side in order once EOF has passed both ways."""
        if self.ended and self.eof_sent and self.transport is not None and not self.is_lost:
            self._close(self.transport)

    def unsent(self) -> int:
        """Return how many bytes written to this side have not left it, as far as can be told."""
        if self.transport is None or self.is_lost:
            return 0
        return self.transport.get_write_buffer_size()

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; nothing is read from it before the other side stands."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.pause_reading()
        if self.relay.refuses(self):
            return
        if self._waiting:
            waiting, self._waiting = self._waiting, b""
            self.transport.write(waiting)
        if self._eof_due:
            self.write_eof()
        if self.peer.transport is not None:
            self.allow_reading()
            self.peer.allow_reading()

    def data_received(self, data: bytes) -> None:
        """Pass on bytes."""
        self.received += len(data)
        self.peer.write(data)

    def eof_received(self) -> bool:
        """Pass on the EOF and keep the other direction."""
        if not self.ended:
            self.ended = True
            self.relay.half_ended()
            self.peer.write_eof()
            self.settle()
        return True

    def pause_writing(self) -> None:
        """Hold the other side still: this one is full."""
        self.write_paused = True
        self.peer.hold_reading()

    def resume_writing(self) -> None:
        """Let the other side go on."""
        self.write_paused = False
        self.peer.allow_reading()

    # What differs

    def _end_writing(self, transport: asyncio.Transport) -> None:
        raise NotImplementedError

    def _abort(self, transport: asyncio.Transport, code: int) -> None:
        raise NotImplementedError

    def _close(self, transport: asyncio.Transport) -> None:
        raise NotImplementedError


class StreamSide(Side):
    """The side of the stream."""

    __slots__ = ()

    @property
    def is_silent(self) -> bool:
        """Whether the stream stands on a link that is silent."""
        return self.transport is not None and cast(StreamTransport, self.transport).is_silent

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the stream's end."""
        self.is_lost = True
        self.relay.stream_lost(exc)

    def _end_writing(self, transport: asyncio.Transport) -> None:
        transport.write_eof()
        self.eof_sent = True
        self.settle()

    def _abort(self, transport: asyncio.Transport, code: int) -> None:
        cast(StreamTransport, transport).reset(code)

    def _close(self, transport: asyncio.Transport) -> None:
        # It flushes what it holds, and is lost only when the other end has it all.
        transport.close()


class TcpSide(Side):
    """The side of the TCP connection (or of a UNIX socket)."""

    __slots__ = ()

    def unsent(self) -> int:
        """Return the same, with what the kernel holds: megabytes, if the other end reads slowly."""
        sock = None
        if self.transport is not None and not self.is_lost:
            sock = self.transport.get_extra_info("socket")
        return super().unsent() + (tcp.unacknowledged(sock) if sock is not None else 0)

    def allow_reading(self) -> None:
        """Read on, in pieces that are no longer than what the stream may hold now."""
        if self.transport is not None and self.peer.transport is not None:
            high = self.peer.transport.get_write_buffer_limits()[1]
            cast(TcpTransport, self.transport).read_most = high
        super().allow_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the connection's end."""
        self.is_lost = True
        self.relay.tcp_lost(exc)

    def _end_writing(self, transport: asyncio.Transport) -> None:
        self.eof_sent = True
        if self.ended:
            self._close(transport)
        else:
            transport.write_eof()

    def _abort(self, transport: asyncio.Transport, code: int) -> None:
        transport.abort()  # which sends RST

    def _close(self, transport: asyncio.Transport) -> None:
        # It writes out what it holds, and from there on the kernel sees to it alone.
        transport.close()


def make_sides(relay: Relay) -> tuple[TcpSide, StreamSide]:
    """Return the two sides of a relay, each the other's peer."""
    tcp_side, stream_side = TcpSide(relay), StreamSide(relay)
    tcp_side.peer, stream_side.peer = stream_side, tcp_side
    return tcp_side, stream_side
