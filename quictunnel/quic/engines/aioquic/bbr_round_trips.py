"""How far a path is, and whether packets wait on it: what is remembered of round-trip times.

From draft-ietf-ccwg-bbr-04, section 5.3.4.4. Times are seconds.
"""

from __future__ import annotations

import math

WAITING = 0.05
"""How long packets must have waited for all of them to be in a queue, in round trips: processing
makes two or three hundredths."""

QUEUE_SEEN = 1 / 8
"""By which part of the shortest round-trip time another must be longer to show a queue, ..."""

QUEUE_SEEN_MIN = 0.002
"""... and by how many seconds at least: timers and schedulers are no better."""

KEPT = 10.0
"""Seconds for which the shortest round-trip time stands (2.14, BBR.MinRTTFilterLen)."""

INTERVAL = 5.0
"""Seconds after which it should be looked at anew (2.14, BBR.ProbeRTTInterval)."""

CONFIRMED = 1.05
"""A round trip that comes so near to the shortest shows that it still stands. The draft would have
it undercut, which on a path with a steady delay never happens, and halves what is in flight for
that every five seconds. Real round trips are two or three hundredths above by processing alone."""


class RoundTrips:
    """The shortest of all, the latest, and the shortest of late."""

    def __init__(self, now: float) -> None:
        self.least = math.inf
        self._least_at = now
        self.probed = math.inf
        """The shortest since the path was last seen empty."""
        self._probed_at = now
        self.latest = 0.0
        self.is_stale = False
        """The shortest was not seen for so long that it should be looked for."""
        self._recent = (math.inf, math.inf)  # of this half of a round trip, and the one before
        self._recent_since = now

    def add(self, rtt: float, now: float) -> None:
        """Take one."""
        self.latest = rtt
        self.is_stale = now > self._probed_at + INTERVAL
        if rtt < self.probed or self.is_stale:
            self.probed = rtt
            self._probed_at = now
        elif rtt <= CONFIRMED * self.probed:
            self._probed_at = now
        if rtt <= CONFIRMED * self.least:
            self._least_at = now
        if self.probed < self.least or now > self._least_at + KEPT:
            self.least = self.probed
            self._least_at = self._probed_at
        if now > self._recent_since + self.least / 2:
            self._recent = math.inf, self._recent[0]
            self._recent_since = now
        self._recent = min(self._recent[0], rtt), self._recent[1]

    def was_probed(self, now: float) -> None:
        """The shortest was looked for just now."""
        self._probed_at = now
        self.is_stale = False

    @property
    def waiting(self) -> float:
        """How long packets have waited of late at least, in parts of the shortest round trip."""
        recent = min(self._recent)
        return recent / self.least - 1.0 if recent < math.inf else 0.0

    def show_queue(self, rtt: float) -> bool:
        """Return whether a round trip is so long that its packet has waited."""
        return rtt - self.least > max(QUEUE_SEEN * self.least, QUEUE_SEEN_MIN)
