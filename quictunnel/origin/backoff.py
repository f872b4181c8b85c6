"""How long to wait before trying again. Numbers only: it neither waits nor tries."""

from __future__ import annotations

import random

FIRST_DELAY = 0.2
"""Seconds after the first failure: a remote that restarts is back within a moment."""

LONGEST_DELAY = 20.0
"""Seconds at most: an hour's outage should not cost minutes more."""

JITTER = 0.2
"""The share by which a delay varies, so that many origins do not come back in step."""


class Backoff:
    """Delays in seconds: they double from the first to the longest.

    :param rng: where the jitter comes from.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._delay = FIRST_DELAY

    def next(self) -> float:
        """Return how long to wait now."""
        delay = self._delay
        self._delay = min(2 * delay, LONGEST_DELAY)
        return delay * self._rng.uniform(1 - JITTER, 1 + JITTER)

    def reset(self) -> None:
        """Begin again with the first delay."""
        self._delay = FIRST_DELAY
