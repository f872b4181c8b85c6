"""Keeps the sockets open that a dialed link has left.

The peer sends to the previous address until it hears from the new one. If nothing listened there,
this machine would answer with an ICMP port unreachable, and the peer would take this end for dead.
"""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

KEPT_FOR = 15.0
"""Seconds that a socket is kept. By then, the peer sends to another address, or counts the link as
silent and ignores ICMP messages. On a path with a probe timeout of 3 s, that takes 15 s."""

KEPT_MAX = 24
"""Sockets that are kept, the latest ones. In an outage, a link leaves about one per second."""

RECEIVE_BUFFER = 4096
"""Bytes of each one's receive buffer. Nothing is read."""


class RetiredSockets:
    """The sockets that one link has left lately."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._kept: deque[tuple[float, socket.socket]] = deque()  # with the time of their end
        self._timer: asyncio.TimerHandle | None = None

    def add(self, sock: socket.socket) -> None:
        """Keep a socket open for a while. The owner closes its own descriptor afterwards."""
        with contextlib.suppress(OSError):  # no descriptor is left: then it is not kept
            copy = sock.dup()
            self._kept.append((self._loop.time() + KEPT_FOR, copy))
            copy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        while len(self._kept) > KEPT_MAX:
            self._close_oldest()
        self._set_timer()

    def close(self) -> None:
        """Close all of them."""
        while self._kept:
            self._close_oldest()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        while self._kept and self._kept[0][0] <= self._loop.time():
            self._close_oldest()
        self._set_timer()

    def _set_timer(self) -> None:
        if self._kept and self._timer is None:
            self._timer = self._loop.call_at(self._kept[0][0], self._expire)

    def _close_oldest(self) -> None:
        self._kept.popleft()[1].close()
