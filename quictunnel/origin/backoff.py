"""How long to wait before trying again. Numbers only: it neither waits nor tries."""

from __future__ import annotations

import random

FIRST_DELAY = 0.2
"""Seconds after the first failure: a remote that restarts is back within a moment."""

LONGEST_DELAY = 20.0
"""Seconds at most: an hour's outage should not cost minutes more."""

SOON_DELAY = 0.6
"""Seconds at most while nobody has answered for a short time only: a remote that is started again
has clients served within a second. Such a try costs a datagram or a few."""

SOON_TRIES = 300
"""Tries without an answer that count as a short time: three minutes where each is turned away at
once, and longer where each has to be waited for."""

JITTER = 0.2
"""The share by which a delay varies, so that many origins do not come back in step."""


class Backoff:
    """Delays in seconds: they double from the first to the longest, but later where nobody answers.

    :param rng: where the jitter comes from.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._delay = FIRST_DELAY
        self._unanswered = 0

    def next(self, *, answered: bool = True) -> float:
        """Return how long to wait now.

        :param answered: whether somebody was there; if nobody was, the delays stay short at first.
        """
        if not answered and self._unanswered < SOON_TRIES:
            self._unanswered += 1
            delay = min(self._unanswered * FIRST_DELAY, SOON_DELAY)
        else:
            delay = self._delay
            self._delay = min(2 * delay, LONGEST_DELAY)
        return delay * self._rng.uniform(1 - JITTER, 1 + JITTER)

    def reset(self) -> None:
        """Begin again with the first delay."""
        self._delay = FIRST_DELAY
        self._unanswered = 0
