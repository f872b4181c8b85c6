"""Decides how long UDP must answer, and how often a link may return to it. Pure: no I/O."""

from __future__ import annotations

from quictunnel.quic.rate_budget import RateBudget

STEADY_TIME = 5.0
"""Seconds for which UDP must answer steadily before a link returns to it."""

MAX_STEADY_TIME = 300.0
"""The same after several returns that have failed."""

RETURN_TRIAL = 10.0
"""Seconds after a return in which silence means that it has failed, unless UDP has answered for
longer than `RETURN_PROOF`."""

RETURN_PROOF = 0.3
"""Seconds after a return from which an answer proves that UDP has carried the link. If UDP is
dropped later, it deserves no doubt when it answers again."""

RETURN_BURST = 6
"""Returns that may follow each other."""

RETURN_INTERVAL = 60.0
"""Seconds per return beyond the burst."""


class ReturnPolicy:
    """Limits the returns of one link to UDP, so that it does not flap.

    :param now: the current time in seconds.
    """

    def __init__(self, now: float) -> None:
        self.steady_time = STEADY_TIME
        """Seconds for which UDP must answer steadily at present."""
        self._budget = RateBudget(rate=1 / RETURN_INTERVAL, burst=RETURN_BURST, now=now)

    def take(self, now: float) -> bool:
        """Return whether the link may return now, and count the return."""
        return self._budget.take(now)

    def put_back(self) -> None:
        """Take back the last count: the link has not returned after all."""
        self._budget.put_back()

    def failed(self) -> None:
        """Demand more before the next return: the link was silent soon after this one."""
        self.steady_time = min(2 * self.steady_time, MAX_STEADY_TIME)

    def succeeded(self) -> None:
        """Demand no more than at first."""
        self.steady_time = STEADY_TIME

    def network_changed(self) -> None:
        """Demand no more than at first: the returns that have failed were on another network."""
        self.steady_time = STEADY_TIME
