"""Computes the delays between attempts to connect."""

from __future__ import annotations

import random

FIRST_DELAY = 0.2
"""Seconds to wait after the first failure. A remote that restarts is back within a moment."""

MAX_DELAY = 20.0
"""The longest delay in seconds. After a long outage the origin is back this soon."""

MAX_SHORT_DELAY = 0.6
"""The longest delay in seconds during the first `MAX_SHORT_RETRIES` unanswered attempts.

Clients of a restarted remote are then served within a second. An unanswered attempt costs a few
datagrams."""

MAX_SHORT_RETRIES = 300
"""Unanswered attempts with short delays: three minutes' worth if each attempt fails at once."""

REFUSED_DELAY = 20.0
"""Seconds to wait after a refusal by a peer that has not proven that it is the remote.

When such a peer has gone, the origin is back this soon."""

STEADY_REFUSALS = 30
"""Refusals by such peers after which the delays grow: ten minutes' worth."""

MAX_REFUSED_DELAY = 300.0
"""The longest delay in seconds after such a refusal. The origin's token may have been revoked."""

JITTER = 0.2
"""The fraction by which a delay may be shorter, so that origins do not all reconnect at the same
moment."""


class Backoff:
    """Exponential back-off, which starts later while the remote does not answer at all.

    :param rng: the source of the jitter.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._delay = FIRST_DELAY
        self._unanswered = 0
        self._refused_delay = REFUSED_DELAY
        self._refusals = 0

    def next(self, *, answered: bool = True) -> float:
        """Return the delay in seconds before the next attempt.

        :param answered: whether the remote answered the last attempt.
        """
        if not answered and self._unanswered < MAX_SHORT_RETRIES:
            self._unanswered += 1
            delay = min(self._unanswered * FIRST_DELAY, MAX_SHORT_DELAY)
        else:
            delay = self._delay
            self._delay = min(2 * delay, MAX_DELAY)
        return self._shorten(delay)

    def next_refused(self) -> float:
        """Return the delay in seconds after a refusal without a proof."""
        delay = self._refused_delay
        self._refusals += 1
        if self._refusals >= STEADY_REFUSALS:
            self._refused_delay = min(2 * delay, MAX_REFUSED_DELAY)
        return self._shorten(delay)

    def reset(self) -> None:
        """Start again with the first delays."""
        self._delay = FIRST_DELAY
        self._unanswered = 0
        self._refused_delay = REFUSED_DELAY
        self._refusals = 0

    def _shorten(self, delay: float) -> float:
        return delay * self._rng.uniform(1 - JITTER, 1)
