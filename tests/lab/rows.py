"""A row of the laboratory's table: traffic of every kind, something happens, what came of it.

Not a test. Bounds are those of a quiet machine; what is asserted leaves room for a busy one.
"""

from __future__ import annotations

import time

from laboratory import PATIENCE, Laboratory
from traffic import SIDES, Side, Talk

ECHOES = 20
"""Half of them led by the client, half by the origin server."""

WARM_UP = 1.5
"""Seconds in which windows open and everybody has talked."""

BUSY = 3.0, 1.0
"""What a busy machine is given: so many times the bound, and so many seconds more. Two cores that
are shared by several laboratories at a time stretch what is work; what a feature that failed would
cost (the next ping after 5 s, the next try of a router's mapping) is more than that."""

MIB = 1024 * 1024

GROWTH = 8 * MIB
"""Bytes that a program may hold more after an outage: what an interpreter's heap varies by."""


class Row:
    """A laboratory with traffic in it.

    :param event: what happens, in words.
    """

    def __init__(self, lab: Laboratory, event: str) -> None:
        self.lab = lab
        self.figures = {
            "event": event,
            "engines": ":".join(lab.engines),
            "lost": 0,
            "seconds": {},
        }
        """What is told of it: plain values, as they travel between processes. `lost`: streams that
        the event should not have cost; `seconds`: until the slowest stream had data again."""

    @property
    def traffic(self):
        return self.lab.traffic

    def up(self, remote: tuple = (), origin: tuple = (), **environment: str) -> None:
        """Start both programs, and all traffic."""
        self.lab.start_remote(*remote)
        self.lab.start_origin(*origin, **environment)
        self.come()

    def come(self) -> None:
        """Have all clients come, and talk for a while."""
        for side in SIDES:
            self.traffic.open("echo", side, ECHOES // 2)
            self.traffic.open("bulk", side)
        self.traffic.let("echo", "bulk")
        self.flows(self.traffic.talks)
        time.sleep(WARM_UP)

    def flows(self, talks: list[Talk]) -> None:
        """Wait until there is data on all of these."""
        seconds = self.traffic.seconds_until_data(time.monotonic(), talks, PATIENCE)
        assert max(seconds.values()) < PATIENCE, (seconds, self.lab.logs())

    def hush(self) -> None:
        """Wait until nobody has anything under way."""
        self.traffic.let()
        before = -1
        while before != (before := sum(t.ends[s].heard for t in self.traffic.talks for s in SIDES)):
            time.sleep(0.5)

    def data_is_back(
        self, what: str, since: float, *, bound: float, of: list[Talk] | None = None
    ) -> None:
        """Measure and judge how long after a time each stream had data again."""
        limit = allowed(bound)
        talks = self.traffic.talks if of is None else of
        seconds = self.traffic.seconds_until_data(since, talks, limit + PATIENCE)
        self.note(what, max(seconds.values()))
        slow = {name: round(s, 2) for name, s in seconds.items() if s > limit}
        assert not slow, f"{what}: later than {limit} s: {slow}\n{self.lab.logs()}"

    def new_clients_are_served(self, what: str, since: float, *, bound: float) -> None:
        """Have clients come, and measure how long after a time they have data."""
        for side in SIDES:
            self.traffic.open("echo", side)
        self.traffic.let("echo", "bulk")
        self.data_is_back(what, since, bound=bound)

    def are_reset(
        self, talks: list[Talk], side: Side, what: str, since: float, *, bound: float
    ) -> None:
        """Measure and judge how long after a time one side saw all of these reset."""
        limit = allowed(bound)
        ends = [talk.ends[side] for talk in talks]
        over = self.traffic.wait_until(lambda: all(end.ending for end in ends), limit + PATIENCE)
        assert over, f"{what}: not within {limit + PATIENCE} s\n{self.lab.logs()}"
        assert {end.ending for end in ends} == {"reset"}, self.lab.logs()
        seconds = max(end.ended_at for end in ends) - since
        self.note(what, max(seconds, 0.0))
        assert seconds <= limit, f"{what}: after {seconds} s\n{self.lab.logs()}"

    def memory_at_rest(self) -> dict[str, int]:
        """Return the bytes that the programs hold while nobody talks."""
        self.hush()
        return {
            name: program.memory()
            for name, program in (("remote", self.lab.remote), ("origin", self.lab.origin))
        }

    def has_not_grown(self, before: dict[str, int]) -> None:
        """Judge what the programs hold now by what they held at another rest."""
        grown = {name: held - before[name] for name, held in self.memory_at_rest().items()}
        for name, much in grown.items():
            self.note(f"{name} grew by MiB", much / MIB)
        assert max(grown.values()) < GROWTH, grown

    def note(self, what: str, seconds: float) -> None:
        """Keep a figure for the table."""
        self.figures["seconds"][what] = seconds

    def nothing_is_lost(self) -> None:
        """Have all connections end in order; every byte must have come."""
        lost = self.traffic.lost()
        self.figures["lost"] += len(lost)
        assert not lost, f"{lost}\n{self.lab.logs()}"
        self.lab.change(rate=0)  # what has gathered is not to keep us
        faults = self.traffic.finish(PATIENCE)
        self.figures["lost"] += len(faults)
        assert not faults, f"{faults}\n{self.lab.logs()}"


def allowed(bound: float) -> float:
    """Return how many seconds may be taken for what takes `bound` at most on a quiet machine."""
    factor, plus = BUSY
    return bound * factor + plus
