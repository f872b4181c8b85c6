"""Measures whether a path loses nearly all packets. Pure: no I/O."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

WINDOW = 3.0
"""Seconds over which losses are counted."""

DETECTION_DELAY = 1.0
"""Seconds until a lost packet is surely declared lost (RFC 9002, 6.1). The packets lost in a window
may have been sent that much earlier."""

MIN_PACKETS = 20
"""Packets sent in a window below which its losses mean nothing."""

LOST_SHARE = 0.9
"""The share of lost packets from which on the path carries nearly nothing."""

SAMPLE_INTERVAL = 0.5
"""Seconds between samples."""

MAX_GAP = 2.0
"""Seconds between two samples that were not taken one after the other: the process was stopped."""


class _Sample(NamedTuple):
    at: float
    sent: int
    lost: int


class LossMeter:
    """Judges the losses of one path from samples of a connection's counters."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque()

    def clear(self) -> None:
        """Start anew, as on another path."""
        self._samples.clear()

    def add(self, now: float, sent: int, lost: int) -> None:
        """Add a sample.

        :param sent: packets sent so far.
        :param lost: packets declared lost so far.
        """
        if self._samples and now - self._samples[-1].at > MAX_GAP:
            self._samples.clear()
        self._samples.append(_Sample(now, sent, lost))
        while len(self._samples) > 1 and self._samples[1].at <= now - WINDOW - DETECTION_DELAY:
            self._samples.popleft()

    @property
    def is_throttled(self) -> bool:
        """Whether nearly all packets of the latest window were lost.

        The losses are also compared with the packets that were sent `DETECTION_DELAY` earlier.
        Otherwise the ordinary losses of a burst would count against the few packets after it.
        """
        if not self._samples:
            return False
        latest = self._samples[-1]
        if latest.at - self._samples[0].at < WINDOW + DETECTION_DELAY:
            return False
        start = self._latest_before(latest.at - WINDOW)
        earlier_sent = self._latest_before(latest.at - DETECTION_DELAY).sent - self._samples[0].sent
        sent, lost = latest.sent - start.sent, latest.lost - start.lost
        return sent >= MIN_PACKETS and lost >= LOST_SHARE * max(sent, earlier_sent)

    def _latest_before(self, at: float) -> _Sample:
        """Return the latest sample that is not younger."""
        return next(sample for sample in reversed(self._samples) if sample.at <= at)
