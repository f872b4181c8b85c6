"""Checks of the clock: whether it is plausible, and whether it agrees with the remote's."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from quictunnel.config.units import format_duration
from quictunnel.doctor.check import LocalCheck
from quictunnel.doctor.finding import Finding, failed, ok, warning

EARLIEST = datetime(2025, 6, 1, tzinfo=UTC)
"""A time before this program was written."""

LATEST = datetime(2080, 1, 1, tzinfo=UTC)
"""A time after which no certificate of today is valid."""

NOTABLE = 60.0
"""Seconds between two clocks that are worth a warning: logs and expiries differ."""

SEVERE = 86_400.0
"""Seconds between two clocks after which even new certificates are not valid."""

SET_CLOCK = "set the clock: 'timedatectl set-ntp true' keeps it right on most Linux systems"


class Clock(LocalCheck):
    """Checks that this machine's clock shows a time in which this program can run.

    :param now: returns seconds since 1970.
    """

    title = "clock"

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now

    def examine(self) -> list[Finding]:
        """Compare the clock with the lifetime of this program."""
        try:
            now = datetime.fromtimestamp(self._now(), UTC)
        except (OverflowError, ValueError, OSError):
            return [failed(self.title, "the clock shows no valid date", SET_CLOCK)]
        shown = f"{now:%Y-%m-%d %H:%M} UTC"
        if not EARLIEST <= now <= LATEST:
            return [failed(self.title, f"the clock shows {shown}, which cannot be", SET_CLOCK)]
        return [ok(self.title, f"the clock shows {shown}")]


def compare_with_certificate(now: float, valid_from: datetime) -> list[Finding]:
    """Return a finding if the remote's certificate is not valid yet, by this machine's clock.

    Remotes create certificates that are valid from the day before.

    :param now: this machine's time, in seconds since 1970.
    """
    if now >= valid_from.timestamp():
        return []
    return [
        failed(
            "clocks",
            f"the remote's certificate is not valid before {valid_from:%Y-%m-%d %H:%M} UTC, which "
            "is in the future: one of the two clocks is wrong",
            f"compare 'date -u' at both ends; {SET_CLOCK}",
        )
    ]


def compare_clocks(*, here: float, remote: float) -> Finding:
    """Return the finding about the clocks of both ends, each in seconds since 1970."""
    title = "clocks"
    difference = here - remote
    size = abs(difference)
    if size < NOTABLE:
        return ok(title, "the clocks of both ends agree")
    amount = format_duration(round(size))
    order = "ahead of" if difference > 0 else "behind"
    return (failed if size >= SEVERE else warning)(
        title,
        f"this machine's clock is {amount} {order} the remote's",
        "compare 'date -u' at both ends, and correct the wrong one, or certificates and tokens "
        f"seem to have expired; {SET_CLOCK}",
    )
