"""How much of BBR's rate is left to others, where a queue stays: what the draft does not do.

A queue that stays though nothing more is probed for shows that somebody else sends too, and that
all together send more than the path carries. Who has most in that queue yields first, so that who
came last finds room; what was given up is taken back, as much by who has little as by who has much.
The rate itself is the model's (`bbr_model`).
"""

from __future__ import annotations

import math

AFTER = 3
"""Rounds after which a queue is one that stays, ..."""

AFTER_PROBE = 8
"""... and after more was probed for: what that has made is gone by then."""

STEP = 0.2
"""What is given up of the rate in each further round, for each round trip of waiting; ..."""

STEP_MOST = 0.05
"""... at most, or what is under way by then would leave the path empty; ..."""

LEAST = 0.5
"""... and what is kept of the best rate until the next probe, or who fills queues would get all."""

GOING = 0.85
"""A queue that a round leaves so much of, or less, is going: what was given up is enough."""

PART = 6.0
"""Who has so many packets in the queue yields at once, for each packet in the square root of what
the path holds of theirs; ..."""

PATIENCE = 10.0
"""... all others within so many rounds more: the queue must go."""

RETURN = 6
"""Packets that are sent more in each round trip while what was given up is taken back, ..."""

RETURN_MOST = 0.05
"""... and the most that this is of the rate."""

PACKET = 1200
"""Bytes, where packets are counted."""


class Yielding:
    """Looks at the queue once a round."""

    def __init__(self) -> None:
        self._queued_rounds = 0
        self._last_queue = 0.0

    def part(self, queue: float, held: float, *, keeping: bool, cruising: bool) -> float:
        """Return which part of the rate to give up at the end of a round.

        :param queue: how long packets have waited at least, in round trips; 0 if they have not.
        :param held: bytes of ours that the path holds beside the queue.
        :param keeping: no more is sent than was delivered, ...
        :param cruising: ... nor less.
        """
        self._queued_rounds = self._queued_rounds + 1 if keeping and queue > 0 else 0
        is_going = queue <= GOING * self._last_queue
        self._last_queue = queue
        after = AFTER if cruising else AFTER_PROBE
        if self._queued_rounds < after or is_going or not self._has_most(queue, held):
            return 0.0
        return min(STEP * queue, STEP_MOST)

    def _has_most(self, queue: float, held: float) -> bool:
        """Return whether so much of the queue is ours that it is our turn to yield."""
        packets = max(held / PACKET, 1.0)
        waited = (self._queued_rounds - AFTER) / PATIENCE
        return packets * queue > PART * math.sqrt(packets) * (1.0 - waited)


def more(rate: float, rtt: float) -> float:
    """Return by how much to raise a rate in a round trip, where there is no queue any more."""
    return min(RETURN * PACKET / rtt, RETURN_MOST * rate)
