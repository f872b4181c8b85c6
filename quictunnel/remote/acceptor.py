"""Takes connections from listening sockets, a few at a time. Who they are is not its business.

asyncio's own servers take as many at a wake-up as their backlog holds, before any of them can be
turned away. A flood would use up the process's file descriptors, of which then every link and
file is short; and each failure is a stack trace in the log. They also cost a task and three turns
of the loop for each connection, where here it meets its protocol at once.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable

from quictunnel.observe.logging_setup import fact
from quictunnel.relay import SocketTransport, readiness
from quictunnel.relay.tcp_options import OPTIONS_ARE_INHERITED

AT_ONCE = 16
"""Connections that are taken from the kernel before all else has its turn. With those that are
being turned away meanwhile they fit well into the descriptors that are kept for such things."""

PAUSE = 1.0
"""Seconds until the kernel is asked again after it was short of something: none of it comes back
sooner by asking."""

_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What accept(2) says when descriptors or memory are short; the connection stays in the queue."""

_log = logging.getLogger("quictunnel.remote")


class Acceptor:
    """Lets clients in by one listening socket, which it closes in the end.

    :param sock: listens, does not block, and has the options of `relay.set_options`.
    :param arrival: makes the protocol of a client that has come.
    """

    def __init__(self, sock: socket.socket, arrival: Callable[[], asyncio.Protocol]) -> None:
        self._sock = sock
        self._arrival = arrival
        self._loop = asyncio.get_running_loop()
        self._readiness = readiness(self._loop)
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
        for _ in range(AT_ONCE):
            try:
                sock, peer = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as exc:
                if exc.errno in _SHORT:
                    self._wait(exc)
                return  # else it is word of one connection that has failed (accept(2))
            self._is_short = False
            self._let_in(sock, peer)
            if not self._is_watching:
                return  # by now the door is closed

    def _let_in(self, sock: socket.socket, peer: object) -> None:
        try:
            sock.setblocking(False)
            transport = SocketTransport(
                sock, self._readiness, peer=peer, has_options=OPTIONS_ARE_INHERITED
            )
            transport.attach(self._arrival())
        except OSError as exc:  # the kernel cannot watch one more
            sock.close()
            self._wait(exc)
        except Exception as exc:
            sock.close()
            fact(_log, logging.ERROR, "fault in letting a client in", exc_info=exc)

    def _wait(self, exc: OSError) -> None:
        if not self._is_short:
            self._is_short = True
            reason = os.strerror(exc.errno or 0)
            fact(_log, logging.WARNING, "no more clients can be let in for now", reason=reason)
        self._hold()  # the next ones wait in the kernel
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
