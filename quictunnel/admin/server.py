"""Speaks HTTP on connections that others have accepted, in the event loop of the role."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

MAX_CONNECTIONS = 64
"""Open connections. Another one takes the place of the one that has waited for its client for the
longest time, or is closed if all have a request in progress."""

IDLE_TIMEOUT = 15.0
"""Seconds in which a connection must complete the head of a request."""


WRITE_TIMEOUT = 10.0
"""Seconds that the write buffer of a connection may be full before the client is disconnected."""

SHUTDOWN_TIMEOUT = 2.0
"""Seconds that current requests have to finish when the server ends."""

_silent = logging.Logger("uvicorn", logging.CRITICAL + 1)
"""uvicorn would log each malformed request, so that strangers could fill the log."""


class HttpServer:
    """An HTTP/1.1 server for the admin interface, without listening sockets.

    uvicorn's protocol reads and writes HTTP. uvicorn's own server is not used: it takes over the
    process's signals, and wakes up ten times a second.

    :param app: answers the requests. It raises nothing.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._config = uvicorn.Config(
            app,
            http=_AdminConnection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
        )
        self._state = ServerState()

    def make_protocol(self) -> asyncio.Protocol:
        """Return the protocol of a new connection."""
        return _AdminConnection(self._config, self._state, {}, asyncio.get_running_loop())

    async def close(self) -> None:
        """Stop: current requests may finish within `SHUTDOWN_TIMEOUT`. It may be called again."""
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
    """A connection that is closed if its client stops to write or to read.

    uvicorn limits only the time between requests.
    """

    def __init__(self, *args: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*args)
        self.logger = _silent
        self.heard_at = 0.0  # on the clock of the event loop
        self._checked: RequestResponseCycle | None = None
        self._check: asyncio.TimerHandle | None = None
        self._write_limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.heard_at = self.loop.time()
        self._check = self.loop.call_later(IDLE_TIMEOUT, self._end_if_idle)
        if len(self.connections) > MAX_CONNECTIONS:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        self.heard_at = self.loop.time()
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for timer in (self._check, self._write_limit):
            if timer is not None:
                timer.cancel()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_limit = self.loop.call_later(WRITE_TIMEOUT, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_limit is not None:
            self._write_limit.cancel()
            self._write_limit = None

    @property
    def is_waiting(self) -> bool:
        """Whether the client has to send something: a request, or the rest of one."""
        request: RequestResponseCycle | None = self.cycle
        return request is None or request.response_complete or request.more_body

    def _make_room(self) -> None:
        """Close a connection, so that idle ones cannot use up the limit."""
        others = [
            each
            for each in self.connections
            if isinstance(each, _AdminConnection) and each is not self and each.is_waiting
        ]
        ended = min(others, key=lambda each: each.heard_at, default=self)
        self.connections.discard(ended)  # it is counted until the next turn of the event loop
        ended.transport.abort()

    def _end_if_idle(self) -> None:
        """Close the connection if its client has sent too little since last time.

        It has sent no new request, or not the rest of the one in progress.
        """
        request: RequestResponseCycle | None = self.cycle
        if request is self._checked and self.is_waiting:
            self.transport.abort()
            return
        self._checked = request
        self._check = self.loop.call_later(IDLE_TIMEOUT, self._end_if_idle)
