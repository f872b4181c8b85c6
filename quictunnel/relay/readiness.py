"""Reports which sockets are readable or writable, with one registration per socket.

asyncio's transports register a socket anew whenever they pause or resume, and do not notice a
reset while reading is paused. On Linux, all sockets of an event loop share one edge-triggered
epoll instance, which the loop watches as a single file. It reports each change once, and errors
always. On other systems the loop's own readers and writers are used. There, a connection that is
not reading notices a reset at its next write or when it reads again.
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
"""Event bits: EPOLLIN, EPOLLOUT, EPOLLERR, and EPOLLHUP with EPOLLRDHUP."""

EVENTS_PER_TURN = 256
"""Sockets handled before the event loop runs other callbacks."""


class Handler(Protocol):
    """Receives the events of one socket."""

    def on_ready(self, events: int) -> None:
        """Handle event bits. They may describe a state that has passed."""

    def on_error(self, exc: Exception) -> None:
        """Handle an exception raised by `on_ready`."""


class Readiness(ABC):
    """Watches the sockets of one event loop. A subclass knows the system's mechanism."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # The loop is the key under which this object is stored: a strong reference would keep both.
        self._loop = weakref.ref(loop)
        self._handlers: dict[int, Handler] = {}
        self._still_readable: dict[Handler, None] = {}
        self._lost: list[tuple[Callable[[Exception | None], None], Exception | None]] = []
        self._is_scheduled = False

    @abstractmethod
    def add(self, fd: int, handler: Handler) -> None:
        """Watch a non-blocking socket. Its current state is reported too.

        :raises OSError: the system cannot watch another socket.
        """

    @abstractmethod
    def want_reading(self, fd: int, *, wanted: bool) -> None:
        """Set whether readability matters. Initially it does not."""

    @abstractmethod
    def want_writing(self, fd: int, *, wanted: bool) -> None:
        """Set whether writability matters. Initially it does not."""

    def replace_handler(self, fd: int, handler: Handler) -> None:
        """Report a socket's events to another handler from now on."""
        self._handlers[fd] = handler

    def remove(self, fd: int) -> None:
        """Stop watching a socket. The caller closes it after this turn of the loop."""
        self._still_readable.pop(self._handlers.pop(fd), None)

    def read_again_soon(self, handler: Handler) -> None:
        """Report READABLE in the next turn, because the handler has left bytes unread."""
        self._still_readable[handler] = None
        self._schedule()

    def call_lost_soon(
        self, connection_lost: Callable[[Exception | None], None], exc: Exception | None
    ) -> None:
        """Call `connection_lost` in the next turn. Many connections share one loop callback."""
        self._lost.append((connection_lost, exc))
        self._schedule()

    def report_bug(self, message: str, bug: Exception) -> None:
        """Pass an exception to the event loop's exception handler."""
        loop = self._loop()
        if loop is not None:
            loop.call_exception_handler({"message": message, "exception": bug})

    def _schedule(self) -> None:
        loop = self._loop()
        if not self._is_scheduled and loop is not None:
            self._is_scheduled = True
            loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._is_scheduled = False
        readable, self._still_readable = self._still_readable, {}
        for handler in readable:
            _dispatch(handler, READABLE)
        lost, self._lost = self._lost, []
        for connection_lost, exc in lost:
            try:
                connection_lost(exc)
            except Exception as bug:  # must not prevent the other calls
                self.report_bug("connection_lost failed", bug)

    def _on_events(self, fd: int, events: int) -> None:
        handler = self._handlers.get(fd)  # an earlier handler of this turn may have removed it
        if handler is not None:
            _dispatch(handler, events)


def _dispatch(handler: Handler, events: int) -> None:
    try:
        handler.on_ready(events)
    except Exception as exc:  # must not prevent the events of other sockets
        handler.on_error(exc)


if sys.platform == "linux":

    class EpollReadiness(Readiness):
        """Uses epoll(7), edge-triggered. Every event is reported, once."""

        def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
            super().__init__(loop)
            self._epoll = select.epoll()
            loop.add_reader(self._epoll.fileno(), self._poll)

        def add(self, fd: int, handler: Handler) -> None:
            """See `Readiness`. Closing the socket removes it from the epoll instance."""
            self._epoll.register(fd, READABLE | WRITABLE | select.EPOLLRDHUP | select.EPOLLET)
            self._handlers[fd] = handler

        def want_reading(self, fd: int, *, wanted: bool) -> None:
            """Do nothing."""

        def want_writing(self, fd: int, *, wanted: bool) -> None:
            """Do nothing."""

        def _poll(self) -> None:
            for fd, events in self._epoll.poll(0, EVENTS_PER_TURN):
                self._on_events(fd, events)


class LoopReadiness(Readiness):
    """Uses the event loop's readers and writers, which are level-triggered."""

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
                loop.add_reader(fd, self._on_events, fd, READABLE)
            else:
                loop.remove_reader(fd)

    def want_writing(self, fd: int, *, wanted: bool) -> None:
        """See `Readiness`."""
        loop = self._loop()
        if loop is not None:
            if wanted:
                loop.add_writer(fd, self._on_events, fd, WRITABLE)
            else:
                loop.remove_writer(fd)


_instances: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Readiness] = (
    weakref.WeakKeyDictionary()
)


def readiness(loop: asyncio.AbstractEventLoop) -> Readiness:
    """Return the event loop's `Readiness`, which lives as long as the loop."""
    found = _instances.get(loop)
    if found is None:
        kind = EpollReadiness if sys.platform == "linux" else LoopReadiness
        found = _instances[loop] = kind(loop)
    return found
