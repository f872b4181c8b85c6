"""A budget of events per second: a token bucket."""

from __future__ import annotations


class RateBudget:
    """Limits how often something happens. The bucket starts full.

    :param rate: tokens that are added per second.
    :param burst: tokens that the bucket holds.
    :param now: the current time in seconds.
    """

    def __init__(self, *, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._level = burst
        self._filled_at = now

    def level(self, now: float) -> float:
        """Return the number of tokens in the bucket."""
        self._level = min(self._burst, self._level + (now - self._filled_at) * self._rate)
        self._filled_at = now
        return self._level

    def take(self, now: float, *, reserved: float = 0.0) -> bool:
        """Take a token and return True, unless fewer than that would stay than are reserved."""
        if self.level(now) < 1.0 + reserved:
            return False
        self._level -= 1.0
        return True

    def put_back(self) -> None:
        """Return a token."""
        self._level = min(self._burst, self._level + 1.0)
