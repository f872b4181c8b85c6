"""What arrives after it was taken for lost, and how much later than others anything may arrive.

A path on which datagrams overtake one another would else lose, by RFC 9002's first thresholds, what
has only been overtaken. The thresholds grow with what is seen (6.1.1 and 6.1.2 allow it); a new
path begins with the first ones. Decides what is late; declares nothing lost itself.
"""

from __future__ import annotations

from typing import NamedTuple

PACKETS = 3
"""How many packets sent later may arrive before (RFC 9002, 6.1.1), at first."""

DELAYS = (9 / 8, 5 / 4, 3 / 2, 2.0)
"""Round trips after which a packet is lost, if one sent later has arrived (6.1.2)."""

REMEMBERED_MAX = 1024
"""Lost packets that are remembered: what was lost longer ago arrives no more."""

REMEMBERED_FOR = 2.0
"""Round trips."""


class Lost(NamedTuple):
    """A packet that was declared lost."""

    number: int
    size: int
    """Bytes."""
    declared_at: float
    """Seconds."""
    largest_acked: int
    """The largest packet number that had arrived by then."""


class Reordering:
    """The thresholds of a path, and what may yet turn up."""

    def __init__(self) -> None:
        self.packets = PACKETS
        """How many packets sent later must have arrived for a packet to be lost."""
        self._step = 0
        self.lost: dict[int, Lost] = {}
        """What was declared lost of late, by packet number."""

    @property
    def delay(self) -> float:
        """Round trips after which a packet is lost that was overtaken."""
        return DELAYS[self._step]

    def declare(self, lost: Lost) -> None:
        """Remember a packet that is declared lost."""
        self.lost[lost.number] = lost
        if len(self.lost) > REMEMBERED_MAX:
            del self.lost[next(iter(self.lost))]

    def forget(self, now: float, rtt: float) -> None:
        """Forget what was lost long ago."""
        while self.lost:
            number, lost = next(iter(self.lost.items()))
            if lost.declared_at + REMEMBERED_FOR * rtt >= now:
                return
            del self.lost[number]

    def turn_up(self, lost: Lost, largest_acked: int) -> None:
        """Take word that a packet has arrived after all, and wait longer from now on.

        :param largest_acked: the largest packet number that had arrived before it.
        """
        del self.lost[lost.number]
        if lost.largest_acked - lost.number < self.packets:  # it was declared lost by the time
            self._step = min(self._step + 1, len(DELAYS) - 1)
        self.packets = max(self.packets, largest_acked - lost.number + 1)
