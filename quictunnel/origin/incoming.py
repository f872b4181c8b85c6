"""A stream from its opening by the remote until its preamble is read: who the client is.

Until the remote has proven itself nothing is read of it at all; it waits.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from quictunnel.errors import ProtocolError
from quictunnel.link import Stream
from quictunnel.protocol.codes import Code
from quictunnel.protocol.preamble import Preamble, PreambleDecoder

PREAMBLE_TIMEOUT = 10.0
"""Seconds for the preamble, which comes with the stream's first bytes; its packet may be lost."""


class IncomingOwner(Protocol):
    """What a stream tells the session that it came to."""

    def preamble_read(self, stream: Stream, preamble: Preamble, rest: bytes) -> None:
        """Take a stream over, with what was read of it beyond the preamble."""

    def incoming_failed(self, reason: str) -> None:
        """Learn that a stream was reset because of its preamble."""

    def incoming_over(self, incoming: Incoming) -> None:
        """Forget it: it was taken over, or has ended."""


class Incoming(asyncio.Protocol):
    """A stream whose client is not known yet."""

    def __init__(self, owner: IncomingOwner) -> None:
        self._owner = owner
        self._stream: Stream | None = None
        self._may_read = False
        self._decoder = PreambleDecoder()
        self._deadline: asyncio.TimerHandle | None = None

    def release(self) -> None:
        """Begin to read: the remote is who it should be. May come before the stream itself."""
        self._may_read = True
        if self._stream is not None and self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(
                PREAMBLE_TIMEOUT, self._fail, "no preamble in time"
            )
            self._stream.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the stream."""
        self._stream = cast(Stream, transport)
        if self._may_read:
            self.release()
        else:
            self._stream.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Read the preamble, and hand the stream on when it is whole."""
        if self._stream is None:
            return
        try:
            found = self._decoder.feed(data)
        except ProtocolError as exc:
            self._fail(str(exc))
            return
        if found is not None:
            stream = self._stream
            self._end()
            self._owner.preamble_read(stream, *found)

    def eof_received(self) -> bool:
        """Refuse a stream that ends within its preamble."""
        self._fail("ended within the preamble")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """End with the stream."""
        self._end()

    def _fail(self, reason: str) -> None:
        if self._stream is not None:
            stream = self._stream
            self._end()
            stream.reset(Code.BAD_PREAMBLE)
            self._owner.incoming_failed(reason)

    def _end(self) -> None:
        if self._stream is not None:
            self._stream = None
            if self._deadline is not None:
                self._deadline.cancel()
            self._owner.incoming_over(self)
