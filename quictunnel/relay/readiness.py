"""Which sockets are ready: one registration for the whole life of each, and no work for a pause.

asyncio's own transports register a socket anew at each change of what they wait for, with a handle
and a context for each event, and hear of no reset while they read nothing. On Linux one epoll of
ours, edge-triggered, holds the sockets of all connections of a loop, and is itself a file that the
loop watches: it tells of each news once, of errors always, and a connection remembers what it does
not want now. Elsewhere the loop's readers and writers are used, and a connection that reads nothing
hears of nothing: there, a reset is noticed by the next write or once reading goes on.
"""

from __future__ import annotations

import select
import sys
import weakref
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

READABLE, WRITABLE, FAILED, HUNG_UP = 0x001, 0x004, 0x008, 0x2010
"""Bits of what has happened to a socket: EPOLLIN, EPOLLOUT, EPOLLERR; EPOLLHUP with EPOLLRDHUP."""

AT_ONCE = 256
"""Sockets that are looked after in one turn of the loop before all else has its turn."""


class Handler(Protocol):
    """Who is told about a socket."""

    def ready(self, events: int) -> None:
        """Learn what has happened, in bits: perhaps less than is said, if it was seen before."""

    def broken(self, exc: Exception) -> None:
        """Learn that `ready` has raised."""


class Readiness(ABC):
    """The sockets of one event loop; what differs between systems is in the subclasses."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # The loop is the key under which this object is kept: a strong reference would keep both.
        self._loop = weakref.ref(loop)
        self._handlers: dict[int, Handler] = {}
        self._again: dict[Handler, None] = {}
        self._last_words: list[tuple[Callable[[Exception | None], None], Exception | None]] = []
        self._is_asked = False  # the loop is going to call back in its next turn

    @abstractmethod
    def add(self, fd: int, handler: Handler) -> None:
        """Tell `handler` of the non-blocking socket `fd`, also of what has happened before.

        :raises OSError: the system cannot watch one more.
        """

    @abstractmethod
    def want_reading(self, fd: int, *, wanted: bool) -> None:
        """Say whether bytes that come are wanted; at first they are not."""

    @abstractmethod
    def want_writing(self, fd: int, *, wanted: bool) -> None:
        """Say whether room for bytes is wanted; at first it is not."""

    def hand_over(self, fd: int, handler: Handler) -> None:
        """Tell another handler from now on."""
        self._handlers[fd] = handler

    def remove(self, fd: int) -> None:
        """Forget a socket, which is to be closed after this turn of the loop."""
        self._again.pop(self._handlers.pop(fd), None)

    def again(self, handler: Handler) -> None:
        """Tell `handler` in the next turn that it is readable: it has left something unread."""
        self._again[handler] = None
        self._ask()

    def say_last(self, told: Callable[[Exception | None], None], exc: Exception | None) -> None:
        """Tell in the next turn by what a connection has ended; many cost one call of the loop."""
        self._last_words.append((told, exc))
        self._ask()

    def _ask(self) -> None:
        loop = self._loop()
        if not self._is_asked and loop is not None:
            self._is_asked = True
            loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._is_asked = False
        again, self._again = self._again, {}
        for handler in again:
            _tell(handler, READABLE)
        last_words, self._last_words = self._last_words, []
        for told, exc in last_words:
            try:
                told(exc)
            except Exception as bug:  # as of each callback of a loop
                self.show("connection_lost failed", bug)

    def show(self, what: str, bug: Exception) -> None:
        """Let the loop tell of a fault of ours."""
        loop = self._loop()
        if loop is not None:
            loop.call_exception_handler({"message": what, "exception": bug})

    def _happened(self, fd: int, events: int) -> None:
        handler = self._handlers.get(fd)  # one that was told before may have ended it
        if handler is not None:
            _tell(handler, events)


def _tell(handler: Handler, events: int) -> None:
    try:
        handler.ready(events)
    except Exception as exc:  # whatever it is, the others must not miss their news by it
        handler.broken(exc)


if sys.platform == "linux":

    class EpollReadiness(Readiness):
        """By epoll(7). What is wanted does not matter: everything is told, once."""

        def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
            super().__init__(loop)
            self._epoll = select.epoll()
            loop.add_reader(self._epoll.fileno(), self._look)

        def add(self, fd: int, handler: Handler) -> None:
            """See `Readiness`. There is nothing to take away: closing the socket does that."""
            self._epoll.register(fd, READABLE | WRITABLE | select.EPOLLRDHUP | select.EPOLLET)
            self._handlers[fd] = handler

        def want_reading(self, fd: int, *, wanted: bool) -> None:
            """Do nothing."""

        def want_writing(self, fd: int, *, wanted: bool) -> None:
            """Do nothing."""

        def _look(self) -> None:
            for fd, events in self._epoll.poll(0, AT_ONCE):
                self._happened(fd, events)


class LoopReadiness(Readiness):
    """By the loop's own readers and writers, which tell as long as something is there."""

    def add(self, fd: int, handler: Handler) -> None:
        """See `Readiness`."""
        self._handlers[fd] = handler

    def remove(self, fd: int) -> None:
        """See `Readiness`."""
        super().remove(fd)
        self.want_reading(fd, wanted=False)
        self.want_writing(fd, wanted=False)

    def want_reading(self, fd: int, *, wanted: bool) -> None:
        """See `Readiness`."""
        loop = self._loop()
        if loop is not None:
            if wanted:
                loop.add_reader(fd, self._happened, fd, READABLE)
            else:
                loop.remove_reader(fd)

    def want_writing(self, fd: int, *, wanted: bool) -> None:
        """See `Readiness`."""
        loop = self._loop()
        if loop is not None:
            if wanted:
                loop.add_writer(fd, self._happened, fd, WRITABLE)
            else:
                loop.remove_writer(fd)


_kept: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Readiness] = weakref.WeakKeyDictionary()


def readiness(loop: asyncio.AbstractEventLoop) -> Readiness:
    """Return the loop's one, which lives as long as the loop."""
    found = _kept.get(loop)
    if found is None:
        kind = EpollReadiness if sys.platform == "linux" else LoopReadiness
        found = _kept[loop] = kind(loop)
    return found
