"""Turns an accepted connection into a path, if its client opens a WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias, cast

from quictunnel.errors import ProtocolError
from quictunnel.quic.path.websocket_handshake import (
    METHOD,
    NOT_FOUND,
    HeadReader,
    OpeningRequest,
    parse_opening,
)
from quictunnel.quic.path.websocket_path import WebSocketPath

Admit: TypeAlias = Callable[[OpeningRequest], bool]
"""Returns whether a valid request may open a WebSocket."""

Opened: TypeAlias = Callable[[WebSocketPath, OpeningRequest], None]
"""Takes an open path, and sets its handler."""

Failed: TypeAlias = Callable[[str], None]
"""Takes the reason why a connection has become no path. It is called exactly once then."""


class WebSocketAcceptor(asyncio.Protocol):
    """The protocol of a connection, with TLS or without, until its WebSocket is open.

    It has no deadline: the owner aborts a transport that takes too long. The owner calls
    `prepare_connection` as well.

    :param path: the path at which the WebSocket is, without a query.
    :param admit: is asked once, about a valid request at this path. Otherwise the client gets the
        same answer as at any other path: 404.
    :param opened: is called when the response was written.
    :param failed: is called when the connection is closed before that.
    :param tcp: the transport of the TCP connection below TLS; None without TLS.
    """

    def __init__(
        self,
        path: str,
        *,
        admit: Admit,
        opened: Opened,
        failed: Failed,
        tcp: asyncio.Transport | None = None,
    ) -> None:
        self._path = path
        self._admit = admit
        self._opened = opened
        self._failed = failed
        self._tcp = tcp
        self._reader = HeadReader(METHOD)
        self._transport: asyncio.Transport | None = None
        self._early = b""
        """Bytes that came before `connection_made`, as after TLS 1.3's handshake."""
        self._is_done = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the request, or parse what has come already."""
        self._transport = cast("asyncio.Transport", transport)
        early, self._early = self._early, b""
        if early:
            self.data_received(early)

    def data_received(self, data: bytes) -> None:
        """Open the WebSocket once the request's head is complete, or refuse it."""
        transport = self._transport
        if transport is None:
            self._early += data
            return
        if self._is_done:
            return
        try:
            head = self._reader.feed(data)
            if head is None:
                return
            request = parse_opening(head[0])
            if request.path != self._path:
                raise ProtocolError("the request is for another path")
            if not self._admit(request):
                raise ProtocolError("the request is not admitted")
        except ProtocolError as exc:
            self._refuse(transport, str(exc))
            return
        self._is_done = True
        transport.write(request.response)
        opened = WebSocketPath(transport, tcp=self._tcp, is_client=False, received=head[1])
        self._opened(opened, request)

    def _refuse(self, transport: asyncio.Transport, reason: str) -> None:
        transport.write(NOT_FOUND)
        transport.close()
        self._fail(reason)

    def eof_received(self) -> None:
        """Close the connection: the request is incomplete."""
        self._fail("the client closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end."""
        self._fail("the connection was lost")

    def _fail(self, reason: str) -> None:
        if not self._is_done:
            self._is_done = True
            self._failed(reason)
