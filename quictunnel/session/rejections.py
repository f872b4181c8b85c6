"""Reports rejected clients at a bounded rate, so that a flood does not fill the log."""

from __future__ import annotations

import asyncio

from quictunnel.events import ClientRejected, EventSink

MAX_REPORTS = 4
"""Rejections reported one by one in each interval. With the sum, there are fewer than ten in any
minute, also where two intervals meet."""

INTERVAL = 60.0
"""Seconds. At its end, the rejections that were not reported are reported together."""


class RejectionReporter:
    """Emits `ClientRejected`, at most `MAX_REPORTS` + 1 times per interval."""

    def __init__(self, emit: EventSink) -> None:
        self._emit = emit
        self._reported = 0
        self._suppressed = 0
        self._last = ("", "")
        self._timer: asyncio.TimerHandle | None = None

    def report(self, peer: str, reason: str) -> None:
        """Report a rejected client, or count it."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._end_interval)
        if self._reported < MAX_REPORTS:
            self._reported += 1
            self._emit(ClientRejected(peer, reason, 0))
        else:
            self._suppressed += 1
            self._last = (peer, reason)

    def close(self) -> None:
        """Report what was counted so far."""
        if self._timer is not None:
            self._timer.cancel()
            self._end_interval()

    def _end_interval(self) -> None:
        self._timer = None
        self._reported = 0
        if self._suppressed:
            # The last one stands for all, and its own line is one of them.
            self._emit(ClientRejected(*self._last, self._suppressed - 1))
            self._suppressed = 0
