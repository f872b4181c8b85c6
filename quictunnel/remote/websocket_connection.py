"""One connection to the remote's WebSocket, from accept(2) until it carries a proven link."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from quictunnel.protocol.address import Address
from quictunnel.quic.path.websocket_acceptor import WebSocketAcceptor
from quictunnel.quic.path.websocket_path import WebSocketPath, prepare_connection
from quictunnel.remote.websocket_limits import UNPROVEN_BYTES

if TYPE_CHECKING:
    from quictunnel.quic.path.datagram_path import DatagramPath
    from quictunnel.quic.path.websocket_handshake import OpeningRequest

OPENING_TIMEOUT = 10.0
"""Seconds for TLS and the request that opens the WebSocket."""

PROOF_TIMEOUT = 10.0
"""Seconds from then until a link on the WebSocket has proven itself, or one that has moves here."""

NOT_OPENED = "no WebSocket was opened in time"
NOT_PROVEN = "no link has proven itself on the WebSocket in time"
UNPROVEN = "the WebSocket has carried no proven link"


class WebSocketConnection:
    """A connection and, once it is open, its WebSocket.

    :param peer: the other end of the TCP connection.
    :param path: the path of the URL.
    :param context: the settings of TLS; None for a connection without TLS.
    :param admit: is called with this connection and the request, and returns whether the WebSocket
        may be opened. It sets `peer` to the address behind proxies.
    :param opened: takes this connection and its open path, sets the path's handler, and returns
        what closes the path. That takes a sentence.
    :param timed_out: takes this connection and why it is closed, a sentence.
    :param failed: takes an internal error, which has ended the connection.
    :param ended: is called once, when the connection has ended.
    """

    def __init__(
        self,
        peer: Address,
        path: str,
        context: ssl.SSLContext | None,
        *,
        admit: Callable[[WebSocketConnection, OpeningRequest], bool],
        opened: Callable[[WebSocketConnection, DatagramPath], Callable[[str], None]],
        timed_out: Callable[[WebSocketConnection, str], None],
        failed: Callable[[BaseException], None],
        ended: Callable[[WebSocketConnection], None],
    ) -> None:
        self.peer = peer
        self._path = path
        self._context = context
        self._admit = admit
        self._on_opened = opened
        self._timed_out = timed_out
        self._failed = failed
        self._ended = ended
        self._transport: asyncio.Transport | None = None
        self._open_path: WebSocketPath | None = None
        self._close_path: Callable[[str], None] | None = None
        self._sock: socket.socket | None = None
        """The socket until a transport owns it."""
        self._task: asyncio.Task[None] | None = None
        self.loop = asyncio.get_running_loop()
        self._is_opened: asyncio.Future[bool] = self.loop.create_future()
        self._is_proven: asyncio.Future[bool] = self.loop.create_future()

    def start(self, sock: socket.socket) -> None:
        """Serve an accepted socket, which does not block. It is closed with the connection."""
        self._sock = sock
        self._task = self.loop.create_task(self._run(sock), name="WebSocket of an origin")
        self._task.add_done_callback(self._finish)

    def abort(self) -> None:
        """End a connection that carries no proven link."""
        if self._task is not None:
            self._task.cancel()

    def proven(self) -> None:
        """Keep the connection open: it carries a proven link."""
        if self._open_path is not None:
            self._open_path.allowance = None
        if not self._is_proven.done():
            self._is_proven.set_result(True)

    def path_closed(self) -> None:
        """Note that the WebSocket has ended."""
        if not self._is_proven.done():
            self._is_proven.set_result(False)
        elif self._is_proven.result():
            self._ended(self)

    async def _run(self, sock: socket.socket) -> None:
        """Open the WebSocket and wait for a proven link."""
        reason = NOT_OPENED
        try:
            async with asyncio.timeout(OPENING_TIMEOUT):
                await self._open(sock)
                is_open = await self._is_opened
            if is_open:
                reason = NOT_PROVEN
                async with asyncio.timeout(PROOF_TIMEOUT):
                    await asyncio.shield(self._is_proven)
        except TimeoutError:
            self._timed_out(self, reason)
        except OSError:
            return  # TLS failed, or the peer has left: anyone may connect, and say anything

    def _finish(self, task: asyncio.Task[None]) -> None:
        """End the connection, unless it carries a proven link."""
        if not task.cancelled() and (exc := task.exception()) is not None:
            self._failed(exc)
        if self._is_proven.done() and self._is_proven.result():
            return
        if self._close_path is not None and not self._is_proven.done():
            self._close_path(UNPROVEN)
        if self._sock is not None:
            self._sock.close()
        if self._transport is not None:
            # The kernel has what was written. TLS would wait 30 s for the peer's answer.
            self._transport.abort()
        self._ended(self)

    async def _open(self, sock: socket.socket) -> None:
        """Start TLS, if it is used, and wait for the request from then on."""
        transport, _ = await self.loop.connect_accepted_socket(_Paused, sock)
        self._sock = None
        self._transport = transport
        prepare_connection(transport)
        acceptor = WebSocketAcceptor(
            self._path,
            admit=lambda request: self._admit(self, request),
            opened=lambda path, _: self._take_path(path),
            failed=lambda _: self._finish_opening(is_open=False),
            tcp=transport,
        )
        if self._context is None:
            transport.set_protocol(acceptor)
            acceptor.connection_made(transport)
            transport.resume_reading()
            return
        secure = await self.loop.start_tls(
            transport,
            acceptor,
            self._context,
            server_side=True,
            ssl_handshake_timeout=OPENING_TIMEOUT,
        )
        if secure is None:
            raise ConnectionError("the connection was closed during TLS")
        self._transport = secure
        acceptor.connection_made(secure)

    def _take_path(self, path: WebSocketPath) -> None:
        self._finish_opening(is_open=True)
        path.allowance = UNPROVEN_BYTES
        self._open_path = path
        self._close_path = self._on_opened(self, path)

    def _finish_opening(self, *, is_open: bool) -> None:
        if not self._is_opened.done():
            self._is_opened.set_result(is_open)


class _Paused(asyncio.Protocol):
    """The protocol of a connection until it is known what follows. Nothing is read."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Read nothing yet."""
        cast("asyncio.Transport", transport).pause_reading()
