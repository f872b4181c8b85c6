"""Reads the preamble of a stream that the remote has opened.

Nothing is read before the remote has proven that it knows the token.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from quictunnel.errors import ProtocolError
from quictunnel.protocol.codes import Code
from quictunnel.protocol.preamble import Preamble, PreambleDecoder
from quictunnel.quic.stream import Stream
from quictunnel.relay.timers import SharedTimer

PREAMBLE_TIMEOUT = 10.0
"""Seconds for the preamble to arrive. It travels in the stream's first packet, which may be lost.
When a silent link recovers, the time starts again."""


class PendingStreamOwner(Protocol):
    """Receives what happens to pending streams: a session."""

    @property
    def preamble_timer(self) -> SharedTimer[PendingStream]:
        """The timer of `PREAMBLE_TIMEOUT`, which calls `PendingStream.time_out`."""

    def preamble_received(self, stream: Stream, preamble: Preamble, rest: bytes) -> None:
        """Take over a stream, and the bytes read after its preamble."""

    def preamble_rejected(self, reason: str) -> None:
        """Handle a stream that was reset because of its preamble."""

    def pending_stream_ended(self, pending: PendingStream) -> None:
        """Handle the end of a pending stream: it was handed over, or is closed."""


class PendingStream(asyncio.Protocol):
    """The protocol of a stream until its preamble is complete.

    :param may_read: whether the remote has proven that it knows the token.
    """

    __slots__ = ("_decoder", "_may_read", "_owner", "_stream")

    def __init__(self, owner: PendingStreamOwner, *, may_read: bool) -> None:
        self._owner = owner
        self._stream: Stream | None = None
        self._may_read = may_read
        self._decoder = PreambleDecoder()

    def start_reading(self) -> None:
        """Read the preamble: the remote has proven itself. May precede `connection_made`."""
        self._may_read = True
        if self._stream is not None:
            self._owner.preamble_timer.start(self)
            self._stream.resume_reading()

    def time_out(self) -> None:
        """Reset the stream because its preamble has not arrived."""
        self._reject("no preamble in time")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the stream."""
        self._stream = cast(Stream, transport)
        if self._may_read:
            self._owner.preamble_timer.start(self)
        else:
            self._stream.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Decode the preamble, and hand over the stream once it is complete."""
        if self._stream is None:
            return
        try:
            found = self._decoder.feed(data)
        except ProtocolError as exc:
            self._reject(str(exc))
            return
        if found is not None:
            stream = self._stream
            self._end()
            self._owner.preamble_received(stream, *found)

    def eof_received(self) -> bool:
        """Reset a stream that ends within its preamble."""
        self._reject("ended within the preamble")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """End with the stream."""
        self._end()

    def _reject(self, reason: str) -> None:
        if self._stream is not None:
            stream = self._stream
            self._end()
            stream.reset(Code.BAD_PREAMBLE)
            self._owner.preamble_rejected(reason)

    def _end(self) -> None:
        if self._stream is not None:
            self._stream = None
            self._owner.preamble_timer.cancel(self)
            self._owner.pending_stream_ended(self)
