"""Judges from probes whether UDP answers steadily, and when to probe next. Pure: no I/O."""

from __future__ import annotations

from collections import deque

ANSWERED_INTERVAL = 0.5
"""Seconds between probes while UDP answers, and while nothing else carries the link."""

FIRST_INTERVAL = 2.0
"""Seconds between probes in the first phase."""

FIRST_PHASE = 600.0
"""Seconds that the first phase lasts."""

LATER_INTERVAL = 30.0
"""Seconds before the first probe after that phase. Each later interval is twice as long."""

MAX_INTERVAL = 300.0
"""Seconds between probes at most."""

MAX_GAP = 5.0
"""Seconds between two answers that were not given one after the other: the process was stopped."""

JUDGED_TOGETHER = 10
"""Probes in a row of which one may be missed while UDP answers steadily."""


class ProbeRecord:
    """The results of the probes of one link.

    :param now: the current time in seconds.
    """

    def __init__(self, now: float) -> None:
        self.steady_since: float | None = None
        """When the first probe since which UDP answers steadily was answered; None if it does
        not."""
        self._answered_at = now
        self._started_at = now
        self._later_interval = LATER_INTERVAL
        self._results: deque[float | None] = deque(maxlen=JUDGED_TOGETHER)
        """The times of the latest answers, with None for each probe that was missed."""

    def restart(self, now: float) -> None:
        """Begin the first phase again: the network is another one."""
        self.steady_since = None
        self._started_at = now
        self._later_interval = LATER_INTERVAL
        self._results.clear()

    def answered(self, now: float) -> None:
        """Record that a probe was answered."""
        if self.steady_since is None or now > self._answered_at + MAX_GAP:
            self.steady_since = now
            self._results.clear()
        self._answered_at = now
        self._results.append(now)
        self._later_interval = LATER_INTERVAL

    def missed(self) -> None:
        """Record that a probe was not answered in time.

        If it is the second of ten, the answers since the first one still count. A full queue now
        and then drops a probe, and the link would otherwise wait for all of the time again.
        """
        self._results.append(None)
        if self._results.count(None) > 1:
            while self._results.popleft() is not None:
                pass
            self.steady_since = next((at for at in self._results if at is not None), None)

    def is_steady(self, now: float, seconds: float) -> bool:
        """Return whether UDP has answered steadily for so many seconds."""
        return self.steady_since is not None and now >= self.steady_since + seconds

    def next_interval(self, now: float) -> float:
        """Return the seconds until the next probe, after one was sent."""
        if self.steady_since is not None:
            return ANSWERED_INTERVAL
        if now < self._started_at + FIRST_PHASE:
            return FIRST_INTERVAL
        interval = self._later_interval
        self._later_interval = min(2 * interval, MAX_INTERVAL)
        return interval
