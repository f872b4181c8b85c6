"""Measures how late the event loop runs callbacks."""

from __future__ import annotations

import asyncio

from quictunnel.observe.histogram import Histogram

INTERVAL = 0.1
"""Seconds between two samples."""

WATCH_TIME = 300.0
"""Seconds for which samples are taken after `watch`. Without it, an idle process stays asleep."""

DELAYS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Bounds of the histogram in seconds. Timers of epoll are up to 1 ms late by themselves."""


class LoopDelay:
    """Samples the delay of the event loop after `watch` was called.

    A sample is the time by which a timer is late. A packet that arrives at the time of the timer
    waits as long to be read. The timer needs no task. The owner calls `close`.
    """

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._watched_until = 0.0
        self.histogram = Histogram(DELAYS)
        """The delays in seconds."""

    def watch(self) -> None:
        """Take samples of the running loop for `WATCH_TIME` from now on."""
        loop = asyncio.get_running_loop()
        self._watched_until = loop.time() + WATCH_TIME
        if self._timer is None:
            self._schedule(loop)

    def close(self) -> None:
        """Take no more samples."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + INTERVAL
        self._timer = loop.call_at(due, self._sample, loop, due)

    def _sample(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        self.histogram.observe(max(0.0, now - due))
        self._timer = None
        if now < self._watched_until:
            self._schedule(loop)
