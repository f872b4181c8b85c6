"""A stream from its opening by the remote until its preamble is read: who the client is.

Until the remote has proven itself nothing is read of it at all; it waits.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from quictunnel.errors import ProtocolError
from quictunnel.protocol.codes import Code
from quictunnel.protocol.preamble import Preamble, PreambleDecoder
from quictunnel.quic import Stream
from quictunnel.relay.timers import SharedTimer

PREAMBLE_TIMEOUT = 10.0
"""Seconds for the preamble, which comes with the stream's first bytes; its packet may be lost. They
begin anew when a link that was silent is heard again."""


class PendingStreamOwner(Protocol):
    """What a stream tells the session that it came to."""

    @property
    def preambles(self) -> SharedTimer[PendingStream]:
        """The time that each has, `PREAMBLE_TIMEOUT`; who has waited so long is `late`."""

    def preamble_read(self, stream: Stream, preamble: Preamble, rest: bytes) -> None:
        """Take a stream over, with what was read of it beyond the preamble."""

    def incoming_failed(self, reason: str) -> None:
        """Learn that a stream was reset because of its preamble."""

    def incoming_over(self, incoming: PendingStream) -> None:
        """Forget it: it was taken over, or has ended."""


class PendingStream(asyncio.Protocol):
    """A stream whose client is not known yet.

    :param may_read: whether the remote has proven itself.
    """

    __slots__ = ("_decoder", "_may_read", "_owner", "_stream")

    def __init__(self, owner: PendingStreamOwner, *, may_read: bool) -> None:
        self._owner = owner
        self._stream: Stream | None = None
        self._may_read = may_read
        self._decoder = PreambleDecoder()

    def release(self) -> None:
        """Begin to read: the remote is who it should be. May come before the stream itself."""
        self._may_read = True
        if self._stream is not None:
            self._owner.preambles.start(self)
            self._stream.resume_reading()

    def late(self) -> None:
        """Refuse a stream whose preamble has not come."""
        self._fail("no preamble in time")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the stream."""
        self._stream = cast(Stream, transport)
        if self._may_read:
            self._owner.preambles.start(self)
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
            self._owner.preambles.cancel(self)
            self._owner.incoming_over(self)
