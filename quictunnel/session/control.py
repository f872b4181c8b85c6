"""The control stream: messages out of bytes and into bytes. What they mean is the session's.

It is a stream's protocol like any other. Back-pressure is kept both ways: a peer that asks but
does not read our answers is not read any further.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from quictunnel.errors import LinkError, ProtocolError, StreamReset
from quictunnel.protocol.codes import describe
from quictunnel.protocol.messages import Message, MessageDecoder, encode


class ControlOwner(Protocol):
    """What a control stream tells its session."""

    def control_message(self, message: Message) -> None:
        """Take a message of the peer.

        :raises ProtocolError: when it may not come now; the link is closed then.
        """

    def control_ended(self) -> None:
        """Learn that the peer sends no more; our direction lives on."""

    def control_finished(self) -> None:
        """Learn that both directions ended in order, and that all of ours was acknowledged."""

    def control_broken(self, error: ProtocolError) -> None:
        """Learn that the peer broke the rules of the control stream."""


class ControlStream(asyncio.Protocol):
    """The control stream of one link, at either end."""

    def __init__(self, owner: ControlOwner) -> None:
        self._owner = owner
        self._decoder = MessageDecoder()
        self._transport: asyncio.Transport | None = None
        self._finished = False
        self._dead = False

    def send(self, message: Message) -> None:
        """Send a message; without effect once our direction has ended."""
        if self._transport is not None and not self._finished:
            self._transport.write(encode(message))

    def finish(self) -> None:
        """End our direction, after all that was sent; once or more often."""
        if self._transport is not None and not self._finished:
            self._finished = True
            self._transport.write_eof()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, on a stream of the link."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Decode what came, and hand over each message that is whole."""
        if self._dead:
            return
        try:
            for message in self._decoder.feed(data):
                self._owner.control_message(message)
        except ProtocolError as exc:
            self._break(exc)

    def eof_received(self) -> bool:
        """Tell the session that the peer has ended its direction; ours is ended by `finish`."""
        if not self._dead:
            self._owner.control_ended()
        return True

    def pause_writing(self) -> None:
        """Hold the peer's questions while it does not read our answers."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Take questions again."""
        if self._transport is not None:
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """End: in order, or by a reset, which breaks the rules, or with the whole link."""
        self._transport = None
        if self._dead:
            return
        if exc is None:
            self._dead = True
            self._owner.control_finished()
        elif isinstance(exc, StreamReset):
            self._break(ProtocolError(f"control stream reset: {describe(exc.code)}"))
        elif not isinstance(exc, LinkError):
            self._break(ProtocolError(f"control stream lost: {exc}"))
        else:
            self._dead = True  # with its link, of which the session learns by itself

    def _break(self, error: ProtocolError) -> None:
        self._dead = True
        self._owner.control_broken(error)
