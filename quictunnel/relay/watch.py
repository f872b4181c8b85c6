"""Notices that a TCP connection was reset while nobody reads from it or writes to it.

asyncio watches a socket for reading only while its transport reads. A client that resets its
connection while its reading is paused (back-pressure, waiting for an origin) or over (it sent FIN
before) would go unnoticed until something is written to it, which may be never.

Linux's epoll reports errors of a socket registered for no event at all. So one more epoll holds
the sockets of all relays of a loop, and is itself a file that the loop can watch: one
registration a connection, none for each pause. Elsewhere there is no such thing, and the watch
does nothing: there, a reset is noticed by the next write or once reading goes on.
"""

from __future__ import annotations

import select
import sys
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

_watches: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, ErrorWatch] = (
    weakref.WeakKeyDictionary()
)


def error_watch(loop: asyncio.AbstractEventLoop) -> ErrorWatch:
    """Return the loop's watch; there is one a loop, as one file watches any number of sockets."""
    watch = _watches.get(loop)
    if watch is None:
        watch = _watches[loop] = ErrorWatch(loop)
    return watch


class ErrorWatch:
    """Calls back when a socket has an error pending (SO_ERROR), without taking the error away.

    It holds a file only while it holds sockets, so that nothing is left to close in the end.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # The loop is the key under which this object is kept: a strong reference would keep both.
        self._loop = weakref.ref(loop)
        self._callbacks: dict[int, Callable[[], None]] = {}

    if sys.platform == "linux":
        _epoll: select.epoll | None = None

        def add(self, fd: int, callback: Callable[[], None]) -> None:
            """Call `callback` at each new error of the open socket `fd`, until it is removed."""
            loop = self._loop()
            if loop is None:
                return
            if self._epoll is None:
                self._epoll = select.epoll()
                loop.add_reader(self._epoll.fileno(), self._ready)
            # Edge-triggered: EPOLLHUP stays true for a connection that both ends have shut down,
            # and must not keep the loop awake while its last bytes wait to be read.
            self._epoll.register(fd, select.EPOLLET)
            self._callbacks[fd] = callback

        def remove(self, fd: int) -> None:
            """Forget the socket; to be called before it is closed."""
            if self._callbacks.pop(fd, None) is None or self._epoll is None:
                return
            self._epoll.unregister(fd)
            if not self._callbacks:
                loop = self._loop()
                if loop is not None:
                    loop.remove_reader(self._epoll.fileno())
                self._epoll.close()
                self._epoll = None

        def _ready(self) -> None:
            if self._epoll is None:
                return
            for fd, events in self._epoll.poll(0):
                callback = self._callbacks.get(fd)  # An earlier callback may have removed it.
                if callback is not None and events & select.EPOLLERR:
                    callback()

    else:

        def add(self, fd: int, callback: Callable[[], None]) -> None:
            """Do nothing: this system cannot tell."""

        def remove(self, fd: int) -> None:
            """Do nothing, as `add` did."""
