"""Limits how long a half-closed connection may be idle."""

from __future__ import annotations

import asyncio
from typing import Protocol

from quictunnel.relay.timers import SharedTimer

TICKS = 8
"""Number of checks per limit. Polling costs nothing while bytes move. It never fires early, and at
most one eighth of the limit late."""


class HalfClosed(Protocol):
    """A connection of which one direction has ended."""

    def progress(self) -> object:
        """Return a value that changes whenever a byte has moved."""

    def is_on_hold(self) -> bool:
        """Return whether the link is silent, so that idle time does not count."""

    def linger_expired(self) -> None:
        """End the connection: it was idle for the whole limit."""


class LingerTimer:
    """Counts the idle time of many half-closed connections.

    :param limit: seconds without progress after which `HalfClosed.linger_expired` is called.
    """

    def __init__(self, limit: float, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._timer = SharedTimer(limit / TICKS, self._tick, loop)
        self._idle: dict[HalfClosed, tuple[object, int]] = {}
        """The last progress of each connection, and the ticks since it changed."""

    def __len__(self) -> int:
        """Return the number of connections that are counted."""
        return len(self._idle)

    def start(self, half: HalfClosed) -> None:
        """Count a connection's idle time from now on. Has no effect if it is counted already."""
        if half not in self._idle:
            self._wait(half, half.progress(), 0)

    def stop(self, half: HalfClosed) -> None:
        """Stop counting a connection. Has no effect if it is not counted."""
        if self._idle.pop(half, None) is not None:
            self._timer.cancel(half)

    def _wait(self, half: HalfClosed, progress: object, ticks: int) -> None:
        self._idle[half] = (progress, ticks)
        self._timer.start(half)

    def _tick(self, half: HalfClosed) -> None:
        last, ticks = self._idle[half]
        now = half.progress()
        if now != last:
            ticks = 0
        elif not half.is_on_hold():
            ticks += 1
        if ticks < TICKS:
            self._wait(half, now, ticks)
            return
        del self._idle[half]
        half.linger_expired()
