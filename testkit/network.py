"""The fate of datagrams on their way: delay, loss, reordering, duplication, a rate. No I/O.

Sizes and times go in, times of arrival come out. The same seed gives the same network. Tests of
links and the bench's simulated lines use it in virtual time. The forwarder, the laboratory's
router and the bench's line emulator use it in real time.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(slots=True)
class Direction:
    """The state of one direction of a network."""

    waits: list[tuple[float, float]] = field(default_factory=list)
    """For each datagram that was queued: when it came, and how many seconds it waited."""
    lost: int = 0
    """Datagrams lost on their way."""
    overflowed: int = 0
    """Datagrams that found the queue full."""
    free_at: float = 0.0
    """When the last queued datagram will have left."""
    last_arrival: float = 0.0
    """When the last datagram arrives, on a network that keeps the order."""
    still_lost: int = 0
    """Datagrams of the present burst of losses that are still to be lost."""

    def waits_since(self, start: float) -> list[float]:
        """Return the waits of datagrams that came after `start`, the shortest first."""
        return sorted(wait for at, wait in self.waits if at >= start)


@dataclass
class Network:
    """A network, the same in both directions. Times are in seconds. All fields may be changed."""

    delay: float = 0.01
    """The delay of one direction."""
    jitter: float = 0.0
    """The largest additional delay. Each datagram draws its own."""
    overtaking: bool = True
    """Whether a datagram that is late by jitter lets others overtake it."""
    loss: float = 0.0
    """The share of datagrams that are lost."""
    burst: int = 1
    """How many datagrams in a row each loss takes."""
    duplication: float = 0.0
    """The share of datagrams that arrive twice."""
    mtu: int = 65_535
    """The largest UDP payload that arrives."""
    rate: float | None = None
    """Bytes per second in each direction. None and 0 mean no limit."""
    queue: float = 0.1
    """The longest time in the queue in front of `rate`. Later datagrams are dropped."""
    overhead: int = 0
    """Bytes of headers that each datagram takes from the rate and the queue."""
    cut: bool = False
    """Whether the network is down: nothing arrives."""
    seed: int = 7

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self._directions: dict[object, Direction] = {}

    @property
    def dropped(self) -> int:
        """Datagrams that did not arrive, in all directions."""
        return sum(d.lost + d.overflowed for d in self._directions.values())

    def direction(self, key: object) -> Direction:
        """Return the state of the direction that callers of `arrivals` name by this key."""
        found = self._directions.get(key)
        if found is None:
            found = self._directions[key] = Direction()
        return found

    def arrivals(self, size: int, direction: object, now: float) -> list[float]:
        """Return when a datagram of `size` bytes sent now arrives: never, once or twice."""
        state = self.direction(direction)
        if self._is_lost(state) or self.cut or size > self.mtu:
            state.lost += 1
            return []
        leaves = self._departure(state, size + self.overhead, now)
        if leaves is None:
            state.overflowed += 1
            return []
        copies = 2 if self.random.random() < self.duplication else 1
        times = [leaves + self.delay + self.random.random() * self.jitter for _ in range(copies)]
        if not self.overtaking:
            for index, at in enumerate(times):
                times[index] = state.last_arrival = max(at, state.last_arrival)
        return times

    def _is_lost(self, state: Direction) -> bool:
        if state.still_lost:
            state.still_lost -= 1
            return True
        # The share of datagrams that begin a burst, so that `loss` is the share that is lost.
        begins = self.loss / (self.burst - self.loss * (self.burst - 1))
        if self.random.random() >= begins:
            return False
        state.still_lost = self.burst - 1
        return True

    def _departure(self, state: Direction, size: int, now: float) -> float | None:
        """Return when the datagram leaves the queue, or None if the queue is full."""
        if not self.rate:
            return now
        wait = max(0.0, state.free_at - now)
        sending = size / self.rate
        if wait + sending > self.queue:
            return None
        state.waits.append((now, wait))
        state.free_at = now + wait + sending
        return state.free_at
