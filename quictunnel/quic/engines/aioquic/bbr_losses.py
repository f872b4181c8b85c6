"""What losses say of how much a path bears. Sizes are bytes.

In one thing it goes another way than the draft, which takes more than two per cent of loss, and in
some states every loss, for congestion: a radio path that loses three would hardly be used. Here
losses count when the round-trip time shows a queue as well, and they are more than the path loses
without one; where no queue can be seen, they count when they are heavy.
"""

from __future__ import annotations

LOSS_THRESHOLD = 0.02
"""The share of a flight that may be lost while a queue grows (2.7, BBR.LossThresh), ..."""

LOSS_FLOOR_GAIN = 2.0
"""... beyond so many times what is lost without a queue: losses come unevenly."""

LOSS_FLOOR_MAX = 0.1
LOSS_FLOOR_MEMORY = 7 / 8
"""What is left after a round trip of what was known of losses without a queue."""

LOSS_MIN = 4 * 1200
"""Bytes. Fewer lost in a flight are never many: a packet of a flight of ten says nothing."""

HEAVY_LOSS = 0.15
"""The share of a flight that may be lost without a queue that could be seen: a policer's bucket,
or a router that keeps none, loses a fifth when it is sent a quarter more than it lets pass."""

HEAVY_LOSS_MIN = 8 * 1200
"""Bytes, as LOSS_MIN."""


class Losses:
    """What a path loses without a queue, and whether losses are more than that."""

    def __init__(self) -> None:
        self._lost = 0.0
        self._sent = 0.0

    @property
    def floor(self) -> float:
        """The share that the path loses without a queue."""
        if not self._sent:
            return 0.0
        return min(self._lost / self._sent, LOSS_FLOOR_MAX)

    def add_round(self, lost: int, sent: int) -> None:
        """Take what was lost of a flight in a round trip without a queue."""
        self._lost = self._lost * LOSS_FLOOR_MEMORY + lost
        self._sent = self._sent * LOSS_FLOOR_MEMORY + sent

    def are_too_many(self, lost: int, sent: int, *, queued: bool) -> bool:
        """Return whether so many bytes were lost of a flight as to say: too much."""
        if lost > max(HEAVY_LOSS * sent, HEAVY_LOSS_MIN):
            return True
        share = LOSS_THRESHOLD + LOSS_FLOOR_GAIN * self.floor
        return queued and lost > max(share * sent, LOSS_MIN)
