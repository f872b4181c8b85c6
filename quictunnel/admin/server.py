"""Serves the admin interface on a loopback address, in the event loop of the role."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from quictunnel.config.addresses import HostPort
from quictunnel.config.listen_errors import listen_error
from quictunnel.protocol.address import Address

MAX_CONNECTIONS = 64
"""Open connections. Another one is closed at once."""

IDLE_TIMEOUT = 15.0
"""Seconds in which a connection must complete the head of a request."""

SHUTDOWN_TIMEOUT = 2.0
"""Seconds that current requests have to finish when the server ends."""

BACKLOG = 16
"""Connections that may wait in the kernel, which asyncio accepts all at once."""


class AdminServer:
    """An HTTP/1.1 server for the admin interface.

    uvicorn's protocol reads and writes HTTP. uvicorn's own server is not used: it takes over the
    process's signals, and wakes up ten times a second.

    :param listen: a loopback address. Port 0 lets the system choose.
    :param app: answers the requests.
    """

    def __init__(self, listen: HostPort, app: ASGIApp) -> None:
        self._listen = listen
        self._config = uvicorn.Config(
            app,
            http=_AdminConnection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
        )
        self._state = ServerState()
        self._sock: socket.socket | None = None
        self._address: Address | None = None
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> Address:
        """The bound address, from `bind` on."""
        if self._address is None:
            raise RuntimeError("the admin interface is not bound")
        return self._address

    def bind(self) -> None:
        """Bind the address. From then on the kernel queues connections.

        :raises SettingsError: the address is taken, not this machine's, or not allowed.
        """
        family = socket.AF_INET6 if ":" in self._listen.host else socket.AF_INET
        self._sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._sock.bind((self._listen.host, self._listen.port))
            self._sock.listen(BACKLOG)
            self._address = Address.of(self._sock.getsockname())
        except OSError as exc:
            self._sock.close()
            raise listen_error("tcp", self._listen, exc, "--admin") from exc

    async def serve(self) -> None:
        """Accept connections, until `close`."""
        if self._sock is None:
            raise RuntimeError("the admin interface is not bound")
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _AdminConnection(self._config, self._state, {}, loop),
            sock=self._sock,
            backlog=BACKLOG,
        )

    async def close(self) -> None:
        """Stop: current requests may finish within `SHUTDOWN_TIMEOUT`. It may be called again."""
        if self._server is not None:
            self._server.close()
        if self._sock is not None:
            self._sock.close()
        for connection in tuple(self._state.connections):
            connection.shutdown()
        tasks = tuple(self._state.tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=SHUTDOWN_TIMEOUT)
        for connection in tuple(self._state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # connections learn that they are lost before their tasks end
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _AdminConnection(H11Protocol):
    """A connection that cannot be idle for long: uvicorn limits only the time between requests."""

    def __init__(self, *args: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*args)
        self._checked: RequestResponseCycle | None = None
        self._check: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
        else:
            self._check = self.loop.call_later(IDLE_TIMEOUT, self._end_if_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._check is not None:
            self._check.cancel()

    def _end_if_idle(self) -> None:
        """Close the connection if no request is in progress and none has come since last time."""
        request: RequestResponseCycle | None = self.cycle
        if request is self._checked and (request is None or request.response_complete):
            self.transport.abort()
            return
        self._checked = request
        self._check = self.loop.call_later(IDLE_TIMEOUT, self._end_if_idle)
