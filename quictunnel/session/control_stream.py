"""The control stream: bytes to messages and messages to bytes. The session interprets them."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from quictunnel.errors import LinkError, ProtocolError, StreamReset
from quictunnel.protocol.codes import describe
from quictunnel.protocol.messages import Message, MessageDecoder, encode


class ControlOwner(Protocol):
    """Receives what happens on a control stream: a session."""

    def control_message(self, message: Message) -> None:
        """Handle a message of the peer.

        :raises ProtocolError: the message is not allowed now.
        """

    def control_eof(self) -> None:
        """Handle the end of the peer's direction; this end's stays open.

        :raises ProtocolError: the peer may not end it now.
        """

    def control_finished(self) -> None:
        """Handle the end of both directions, after all of this end's was acknowledged.

        :raises ProtocolError: the stream may not end now.
        """

    def control_violated(self, error: ProtocolError) -> None:
        """Handle a violation of the protocol. Nothing more comes from the control stream."""


class ControlStream(asyncio.Protocol):
    """The control stream of one link, at either end: a stream's protocol.

    Back-pressure works both ways: while the peer does not read answers, its messages are not read.
    """

    def __init__(self, owner: ControlOwner) -> None:
        self._owner = owner
        self._decoder = MessageDecoder()
        self._transport: asyncio.Transport | None = None
        self._eof_sent = False
        self._is_over = False

    def send(self, message: Message) -> None:
        """Send a message; without effect after `finish`, or once the stream is gone."""
        if self._transport is not None and not self._eof_sent:
            self._transport.write(encode(message))

    def finish(self) -> None:
        """End this end's direction after all that was sent. Calling it again has no effect."""
        if self._transport is not None and not self._eof_sent:
            self._eof_sent = True
            self._transport.write_eof()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the stream."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Decode the bytes and pass on each complete message."""
        if self._is_over:
            return
        try:
            for message in self._decoder.feed(data):
                self._owner.control_message(message)
        except ProtocolError as exc:
            self._violated(exc)

    def eof_received(self) -> bool:
        """Pass on the end of the peer's direction; `finish` ends this end's."""
        try:
            if not self._is_over:
                self._owner.control_eof()
        except ProtocolError as exc:
            self._violated(exc)
        return True

    def pause_writing(self) -> None:
        """Stop reading messages while the peer does not read answers."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Read messages again."""
        if self._transport is not None:
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on the end: orderly, or by a reset. The link itself reports its own end."""
        self._transport = None
        if self._is_over:
            return
        self._is_over = True
        try:
            if exc is None:
                self._owner.control_finished()
            elif isinstance(exc, StreamReset):
                raise ProtocolError(f"control stream reset: {describe(exc.code)}")
            elif not isinstance(exc, LinkError):
                raise ProtocolError(f"control stream lost: {exc}")
        except ProtocolError as error:
            self._violated(error)

    def _violated(self, error: ProtocolError) -> None:
        self._is_over = True
        self._owner.control_violated(error)
