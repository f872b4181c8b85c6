"""Sends an HTTP request on a connection, and waits for the head of its response."""

from __future__ import annotations

import asyncio

from quictunnel.errors import ProtocolError
from quictunnel.quic.path.websocket_handshake import HeadReader


class HeadExchange(asyncio.Protocol):
    """The protocol of a connection until it has received one head. The transport pauses then."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._reader = HeadReader()
        self._failure: Exception | None = None
        """Why the connection has ended before there was a request."""
        self._answer: asyncio.Future[tuple[bytes, bytes]] = (
            asyncio.get_running_loop().create_future()
        )

    async def ask(self, transport: asyncio.Transport, request: bytes) -> tuple[bytes, bytes]:
        """Send a request. Return the head of the response, and the bytes after it.

        :raises ProtocolError: the head is too long.
        :raises OSError: the connection ends before it.
        """
        if self._failure is not None:
            raise self._failure
        self._transport = transport
        transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        """Collect the head."""
        if self._answer.done():
            return
        try:
            answer = self._reader.feed(data)
        except ProtocolError as exc:
            self._answer.set_exception(exc)
            return
        if answer is not None:
            if self._transport is not None:
                self._transport.pause_reading()
            self._answer.set_result(answer)

    def eof_received(self) -> None:
        """Fail the exchange."""
        self._fail(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the exchange."""
        self._fail(exc)

    def _fail(self, exc: Exception | None) -> None:
        failure = exc or ConnectionResetError("it closed the connection")
        if self._transport is None:
            self._failure = failure
        elif not self._answer.done():
            self._answer.set_exception(failure)
