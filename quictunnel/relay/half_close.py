"""How long the second half of a connection may last once the first has ended. A clock, no more."""

from __future__ import annotations

import asyncio
from typing import Protocol

from quictunnel.relay.timers import SharedTimer

TICKS = 8
"""In how many steps the quiet time is counted. Looking now and then costs nothing while bytes move,
and is never early; it is late by one step at most."""


class HalfEnded(Protocol):
    """A connection of which one half has ended."""

    def progress(self) -> object:
        """Return a value that differs from the one before if anything has moved."""

    def is_excused(self) -> bool:
        """Whether the time now passing does not count, for the link is silent."""

    def linger_over(self) -> None:
        """Learn that nothing has moved for the limit."""


class Lingers:
    """Counts for many the time in which nothing moved, and tells each when it reaches the limit.

    :param limit: seconds without progress.
    """

    def __init__(self, limit: float, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._deadlines = SharedTimer(limit / TICKS, self._tick, loop)
        self._counted: dict[HalfEnded, tuple[object, int]] = {}
        """How far each had come when it was looked at, and how many ticks ago that was new."""

    def __len__(self) -> int:
        """Return for how many it counts."""
        return len(self._counted)

    def begin(self, half: HalfEnded) -> None:
        """Begin to count; without effect when it counts already."""
        if half not in self._counted:
            self._count(half, half.progress(), 0)

    def end(self, half: HalfEnded) -> None:
        """Count no more, if it does, and never tell."""
        if self._counted.pop(half, None) is not None:
            self._deadlines.end(half)

    def _count(self, half: HalfEnded, progress: object, ticks: int) -> None:
        self._counted[half] = (progress, ticks)
        self._deadlines.begin(half)

    def _tick(self, half: HalfEnded) -> None:
        last, ticks = self._counted[half]
        now = half.progress()
        if now != last:
            ticks = 0
        elif not half.is_excused():
            ticks += 1
        if ticks < TICKS:
            self._count(half, now, ticks)
            return
        del self._counted[half]
        half.linger_over()
