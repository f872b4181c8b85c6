"""The rate of an attacker's line."""

from __future__ import annotations

BURST = 0.05
"""Seconds of the rate that may be sent at once, after the attacker was suspended."""


class LineRate:
    """Limits the bytes that a line sends.

    :param megabits: the rate in Mbit/s of IP packets.
    :param now: the time, in seconds.
    """

    def __init__(self, megabits: float, now: float) -> None:
        self._rate = megabits * 1e6 / 8
        self._credit = 0.0
        self._at = now

    def refill(self, now: float) -> None:
        """Add the credit of the time since the last call."""
        earned = (now - self._at) * self._rate
        self._credit = min(self._credit + earned, self._rate * BURST)
        self._at = now

    @property
    def may_send(self) -> bool:
        """Whether the rate allows another packet."""
        return self._credit > 0

    def spend(self, size: int) -> None:
        """Take the bytes of a packet from the credit."""
        self._credit -= size
