"""The two sides of a relay: asyncio protocols, each of which is the other's peer.

A side writes what it receives to its peer, pauses the peer's reading while it cannot write, and
passes on EOF. `quictunnel.relay.relay` decides what the loss of one side means. Beyond the
transports' own buffers there is only a header and the bytes that arrive before both sides are
connected.

The TCP side's transport is `quictunnel.relay.tcp_transport.SocketTransport`. The relay relies on
what it does beyond asyncio's own transports: it reports a reset even while reading is paused, and
everything but `close()` sends RST.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from quictunnel.relay import tcp_options as tcp
from quictunnel.relay.throttle import Throttle


class LimitedTransport(Protocol):
    """A member of both transports beyond `asyncio.Transport`."""

    read_limiter: Throttle | None
    """Limits what is read, if set."""


class TcpTransport(Protocol):
    """Members of a TCP transport beyond these."""

    max_read_size: int
    """Largest number of bytes read at a time."""


class StreamTransport(Protocol):
    """Members of a stream beyond these."""

    @property
    def is_silent(self) -> bool:
        """Whether the stream's link is silent."""

    def reset(self, code: int) -> None:
        """End both directions at once, discard unsent bytes, and send the code to the peer."""


class SideOwner(Protocol):
    """The relay, as its sides see it."""

    loop: asyncio.AbstractEventLoop
    """The event loop, whose clock the sides use."""

    def has_ended(self, side: Side) -> bool:
        """Return whether the relay has ended; if so, reset the newly connected side."""

    def half_closed(self) -> None:
        """Handle EOF from one side."""

    def tcp_lost(self, exc: Exception | None) -> None:
        """Handle the end of the TCP connection."""

    def stream_lost(self, exc: Exception | None) -> None:
        """Handle the end of the stream."""


class Side(asyncio.Protocol):
    """The common part of both sides."""

    __slots__ = (
        "_eof_pending",
        "_pending",
        "connected_at",
        "eof_sent",
        "first_at",
        "has_eof",
        "is_lost",
        "owner",
        "peer",
        "received",
        "throttle",
        "transport",
        "write_paused",
    )

    peer: Side

    def __init__(self, owner: SideOwner) -> None:
        self.owner = owner
        self.throttle: Throttle | None = None
        """Limits the rate at which this side reads, if set before it is connected."""
        self.transport: asyncio.Transport | None = None
        self.connected_at: float | None = None
        """When this side was connected, in seconds of the loop's clock."""
        self.received = 0
        """Bytes received on this side."""
        self.first_at: float | None = None
        """When the first of them arrived."""
        self.has_eof = False
        """Whether this side has received EOF."""
        self.eof_sent = False
        """Whether EOF was written to this side."""
        self.is_lost = False
        """Whether `connection_lost` was called."""
        self.write_paused = False
        self._pending = b""
        self._eof_pending = False

    def write(self, data: bytes) -> None:
        """Write to this side, or keep the bytes until it is connected.

        Kept bytes are bounded: a header (preamble, PROXY header), and one read of the peer, which
        is paused until this side is connected.
        """
        if self.transport is None:
            self._pending += data
        else:
            self.transport.write(data)  # does nothing if the connection has failed

    def write_eof(self) -> None:
        """Write EOF after everything written so far, or once this side is connected."""
        if self.transport is None:
            self._eof_pending = True
        elif not self.transport.is_closing():
            self._end_writing(self.transport)

    def abort(self, code: int) -> None:
        """Reset this side and discard its buffers. Has no effect if it has ended."""
        self._pending = b""
        if self.transport is not None and not self.is_lost:
            self._reset(self.transport, code)

    def pause_reading(self) -> None:
        """Stop reading, because the peer cannot write."""
        if self.transport is not None:
            self.transport.pause_reading()

    def hold_back(self) -> None:
        """Stop reading, because the throttle does not allow it."""
        if self.transport is not None:
            self.transport.pause_reading()

    def resume_reading(self) -> bool:
        """Read again if the peer is connected and can write, and the throttle allows it.

        :return: whether this side reads now.
        """
        if self.transport is None or self.transport.is_closing() or self.has_eof:
            return False
        if self.peer.transport is None or self.peer.write_paused:
            return False
        if self.throttle is not None and self.throttle.is_waiting:
            return False
        self.transport.resume_reading()
        return True

    @property
    def is_throttled(self) -> bool:
        """Whether this side does not read because its rate is limited."""
        return self.throttle is not None and self.throttle.is_waiting

    def close_if_done(self) -> None:
        """Close this side in order once EOF has passed in both directions."""
        if self.has_eof and self.eof_sent and self.transport is not None and not self.is_lost:
            self._close(self.transport)

    def buffered(self) -> int:
        """Return how many bytes written to this side are in this process."""
        if self.transport is None or self.is_lost:
            return len(self._pending)
        return self.transport.get_write_buffer_size()

    def unsent(self) -> int:
        """Return how many bytes written to this side have not left it, as far as is known."""
        if self.transport is None or self.is_lost:
            return 0
        return self.transport.get_write_buffer_size()

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport. Nothing is read before both sides are connected."""
        self.transport = cast(asyncio.Transport, transport)
        self.connected_at = self.owner.loop.time()
        self.transport.pause_reading()
        if self.throttle is not None:
            cast(LimitedTransport, transport).read_limiter = self.throttle
        if self.owner.has_ended(self):
            return
        if self._pending:
            pending, self._pending = self._pending, b""
            self.transport.write(pending)
        if self._eof_pending:
            self.write_eof()
        if self.peer.transport is not None:
            self.resume_reading()
            self.peer.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Forward bytes to the peer."""
        if not self.received:
            self.first_at = self.owner.loop.time()
        self.received += len(data)
        self.peer.write(data)

    def take_over(self, data: bytes) -> None:
        """Forward bytes that were read before this side was connected."""
        if self.throttle is not None:
            self.throttle.charge(len(data))
        self.data_received(data)

    def eof_received(self) -> bool:
        """Forward EOF to the peer. The other direction stays open."""
        if not self.has_eof:
            self.has_eof = True
            self.owner.half_closed()
            self.peer.write_eof()
            self.close_if_done()
        return True

    def pause_writing(self) -> None:
        """Pause the peer's reading."""
        self.write_paused = True
        self.peer.pause_reading()

    def resume_writing(self) -> None:
        """Resume the peer's reading."""
        self.write_paused = False
        self.peer.resume_reading()

    # Differences between the sides

    def _end_writing(self, transport: asyncio.Transport) -> None:
        raise NotImplementedError

    def _reset(self, transport: asyncio.Transport, code: int) -> None:
        raise NotImplementedError

    def _close(self, transport: asyncio.Transport) -> None:
        raise NotImplementedError


class StreamSide(Side):
    """The side of the stream."""

    __slots__ = ()

    @property
    def is_silent(self) -> bool:
        """Whether the stream's link is silent."""
        return self.transport is not None and cast(StreamTransport, self.transport).is_silent

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end of the stream."""
        self.is_lost = True
        self.owner.stream_lost(exc)

    def _end_writing(self, transport: asyncio.Transport) -> None:
        transport.write_eof()
        self.eof_sent = True
        self.close_if_done()

    def _reset(self, transport: asyncio.Transport, code: int) -> None:
        cast(StreamTransport, transport).reset(code)

    def _close(self, transport: asyncio.Transport) -> None:
        # The stream flushes its buffer, and is lost only when the peer has acknowledged it all.
        transport.close()


class TcpSide(Side):
    """The side of the TCP connection (or UNIX socket)."""

    __slots__ = ()

    def unsent(self) -> int:
        """Return the same, including bytes in the kernel's send buffer, which holds megabytes."""
        sock = None
        if self.transport is not None and not self.is_lost:
            sock = self.transport.get_extra_info("socket")
        return super().unsent() + (tcp.unacknowledged(sock) if sock is not None else 0)

    def resume_reading(self) -> bool:
        """Read again, at most as much at a time as the stream may buffer now."""
        if self.transport is not None and self.peer.transport is not None:
            high_water = self.peer.transport.get_write_buffer_limits()[1]
            cast(TcpTransport, self.transport).max_read_size = high_water
        return super().resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end of the connection."""
        self.is_lost = True
        self.owner.tcp_lost(exc)

    def _end_writing(self, transport: asyncio.Transport) -> None:
        self.eof_sent = True
        if self.has_eof:
            self._close(transport)
        else:
            transport.write_eof()

    def _reset(self, transport: asyncio.Transport, code: int) -> None:
        transport.abort()  # sends RST

    def _close(self, transport: asyncio.Transport) -> None:
        # The transport flushes its buffer. After that the kernel delivers the rest by itself.
        transport.close()


def make_sides(owner: SideOwner) -> tuple[TcpSide, StreamSide]:
    """Return the two sides of a relay, each the other's peer."""
    tcp_side, stream_side = TcpSide(owner), StreamSide(owner)
    tcp_side.peer, stream_side.peer = stream_side, tcp_side
    return tcp_side, stream_side
