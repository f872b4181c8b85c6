"""Limits how long connections may be idle: those that are half-closed, or those of a policy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from quictunnel.relay.timers import SharedTimer

TICKS = 8
"""Number of checks per limit. Polling costs nothing while bytes move. It never fires early, and at
most one eighth of the limit late."""


class Watched(Protocol):
    """A connection whose idle time is counted."""

    def progress(self) -> object:
        """Return a value that changes whenever a byte has moved."""

    def is_on_hold(self) -> bool:
        """Return whether idle time does not count now, because nothing can move."""


WatchedT = TypeVar("WatchedT", bound=Watched)


class IdleTimer(Generic[WatchedT]):
    """Counts the idle time of many connections that share a limit.

    :param limit: seconds without progress after which `expired` is called.
    :param expired: called once with a connection, which is removed first.
    """

    def __init__(
        self,
        limit: float,
        expired: Callable[[WatchedT], None],
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._expired = expired
        self._timer = SharedTimer(limit / TICKS, self._tick, loop)
        self._idle: dict[WatchedT, tuple[object, int]] = {}
        """The last progress of each connection, and the ticks since it changed."""

    def __len__(self) -> int:
        """Return the number of connections that are counted."""
        return len(self._idle)

    def start(self, watched: WatchedT) -> None:
        """Count a connection's idle time from now on. Has no effect if it is counted already."""
        if watched not in self._idle:
            self._wait(watched, watched.progress(), 0)

    def stop(self, watched: WatchedT) -> None:
        """Stop counting a connection. Has no effect if it is not counted."""
        if self._idle.pop(watched, None) is not None:
            self._timer.cancel(watched)

    def _wait(self, watched: WatchedT, progress: object, ticks: int) -> None:
        self._idle[watched] = (progress, ticks)
        self._timer.start(watched)

    def _tick(self, watched: WatchedT) -> None:
        last, ticks = self._idle[watched]
        now = watched.progress()
        if now != last:
            ticks = 0
        elif not watched.is_on_hold():
            ticks += 1
        if ticks < TICKS:
            self._wait(watched, now, ticks)
            return
        del self._idle[watched]
        self._expired(watched)
