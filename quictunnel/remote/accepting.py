"""Takes connections from listening sockets, a few at a time. Who they are is not its business.

asyncio's own servers take as many at a wake-up as their backlog holds, before any of them can be
turned away. A flood would use up the process's file descriptors, of which then every link and
file is short; and each failure is a stack trace in the log.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable

from quictunnel.observe.logs import fact

AT_ONCE = 16
"""Connections that may be on their way from the kernel to their protocol. With those that are
being turned away meanwhile they fit well into the descriptors that are kept for such things."""

PAUSE = 1.0
"""Seconds until the kernel is asked again after it was short of something: none of it comes back
sooner by asking."""

_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What accept(2) says when descriptors or memory are short; the connection stays in the queue."""

_log = logging.getLogger("quictunnel.remote")


class Accepting:
    """Lets clients in by one listening socket, which it closes in the end.

    :param sock: listens, and does not block.
    :param arrival: makes the protocol of a client that has come.
    """

    def __init__(self, sock: socket.socket, arrival: Callable[[], asyncio.BaseProtocol]) -> None:
        self._sock = sock
        self._arrival = arrival
        self._loop = asyncio.get_running_loop()
        self._coming: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._is_short = False
        self._is_watching = False
        self._go_on()

    def close(self) -> None:
        """Let nobody come any more; who has come stays."""
        self._hold()
        self._sock.close()
        if self._pause is not None:
            self._pause.cancel()

    def _accept(self) -> None:
        while len(self._coming) < AT_ONCE:
            try:
                sock, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as exc:
                if exc.errno in _SHORT:
                    self._wait(exc)
                return  # else it is word of one connection that has failed (accept(2))
            self._is_short = False
            sock.setblocking(False)
            task = self._loop.create_task(self._let_in(sock), name="coming client")
            self._coming.add(task)
            task.add_done_callback(self._let_more_in)
        self._hold()  # the next ones wait in the kernel until these have been met

    async def _let_in(self, sock: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._arrival, sock)
        except OSError:
            sock.close()  # it is gone already, which is no news

    def _let_more_in(self, task: asyncio.Task[None]) -> None:
        self._coming.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            fact(_log, logging.ERROR, "fault in letting a client in", exc_info=exc)
        self._go_on()

    def _wait(self, exc: OSError) -> None:
        if not self._is_short:
            self._is_short = True
            reason = os.strerror(exc.errno or 0)
            fact(_log, logging.WARNING, "no more clients can be let in for now", reason=reason)
        self._hold()
        self._pause = self._loop.call_later(PAUSE, self._pause_over)

    def _pause_over(self) -> None:
        self._pause = None
        self._go_on()

    def _hold(self) -> None:
        if self._is_watching:
            self._is_watching = False
            self._loop.remove_reader(self._sock)

    def _go_on(self) -> None:
        if not self._is_watching and self._pause is None and self._sock.fileno() >= 0:
            self._is_watching = True
            self._loop.add_reader(self._sock, self._accept)
