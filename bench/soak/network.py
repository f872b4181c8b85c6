"""What a bad network does to datagrams, by dice that are the same each run. No sockets here.

Fair and foul weather take turns, so that windows open before something is lost. In fair weather
there is delay and a rate; in foul weather also loss (single datagrams and whole runs of them),
some overtake others, some come twice. In any weather all may go dark for a while, and the router
may forget a sender and give it another port.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

SHORTEST_OUTAGE = 0.1
"""Seconds."""

OVERTAKEN_BY = 0.02
"""Seconds that a datagram comes late at most, when others overtake it."""


@dataclass(frozen=True)
class Conditions:
    """How bad it is. Times in seconds, shares of 1, one way; 0 has none of it."""

    delay: float = 0.01
    jitter: float = 0.005
    """Up to so much more; nobody overtakes by it."""
    loss: float = 0.02
    runs: float = 0.0005
    """The share of datagrams with which a run of lost ones begins."""
    run: int = 20
    """Datagrams in such a run, at most."""
    overtaken: float = 0.01
    twice: float = 0.01
    rate: float = 12_500_000
    """Bytes a second each way; 0 has no limit."""
    queue: float = 0.05
    """Seconds of queue before that rate; what comes then is lost."""
    spell: float = 5
    """The mean length of fair and of foul weather; 0: always foul."""
    outages: float = 20
    """The mean time between two outages."""
    outage: float = 4
    """The longest outage."""
    rebindings: float = 15
    """The mean time between two changes of the senders' ports."""
    seed: int = 1


class Network:
    """Tells when a datagram arrives. Time is a number that is passed in, and only grows."""

    def __init__(self, conditions: Conditions, now: float) -> None:
        self.conditions = conditions
        self.done: Counter[str] = Counter()
        """What it has done so far, by name."""
        self._dice = random.Random(conditions.seed)
        self._is_foul = not conditions.spell
        self._turns_at = self._in_about(conditions.spell, now)
        self._dark_at = self._in_about(conditions.outages, now)
        self._light_at = now
        self._rebind_at = self._in_about(conditions.rebindings, now)
        self._run: Counter[str] = Counter()
        """Datagrams of each way yet to be lost in a run."""
        self._free_at: dict[str, float] = {}
        self._last_at: dict[str, float] = {}

    def arrivals(self, size: int, way: str, now: float) -> list[float]:
        """Return when a datagram that leaves now arrives: never, once or twice."""
        self._look_up(now)
        if now < self._light_at:
            return self._never("lost in outages")
        if self._is_foul and self._is_lost(way):
            return self._never("lost in foul weather")
        leaves = self._leaves_at(size, way, now)
        if leaves is None:
            return self._never("lost in a full queue")
        self.done["passed on"] += 1
        here = self.conditions
        due = leaves + here.delay + self._dice.random() * here.jitter
        due = max(due, self._last_at.get(way, 0))
        if self._is_foul and self._dice.random() < here.overtaken:
            self.done["overtaken"] += 1
            return [due + self._dice.random() * OVERTAKEN_BY]
        self._last_at[way] = due
        if self._is_foul and self._dice.random() < here.twice:
            self.done["came twice"] += 1
            return [due, due + self._dice.random() * OVERTAKEN_BY]
        return [due]

    def forgets_senders(self, now: float) -> bool:
        """Return whether the senders get other ports now; once each time."""
        if now < self._rebind_at:
            return False
        self.done["rebindings"] += 1
        self._rebind_at = self._in_about(self.conditions.rebindings, now)
        return True

    def _look_up(self, now: float) -> None:
        if now >= self._turns_at:
            self._is_foul = not self._is_foul
            self._turns_at = self._in_about(self.conditions.spell, now)
        if now >= self._dark_at:
            self.done["outages"] += 1
            longest = max(self.conditions.outage, SHORTEST_OUTAGE)
            self._light_at = now + self._dice.uniform(SHORTEST_OUTAGE, longest)
            self._dark_at = self._in_about(self.conditions.outages, self._light_at)

    def _is_lost(self, way: str) -> bool:
        if self._run[way]:
            self._run[way] -= 1
            return True
        if self._dice.random() < self.conditions.runs:
            self._run[way] = self._dice.randint(1, self.conditions.run) - 1
            return True
        return self._dice.random() < self.conditions.loss

    def _leaves_at(self, size: int, way: str, now: float) -> float | None:
        if not self.conditions.rate:
            return now
        free_at = max(now, self._free_at.get(way, now))
        if free_at - now > self.conditions.queue:
            return None
        self._free_at[way] = free_at + size / self.conditions.rate
        return self._free_at[way]

    def _in_about(self, seconds: float, now: float) -> float:
        return now + self._dice.expovariate(1 / seconds) if seconds else float("inf")

    def _never(self, why: str) -> list[float]:
        self.done[why] += 1
        return []
