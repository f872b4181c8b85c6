"""Connections that arrive before the admin application is loaded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from quictunnel.admin.application import Application

FIRST_TIMEOUT = 15.0
"""Seconds in which a connection must send its first bytes."""

MAX_WAITING = 64
"""Connections that may wait. Another one is closed at once."""


class FirstConnection(asyncio.Protocol):
    """Loads the application when the first bytes arrive, and hands the connection over to it.

    A command that looks for running roles only connects, and loads nothing.

    :param waiting: all connections of this kind, with this one while it waits.
    :param load: loads the application, or returns the loaded one; None if that fails.
    """

    def __init__(
        self, waiting: set[FirstConnection], load: Callable[[], Awaitable[Application | None]]
    ) -> None:
        self._waiting = waiting
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._handover: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first bytes."""
        self._transport = cast("asyncio.Transport", transport)
        self._waiting.add(self)
        if len(self._waiting) > MAX_WAITING:
            self._transport.abort()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(FIRST_TIMEOUT, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        """Load the application. Further bytes wait in the kernel."""
        assert self._transport is not None
        self._transport.pause_reading()
        self._stop_timer()
        self._handover = asyncio.create_task(
            self._hand_over(self._transport, data), name="first admin request"
        )

    def connection_lost(self, _exc: Exception | None) -> None:
        """Forget the connection."""
        self._waiting.discard(self)
        self._stop_timer()
        if self._handover is not None:
            self._handover.cancel()

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    async def _hand_over(self, transport: asyncio.Transport, data: bytes) -> None:
        application = await self._load()
        if application is None:
            transport.abort()
            return
        self._waiting.discard(self)
        protocol = application.unix.make_protocol()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        transport.resume_reading()  # the protocol may pause it again
        protocol.data_received(data)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
