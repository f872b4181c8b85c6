"""A network whose conditions change: fair and foul weather, outages, NAT rebindings. No I/O.

Fair and foul spells alternate, so that windows open before datagrams are lost. Fair weather has a
delay and a rate. Foul weather also loses datagrams (single ones and runs), reorders some, and
duplicates some. Outages and rebindings happen in any weather.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from testkit.network import Network

SHORTEST_OUTAGE = 0.1
"""The shortest outage, in seconds."""

OVERTAKEN_BY = 0.02
"""The largest additional delay of a datagram that others overtake, in seconds."""


@dataclass(frozen=True)
class Conditions:
    """How bad the weather is, in one direction. Times in seconds, shares of 1. 0 means none."""

    delay: float = 0.01
    jitter: float = 0.005
    """The largest additional delay. It does not reorder."""
    loss: float = 0.02
    runs: float = 0.0005
    """The share of datagrams that begin a run of losses."""
    run: int = 20
    """The most datagrams in such a run."""
    overtaken: float = 0.01
    """The share of datagrams that others overtake."""
    twice: float = 0.01
    """The share of datagrams that arrive twice."""
    rate: float = 12_500_000
    """Bytes per second in each direction."""
    queue: float = 0.05
    """Seconds of queue in front of that rate. Later datagrams are dropped."""
    spell: float = 5
    """The mean length of a spell of fair or foul weather. 0: always foul."""
    outages: float = 20
    """The mean time between two outages."""
    outage: float = 4
    """The longest outage."""
    rebindings: float = 15
    """The mean time between two changes of the senders' ports."""
    seed: int = 1


class Weather:
    """Decides when datagrams arrive. The caller passes in the time, which only grows."""

    def __init__(self, conditions: Conditions, now: float) -> None:
        self.conditions = conditions
        self.done: Counter[str] = Counter()
        """How often each thing has happened, by name."""
        self._network = Network(
            delay=conditions.delay,
            jitter=conditions.jitter,
            overtaking=False,
            rate=conditions.rate,
            queue=conditions.queue,
            seed=conditions.seed,
        )
        self._random = self._network.random
        self._set_foul(not conditions.spell)
        self._turns_at = self._in_about(conditions.spell, now)
        self._outage_at = self._in_about(conditions.outages, now)
        self._outage_ends_at = now
        self._rebind_at = self._in_about(conditions.rebindings, now)
        self._run: Counter[object] = Counter()
        """Datagrams of the present run that are still to be lost, for each direction."""

    def arrivals(self, size: int, direction: object, now: float) -> list[float]:
        """Return when a datagram that leaves now arrives: never, once or twice."""
        self._advance(now)
        if now < self._outage_ends_at:
            return self._never("lost in outages")
        if self._is_foul and self._is_in_run(direction):
            return self._never("lost in foul weather")
        state = self._network.direction(direction)
        overflowed = state.overflowed
        times = self._network.arrivals(size, direction, now)
        if not times:
            was_full = state.overflowed > overflowed
            return self._never("lost in a full queue" if was_full else "lost in foul weather")
        self.done["passed on"] += 1
        self.done["came twice"] += len(times) > 1
        if self._is_foul and self._random.random() < self.conditions.overtaken:
            self.done["overtaken"] += 1
            times[-1] += self._random.random() * OVERTAKEN_BY
        return times

    def rebinds(self, now: float) -> bool:
        """Return whether the NAT router gives the senders other ports now."""
        if now < self._rebind_at:
            return False
        self.done["rebindings"] += 1
        self._rebind_at = self._in_about(self.conditions.rebindings, now)
        return True

    def _advance(self, now: float) -> None:
        if now >= self._turns_at:
            self._set_foul(not self._is_foul)
            self._turns_at = self._in_about(self.conditions.spell, now)
        if now >= self._outage_at:
            self.done["outages"] += 1
            longest = max(self.conditions.outage, SHORTEST_OUTAGE)
            self._outage_ends_at = now + self._random.uniform(SHORTEST_OUTAGE, longest)
            self._outage_at = self._in_about(self.conditions.outages, self._outage_ends_at)

    def _set_foul(self, is_foul: bool) -> None:
        self._is_foul = is_foul
        self._network.loss = self.conditions.loss if is_foul else 0
        self._network.duplication = self.conditions.twice if is_foul else 0

    def _is_in_run(self, direction: object) -> bool:
        if self._run[direction]:
            self._run[direction] -= 1
            return True
        if self._random.random() < self.conditions.runs:
            self._run[direction] = self._random.randint(1, self.conditions.run) - 1
            return True
        return False

    def _in_about(self, seconds: float, now: float) -> float:
        return now + self._random.expovariate(1 / seconds) if seconds else float("inf")

    def _never(self, why: str) -> list[float]:
        self.done[why] += 1
        return []
