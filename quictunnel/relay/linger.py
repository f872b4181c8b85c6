"""How long the second half of a connection may last once the first has ended. A clock, no more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

TICKS = 8
"""In how many steps the quiet time is counted. Looking now and then costs nothing while bytes move,
and is never early; it is late by one step at most."""


class Linger:
    """Counts the time in which nothing moved, and calls back when it reaches the limit.

    :param limit: seconds without progress.
    :param progress: returns a value that differs from the one before if anything has moved.
    :param is_excused: whether the time now passing does not count, for the link is silent.
    :param on_over: called once, when the limit is reached.
    """

    __slots__ = (
        "_handle",
        "_is_excused",
        "_last",
        "_limit",
        "_loop",
        "_on_over",
        "_progress",
        "_ticks",
    )

    def __init__(
        self,
        limit: float,
        *,
        progress: Callable[[], object],
        is_excused: Callable[[], bool],
        on_over: Callable[[], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._limit = limit
        self._progress = progress
        self._is_excused = is_excused
        self._on_over = on_over
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None
        self._last: object = None
        self._ticks = 0

    def start(self) -> None:
        """Begin to count; without effect when it counts already."""
        if self._handle is None:
            self._last = self._progress()
            self._ticks = 0
            self._wait()

    def stop(self) -> None:
        """Count no more, and never call back."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _wait(self) -> None:
        self._handle = self._loop.call_later(self._limit / TICKS, self._tick)

    def _tick(self) -> None:
        now = self._progress()
        if now != self._last:
            self._last = now
            self._ticks = 0
        elif not self._is_excused():
            self._ticks += 1
        if self._ticks < TICKS:
            self._wait()
            return
        self._handle = None
        self._on_over()
