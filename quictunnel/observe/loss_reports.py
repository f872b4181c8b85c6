"""Reports what a writer's thread has lost: on the event loop, and not more than once a minute."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

INTERVAL = 60.0
"""Seconds between two reports. A full disk would cause one for each batch of lines."""


class LossReports:
    """Adds up losses, and reports the first one at once.

    :param report: takes the number of lost lines and the latest reason, on the event loop.
    """

    def __init__(self, report: Callable[[int, str], None]) -> None:
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._lost = 0
        self._reason = ""
        self._timer: asyncio.TimerHandle | None = None

    def add_from_thread(self, count: int, reason: str) -> None:
        """Add losses. Any thread may call this."""
        with contextlib.suppress(RuntimeError):  # the loop has ended, and its log with it
            self._loop.call_soon_threadsafe(self.add, count, reason)

    def add(self, count: int, reason: str) -> None:
        """Add losses, on the event loop."""
        self._lost += count
        self._reason = reason
        if self._timer is None:
            self._report_sum()

    def close(self) -> None:
        """Report what was lost since the last report, and start no timer any more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._lost:
            self._report(self._lost, self._reason)
            self._lost = 0

    def _report_sum(self) -> None:
        self._timer = None
        if self._lost:
            lost, self._lost = self._lost, 0
            self._timer = self._loop.call_later(INTERVAL, self._report_sum)
            self._report(lost, self._reason)
