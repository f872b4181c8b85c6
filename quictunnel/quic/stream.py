"""A stream as an `asyncio.Transport`: what a relay joins to a client's TCP connection.

It keeps the promises that asyncio's own transports keep (flow control in both directions, half
closing, `connection_lost` exactly once), and holds no bytes itself: those unread and unsent stay in
the engine, which lets the peer know. Nothing here knows QUIC.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from quictunnel.errors import StreamReset
from quictunnel.protocol.codes import Code
from quictunnel.quic.guarded_call import tell

if TYPE_CHECKING:
    from collections.abc import Callable

    from quictunnel.quic.link import Link

READ_SIZE = 256 * 1024
"""Bytes handed to a protocol at a time, as asyncio's TCP transports do: large enough that Python
costs little, small enough that a pause takes effect soon."""

HIGH_WATER = 256 * 1024
"""Bytes written and not yet sent at which the protocol is asked to pause, at most: less on slow
paths, and where many streams share one (`Engine.share`). What is in flight is not among them: it is
bounded by the congestion window and by the peer's window."""

LOW_WATER = HIGH_WATER // 4


class Stream(asyncio.Transport):
    """One bidirectional stream of a link.

    Made by `Link.open_stream`, or for a `LinkProtocol` when the peer opened it.
    """

    __slots__ = (
        "_closing",
        "_dropping",
        "_eof_told",
        "_eof_written",
        "_high",
        "_link",
        "_lost",
        "_low",
        "_protocol",
        "_reading",
        "_writing_paused",
        "id",
    )

    def __init__(self, link: Link, stream_id: int) -> None:
        self._link = link
        self.id = stream_id
        """The stream's number on its link."""
        self._protocol: asyncio.Protocol | None = None
        self._high, self._low = HIGH_WATER, LOW_WATER
        self._reading = True
        self._writing_paused = False
        self._eof_written = False
        self._eof_told = False
        self._dropping = False  # the peer takes no more
        self._closing = False
        self._lost = False  # connection_lost was called, or is on its way

    def __repr__(self) -> str:
        return f"<Stream {self.id}{' closing' if self._closing else ''}>"

    @property
    def is_silent(self) -> bool:
        """The link has not heard its peer for a while: what is written waits."""
        return self._link.is_silent

    # Reading

    def is_reading(self) -> bool:
        """Whether data is handed to the protocol as it comes."""
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        """Hand over nothing more; the peer may send until its window is full."""
        self._reading = False

    def resume_reading(self) -> None:
        """Hand over again what comes, and what has come."""
        if not self._reading:
            self._reading = True
            self._link.read_soon(self.id)

    def on_readable(self) -> None:
        """Hand over what there is, one piece; the link calls again while there is more."""
        if not self._reading or self._closing or self._protocol is None:
            return
        data, ended = self._link.engine.read(self.id, READ_SIZE)
        if data:
            tell(self._fail, self._protocol.data_received, data)
        if ended:
            self._eof_received()
        elif len(data) >= READ_SIZE:
            self._link.read_soon(self.id)

    def _eof_received(self) -> None:
        if self._closing or self._eof_told or self._protocol is None:
            return
        self._eof_told = True
        if not tell(self._fail, self._protocol.eof_received):
            self.close()

    # Writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Queue `data`; past the high water the protocol is asked to pause.

        :raises RuntimeError: after `write_eof`.
        """
        if self._closing or self._dropping or not data:
            return
        if self._eof_written:
            raise RuntimeError("Cannot call write() after write_eof()")
        engine = self._link.engine
        engine.write(self.id, data)
        self._link.send_soon()
        if not self._writing_paused and engine.unsent(self.id) > min(self._high, engine.share):
            self._writing_paused = True
            self._link.paused_writers.add(self)
            if self._protocol is not None:
                tell(self._fail, self._protocol.pause_writing)

    def can_write_eof(self) -> bool:
        """Streams can be half closed."""
        return True

    def write_eof(self) -> None:
        """End our direction once all is sent; the other goes on."""
        if not (self._eof_written or self._closing):
            self._eof_written = True
            self._link.engine.finish(self.id)
            self._link.send_soon()

    def get_write_buffer_size(self) -> int:
        """Return how many bytes wait to be sent for the first time."""
        return self._link.engine.unsent(self.id)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the low and the high water in bytes, as the path has it now."""
        share = self._link.engine.share
        return min(self._low, share // 4), min(self._high, share)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set what the waters are at most, in bytes, as asyncio's transports take them."""
        if high is None:
            high = HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high, self._low = high, low

    def on_sent(self, share: int) -> None:
        """Let a paused protocol write again once enough has gone out, of what is its share."""
        if self._link.engine.unsent(self.id) <= min(self._low, share // 4):
            self._resume_writing()

    def _resume_writing(self) -> None:
        if self._writing_paused:
            self._writing_paused = False
            self._link.paused_writers.discard(self)
            if self._protocol is not None and not self._closing:
                tell(self._fail, self._protocol.resume_writing)

    # Endings

    def is_closing(self) -> bool:
        """Whether it has ended or is about to."""
        return self._closing

    def close(self) -> None:
        """Send what was written, then end; what still comes from the peer is not wanted.

        A peer that has not ended its direction is told so with a reset of it.
        """
        if self._closing:
            return
        self.write_eof()
        self._closing = True
        self._link.paused_writers.discard(self)
        self._link.engine.stop_reading(self.id, Code.NO_ERROR)
        self._link.send_soon()

    def abort(self) -> None:
        """End both directions at once, for a reason of our own making."""
        self.reset(Code.INTERNAL)

    def reset(self, code: int) -> None:
        """End both directions at once, and tell the peer why. Nothing more is sent or read."""
        self._end(code, None)

    def _fail(self, exc: Exception) -> None:
        """End it, and nothing else, because its protocol has raised."""
        self._end(Code.INTERNAL, exc)

    def _end(self, code: int, exc: Exception | None) -> None:
        if not self._lost:
            self._link.engine.reset(self.id, code)
            self._link.send_soon()
            self._lose(exc)

    # What the link tells

    def begin(self, accept: Callable[[Stream], asyncio.Protocol]) -> None:
        """Ask for the protocol of a stream that the peer has opened, and begin with it."""
        protocol = tell(self._fail, accept, self)
        if protocol is not None:
            self.set_protocol(protocol)
            tell(self._fail, protocol.connection_made, self)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand what comes to `protocol` from now on."""
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return who is told of what comes."""
        assert self._protocol is not None
        return self._protocol

    def on_reset(self, code: int) -> None:
        """The peer has ended it before its orderly end."""
        self._link.engine.reset(self.id, code)
        self._lose(StreamReset(code))

    def on_stopped(self, code: int) -> None:
        """The peer takes no more.

        With a code that is the end of both directions; without one the peer has only closed, as a
        transport may: what it sent before that is still good, and what we write is dropped.
        """
        if code != Code.NO_ERROR:
            self.on_reset(code)
            return
        self._eof_written = True
        self._dropping = True
        self._resume_writing()

    def on_ended(self) -> None:
        """All was sent and acknowledged, all was read."""
        self._lose(None)

    def on_lost(self, exc: Exception) -> None:
        """The link is over."""
        self._lose(exc)

    def _lose(self, exc: Exception | None) -> None:
        if self._lost:
            return
        self._lost = True
        self._closing = True
        self._link.forget(self)
        self._link.loop.call_soon(self._connection_lost, exc)

    def _connection_lost(self, exc: Exception | None) -> None:
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connection_lost(exc)

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - asyncio's own
        """Return a fact: `link`, `stream_id`, or `peername` (the link's peer)."""
        if name == "link":
            return self._link
        if name == "stream_id":
            return self.id
        return self._link.peer if name == "peername" else default
