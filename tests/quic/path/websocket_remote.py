"""A server of WebSockets on a loopback address, as a remote has one."""

from __future__ import annotations

import asyncio
import ssl

from websocket_doubles import RecordingHandler

from quictunnel.quic.path.websocket_acceptor import WebSocketAcceptor
from quictunnel.quic.path.websocket_path import prepare_connection
from testkit.certificates import write_certificate


class WebSocketRemote:
    """Accepts WebSockets at /quictunnel, with TLS or without.

    :param folder: where the certificate is written; None for no TLS.
    """

    def __init__(self, folder=None):
        self.certificate = None if folder is None else write_certificate("localhost", folder)
        self.handler = RecordingHandler()
        self.path = None
        self.failures = []
        self.port = 0
        self._context = None
        self._server = None
        self._tasks = set()

    async def __aenter__(self):
        if self.certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(self.certificate)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Accepted(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.path is not None:
            self.path.close()
        await asyncio.sleep(0.01)

    def url(self, path="/quictunnel"):
        return f"{'ws' if self.certificate is None else 'wss'}://localhost:{self.port}{path}"

    def accept(self, transport):
        """Serve a new connection."""
        prepare_connection(transport)
        acceptor = WebSocketAcceptor(
            "/quictunnel",
            admit=lambda _: True,
            opened=self._opened,
            failed=self.failures.append,
            tcp=transport,
        )
        if self._context is None:
            transport.set_protocol(acceptor)
            acceptor.connection_made(transport)
            return
        transport.pause_reading()
        task = asyncio.ensure_future(self._secure(transport, acceptor))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _secure(self, transport, acceptor):
        loop = asyncio.get_running_loop()
        try:
            secure = await loop.start_tls(transport, acceptor, self._context, server_side=True)
        except OSError:
            return
        acceptor.connection_made(secure)

    def _opened(self, path, request):
        self.path = path
        path.handler = self.handler


class _Accepted(asyncio.Protocol):
    """A connection before it is served."""

    def __init__(self, remote):
        self._remote = remote

    def connection_made(self, transport):
        self._remote.accept(transport)
