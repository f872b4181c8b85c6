"""Calls back when a UDP socket is readable, and pauses when what it reads is useless.

A wake-up of the event loop costs more than a datagram that is dropped. In a pause, the kernel's
buffer collects the datagrams of a flood, and one wake-up reads them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable

PAUSE = 0.001
"""Seconds. A flood of 10 Mbit/s brings about 20 datagrams in this time. Others are as much late."""


class SocketReader:
    """The reading side of a socket on the event loop.

    :param readable: is called while the socket is readable, except in a pause.
    """

    def __init__(
        self, sock: socket.socket, loop: asyncio.AbstractEventLoop, readable: Callable[[], None]
    ) -> None:
        self._descriptor = sock.fileno()
        self._loop = loop
        self._readable = readable
        self._pause: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._start()

    def pause(self) -> None:
        """Read nothing for a moment."""
        if self._is_closed:
            return
        self._loop.remove_reader(self._descriptor)
        self._pause = self._loop.call_later(PAUSE, self._start)

    def close(self) -> None:
        """Stop reading. Call it before the socket is closed."""
        self._is_closed = True
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._descriptor)

    def _start(self) -> None:
        self._pause = None
        self._loop.add_reader(self._descriptor, self._readable)
