"""Accepts connections from a listening socket, a few at a time.

asyncio's own servers accept as many connections per wake-up as the backlog holds, before any of
them can be rejected. A flood would use up the process's file descriptors, which links and files
then lack, and each failure would log a traceback. They also cost a task and three iterations of
the event loop per connection. Here, a connection gets its protocol at once.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from typing import Any, TypeAlias

from quictunnel.config import settings
from quictunnel.events import AcceptPaused, EventSink, InternalErrorOccurred
from quictunnel.relay.readiness import readiness
from quictunnel.relay.tcp_options import OPTIONS_ARE_INHERITED, KeepAlive, set_options
from quictunnel.relay.tcp_transport import SocketTransport

ACCEPTS_PER_WAKEUP = 16
"""Connections accepted before the event loop does anything else. Together with connections that are
being rejected, they fit into the file descriptors that are reserved for such things."""

CLIENT_KEEPALIVE = KeepAlive.of_client(settings.CLIENT_KEEPALIVE)
"""The default."""

PAUSE = 1.0
"""Seconds without accepting after the kernel lacked a resource. Retrying would not free it."""

TakeConnection: TypeAlias = Callable[[socket.socket, tuple[Any, ...]], None]
"""Takes an accepted socket, which does not block, and the peer's socket address. If it raises, the
socket is closed. OSError means that the kernel lacks a resource."""

_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""Errors of accept(2) that mean a lack of descriptors or memory. The connection stays queued."""


class Acceptor:
    """Accepts connections from one listening socket, which `close` closes.

    :param sock: listens, does not block, and has the options that `relay.set_options` sets.
    :param take: takes each accepted connection.
    :param is_inherited: whether accepted sockets have the listening one's options.
    :param keep_alive: that of accepted sockets which do not inherit it.
    """

    def __init__(
        self,
        sock: socket.socket,
        take: TakeConnection,
        emit: EventSink,
        *,
        is_inherited: bool = OPTIONS_ARE_INHERITED,
        keep_alive: KeepAlive = CLIENT_KEEPALIVE,
    ) -> None:
        self.keep_alive = keep_alive
        """Of connections that are accepted from now on, and do not inherit it."""
        self._sock = sock
        self._take = take
        self._emit = emit
        self._is_inherited = is_inherited
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._is_short = False
        self._is_watching = False
        self._fd = sock.fileno()  # asyncio is slow to find a socket by the object
        self._watch()

    def close(self) -> None:
        """Stop accepting. Accepted connections live on."""
        self._unwatch()
        self._sock.close()
        if self._pause is not None:
            self._pause.cancel()

    def _accept(self) -> None:
        for _ in range(ACCEPTS_PER_WAKEUP):
            try:
                sock, peer = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as exc:
                if exc.errno in _SHORTAGES:
                    self._pause_accepting(exc)
                return  # any other error concerns one connection that has failed (accept(2))
            self._is_short = False
            self._start(sock, peer)
            if not self._is_watching:
                return  # paused or closed meanwhile

    def _start(self, sock: socket.socket, peer: tuple[Any, ...]) -> None:
        try:
            sock.setblocking(False)
            if not self._is_inherited:
                set_options(sock, self.keep_alive)
            self._take(sock, peer)
        except OSError as exc:  # the kernel cannot watch another socket
            sock.close()
            self._pause_accepting(exc)
        except Exception as exc:
            sock.close()
            self._emit(InternalErrorOccurred("accepting a client", exc, None))

    def _pause_accepting(self, exc: OSError) -> None:
        if not self._is_short:
            self._is_short = True
            self._emit(AcceptPaused(reason=os.strerror(exc.errno or 0)))
        self._unwatch()  # further connections wait in the kernel
        self._pause = self._loop.call_later(PAUSE, self._resume)

    def _resume(self) -> None:
        self._pause = None
        self._watch()

    def _unwatch(self) -> None:
        if self._is_watching:
            self._is_watching = False
            self._loop.remove_reader(self._fd)

    def _watch(self) -> None:
        if not self._is_watching and self._pause is None and self._sock.fileno() >= 0:
            self._is_watching = True
            self._loop.add_reader(self._fd, self._accept)


def relayed(make_protocol: Callable[[], asyncio.Protocol]) -> TakeConnection:
    """Return what gives each connection a protocol, on a transport of `relay`.

    :param make_protocol: makes the protocol of an accepted connection.
    """

    def take(sock: socket.socket, peer: tuple[Any, ...]) -> None:
        ready = readiness(asyncio.get_running_loop())
        SocketTransport(sock, ready, peer=peer, has_options=True).attach(make_protocol())

    return take
