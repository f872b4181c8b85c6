"""A line: how fast, how far, how lossy, with how long a queue; and what becomes of its datagrams.

Arithmetic only: sizes and times go in, times of arrival come out. As with the kernel's netem, a
datagram is lost before it takes its share of the rate, and none overtakes another unless asked to.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

HEADERS = 28
"""Bytes of IPv4 and UDP before each datagram: they take their share of the line, too."""

MBIT = 125_000
"""Bytes."""


@dataclass(frozen=True, slots=True)
class Line:
    """Facts of a line, the same both ways."""

    rate: float
    """Bytes a second, headers of IP and UDP among them."""
    rtt: float
    """Seconds there and back, with an empty queue."""
    jitter: float = 0.0
    """Seconds: up to so much later, each datagram for itself."""
    overtaking: bool = False
    """Whether one that comes later by jitter lets others pass."""
    loss: float = 0.0
    """The share of datagrams that is lost."""
    burst: int = 1
    """How many are lost at a time, one after the other."""
    queue: int = 256_000
    """Bytes that wait at most; what comes beyond them is dropped."""

    @property
    def bdp(self) -> float:
        """The bytes that the line holds when it is full and its queue empty."""
        return self.rate * self.rtt


@dataclass(slots=True)
class Waits:
    """How long datagrams have waited in a queue."""

    samples: list[tuple[float, float]] = field(default_factory=list)
    """When one came, and how many seconds it waited."""

    def since(self, start: float) -> list[float]:
        """Return the waits of those that came after `start`, the shortest first."""
        return sorted(wait for at, wait in self.samples if at >= start)


class Way:
    """One direction of a line.

    :param seed: the same dice each run.
    """

    def __init__(self, line: Line, seed: int) -> None:
        self.line = line
        """May be replaced: the line changes under those who use it."""
        self.waits = Waits()
        self.dropped = 0
        """Datagrams that found the queue full."""
        self.lost = 0
        """Datagrams lost on their way."""
        self._random = random.Random(seed)
        self._free_at = 0.0
        self._last_arrival = 0.0
        self._still_lost = 0

    def arrival(self, size: int, now: float) -> float | None:
        """Return when a packet of `size` bytes that is sent now arrives; None: never.

        :param size: with all its headers.
        """
        line = self.line
        if self._is_lost():
            self.lost += 1
            return None
        wait = max(0.0, self._free_at - now)
        if wait * line.rate + size > line.queue:
            self.dropped += 1
            return None
        self.waits.samples.append((now, wait))
        self._free_at = now + wait + size / line.rate
        arrival = self._free_at + line.rtt / 2
        if line.jitter:
            arrival += self._random.random() * line.jitter
            if not line.overtaking:
                arrival = self._last_arrival = max(arrival, self._last_arrival)
        return arrival

    def _is_lost(self) -> bool:
        if self._still_lost:
            self._still_lost -= 1
            return True
        line = self.line
        if not line.loss:
            return False
        # How often a burst begins, for the share that is lost to come out as it should.
        begins = line.loss / (line.burst - line.loss * (line.burst - 1))
        if self._random.random() >= begins:
            return False
        self._still_lost = line.burst - 1
        return True


class Lanes:
    """Both directions of a line, for any number of links that share it.

    It stands where `pair.Network` does, too: `arrivals` is what that one has.
    """

    def __init__(self, line: Line, *, seed: int = 7) -> None:
        self.seed = seed
        self._line = line
        self._ways: dict[object, Way] = {}

    def way(self, direction: object) -> Way:
        """Return one direction, whatever it is called."""
        way = self._ways.get(direction)
        if way is None:
            way = self._ways[direction] = Way(self._line, self.seed * 31 + len(self._ways))
        return way

    def change(self, line: Line) -> None:
        """Go on as another line; what is on its way arrives as it would have."""
        self._line = line
        for way in self._ways.values():
            way.line = line

    def arrivals(self, data: bytes, direction: object, now: float) -> list[float]:
        """Return when a UDP datagram that leaves now arrives: never, or once."""
        at = self.way(direction).arrival(len(data) + HEADERS, now)
        return [] if at is None else [at]
