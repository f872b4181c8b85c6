"""A stream as an `asyncio.Transport`.

It keeps the contract of asyncio's transports (flow control in both directions, half-close,
`connection_lost` exactly once). It buffers nothing: unread and unsent bytes stay in the engine.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from quictunnel.errors import StreamReset
from quictunnel.protocol.codes import Code
from quictunnel.quic.callbacks import call_protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from quictunnel.protocol.address import Address
    from quictunnel.quic.engine import Engine

READ_SIZE = 256 * 1024
"""Bytes passed to the protocol at a time, as in asyncio's TCP transports: large enough to cost
Python little, small enough that a pause takes effect soon."""

HIGH_WATER = 256 * 1024
"""Unsent bytes above which the protocol is asked to pause. The limit is lower on slow paths and
with many streams (`Engine.share`). Bytes in flight do not count: congestion window and flow control
limit them."""

LOW_WATER = HIGH_WATER // 4
"""Unsent bytes at which a paused protocol is asked to resume."""


class ReadLimiter(Protocol):
    """Limits what a transport reads."""

    def allow(self, wanted: int) -> int:
        """Return how many bytes may be read now, at most `wanted`.

        If it is 0, the limiter has paused reading.
        """

    def settle(self, used: int) -> None:
        """Report how many of these bytes were read, before the protocol gets them."""


class StreamOwner(Protocol):
    """The link, as its streams see it."""

    engine: Engine
    loop: asyncio.AbstractEventLoop
    paused_writers: set[Stream]

    @property
    def is_silent(self) -> bool:
        """Whether the peer does not answer."""

    @property
    def peer(self) -> Address:
        """The peer's address."""

    def send_soon(self) -> None:
        """Send at the end of this turn of the event loop."""

    def read_soon(self, stream_id: int) -> None:
        """Call the stream's `on_readable` in the next turn of the event loop."""

    def remove_stream(self, stream: Stream) -> None:
        """Remove a stream that has ended."""


class Stream(asyncio.Transport):
    """One bidirectional stream of a link.

    `Link.open_stream` creates it, or the link does when the peer opens it.
    """

    __slots__ = (
        "_closing",
        "_discards_writes",
        "_eof_received",
        "_eof_written",
        "_link",
        "_lost",
        "_protocol",
        "_reading",
        "_writing_paused",
        "id",
        "read_limiter",
    )

    def __init__(self, link: StreamOwner, stream_id: int) -> None:
        self._link = link
        self.id = stream_id
        """The stream ID (RFC 9000, section 2.1)."""
        self.read_limiter: ReadLimiter | None = None
        """Limits what is read, if set."""
        self._protocol: asyncio.Protocol | None = None
        self._reading = True
        self._writing_paused = False
        self._eof_written = False
        self._eof_received = False
        self._discards_writes = False  # the peer has closed the stream
        self._closing = False
        self._lost = False  # connection_lost was called or is scheduled

    def __repr__(self) -> str:
        return f"<Stream {self.id}{' closing' if self._closing else ''}>"

    @property
    def is_silent(self) -> bool:
        """Whether the link is silent, so that written bytes wait."""
        return self._link.is_silent

    # Reading

    def is_reading(self) -> bool:
        """Return whether received bytes are passed to the protocol."""
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        """Stop reading. The peer can send until the window is full."""
        self._reading = False

    def resume_reading(self) -> None:
        """Read again."""
        if not self._reading:
            self._reading = True
            self._link.read_soon(self.id)

    def on_readable(self) -> None:
        """Pass one piece to the protocol, and schedule the next one."""
        if not self._reading or self._closing or self._protocol is None:
            return
        size, limiter = READ_SIZE, self.read_limiter
        if limiter is not None and not (size := limiter.allow(READ_SIZE)):
            return
        data, ended = self._link.engine.read(self.id, size)
        if limiter is not None:
            limiter.settle(len(data))
        if data:
            call_protocol(self._fail, self._protocol.data_received, data)
        if ended:
            self._receive_eof()
        elif len(data) >= size:
            self._link.read_soon(self.id)

    def _receive_eof(self) -> None:
        if self._closing or self._eof_received or self._protocol is None:
            return
        self._eof_received = True
        if not call_protocol(self._fail, self._protocol.eof_received):
            self.close()

    # Writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Queue bytes to be sent. Above the high water mark, `pause_writing` is called.

        :raises RuntimeError: after `write_eof`.
        """
        if self._closing or self._discards_writes or not data:
            return
        if self._eof_written:
            raise RuntimeError("Cannot call write() after write_eof()")
        engine = self._link.engine
        engine.write(self.id, data)
        self._link.send_soon()
        if not self._writing_paused and engine.unsent(self.id) > min(HIGH_WATER, engine.share):
            self._writing_paused = True
            self._link.paused_writers.add(self)
            if self._protocol is not None:
                call_protocol(self._fail, self._protocol.pause_writing)

    def can_write_eof(self) -> bool:
        """Return True."""
        return True

    def write_eof(self) -> None:
        """Send FIN after everything written so far. The other direction stays open."""
        if not (self._eof_written or self._closing):
            self._eof_written = True
            self._link.engine.finish(self.id)
            self._link.send_soon()

    def get_write_buffer_size(self) -> int:
        """Return the number of bytes that were never sent."""
        return self._link.engine.unsent(self.id)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the current low and high water marks in bytes."""
        share = self._link.engine.share
        return min(LOW_WATER, share // 4), min(HIGH_WATER, share)

    def on_sent(self, share: int) -> None:
        """Resume the protocol if it is paused and few enough bytes are unsent."""
        if self._link.engine.unsent(self.id) <= min(LOW_WATER, share // 4):
            self._resume_writing()

    def _resume_writing(self) -> None:
        if self._writing_paused:
            self._writing_paused = False
            self._link.paused_writers.discard(self)
            if self._protocol is not None and not self._closing:
                call_protocol(self._fail, self._protocol.resume_writing)

    # Endings

    def is_closing(self) -> bool:
        """Return whether the stream has ended or is ending."""
        return self._closing

    def close(self) -> None:
        """Send everything written so far, then end. Bytes from the peer are discarded.

        If the peer has not ended its direction, it is sent STOP_SENDING.
        """
        if self._closing:
            return
        self.write_eof()
        self._closing = True
        self._link.paused_writers.discard(self)
        self._link.engine.stop_reading(self.id, Code.NO_ERROR)
        self._link.send_soon()

    def abort(self) -> None:
        """Reset the stream with `Code.INTERNAL`."""
        self.reset(Code.INTERNAL)

    def reset(self, code: int) -> None:
        """End both directions at once and send the code to the peer. Unsent bytes are discarded."""
        self._end(code, None)

    def _fail(self, exc: Exception) -> None:
        """Reset the stream because its protocol has raised."""
        self._end(Code.INTERNAL, exc)

    def _end(self, code: int, exc: Exception | None) -> None:
        if not self._lost:
            self._link.engine.reset(self.id, code)
            self._link.send_soon()
            self._lose(exc)

    # Called by the link

    def start(self, accept: Callable[[Stream], asyncio.Protocol]) -> None:
        """Attach the protocol of a stream that the peer has opened."""
        protocol = call_protocol(self._fail, accept, self)
        if protocol is not None:
            self.set_protocol(protocol)
            call_protocol(self._fail, protocol.connection_made, self)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Use another protocol from now on."""
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol."""
        assert self._protocol is not None
        return self._protocol

    def on_reset(self, code: int) -> None:
        """Handle RESET_STREAM."""
        self._link.engine.reset(self.id, code)
        self._lose(StreamReset(code))

    def on_stopped(self, code: int) -> None:
        """Handle STOP_SENDING.

        With an error code, it ends both directions. With `NO_ERROR`, the peer has closed its
        transport: bytes that it sent before are delivered, and our writes are discarded.
        """
        if code != Code.NO_ERROR:
            self.on_reset(code)
            return
        self._eof_written = True
        self._discards_writes = True
        self._resume_writing()

    def on_ended(self) -> None:
        """Handle the orderly end: everything was acknowledged and read."""
        self._lose(None)

    def on_lost(self, exc: Exception) -> None:
        """Handle the end of the link."""
        self._lose(exc)

    def _lose(self, exc: Exception | None) -> None:
        if self._lost:
            return
        self._lost = True
        self._closing = True
        self._link.remove_stream(self)
        self._link.loop.call_soon(self._connection_lost, exc)

    def _connection_lost(self, exc: Exception | None) -> None:
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connection_lost(exc)

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - asyncio's own
        """Return `link`, `stream_id` or `peername` (the link's peer), or the default."""
        if name == "link":
            return self._link
        if name == "stream_id":
            return self.id
        return self._link.peer if name == "peername" else default
