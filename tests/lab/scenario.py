"""A scenario of the laboratory: traffic of every kind, an event, and the effect on the traffic.

Not a test. Bounds are for a quiet machine. Assertions leave room for a busy one.
"""

from __future__ import annotations

import time

from laboratory import PATIENCE, Laboratory

from testkit.netfilter import Protocol
from testkit.traffic import SIDES, RecordedConnection, Side

ECHOES = 20
"""Echo connections. The client leads half of them, the origin server the others."""

WARM_UP = 1.5
"""Seconds in which windows open and every connection carries data."""

BUSY_FACTOR, BUSY_SECONDS = 3.0, 1.0
"""The allowance for a busy machine: a multiple of the bound, plus seconds.

Several laboratories share two cores, which stretches the work. A feature that fails costs more than
this: the next ping comes after 5 s."""

SAMPLE = 0.5
"""Seconds in which arriving packets are counted."""

MANY = 40_000
"""Bytes that arrive in them on the path that carries the data, and on no other: a sixth of what the
slowest network here carries. Probes are less than a tenth of it."""

MIB = 1024 * 1024

GROWTH = 8 * MIB
"""Bytes by which a program may grow in an outage: the variation of an interpreter's heap."""


class Scenario:
    """A laboratory with traffic.

    :param event: the name of the event.
    """

    def __init__(self, lab: Laboratory, event: str) -> None:
        self.lab = lab
        self.figures = {
            "event": event,
            "engines": ":".join(lab.engines),
            "lost": 0,
            "seconds": {},
        }
        """The row of the report. `lost`: connections that should have survived. `seconds`: until
        the slowest connection had data again. Plain values, as they travel between processes."""

    @property
    def traffic(self):
        return self.lab.traffic

    def up(self, remote: tuple = (), origin: tuple = (), **environment: str) -> None:
        """Start both programs, and all traffic."""
        self.lab.start_remote(*remote)
        self.lab.start_origin(*origin, **environment)
        self.connect_clients()

    def connect_clients(self) -> None:
        """Connect all clients, and let data flow for a while."""
        for side in SIDES:
            self.traffic.open("echo", side, ECHOES // 2)
            self.traffic.open("bulk", side)
        self.traffic.let("echo", "bulk")
        self.wait_for_data(self.traffic.connections)
        time.sleep(WARM_UP)

    def wait_for_data(self, connections: list[RecordedConnection]) -> None:
        """Wait until data arrives on all of these connections."""
        seconds = self.traffic.seconds_until_data(time.monotonic(), connections, PATIENCE)
        assert max(seconds.values()) < PATIENCE, (seconds, self.lab.logs())

    def pause_traffic(self) -> None:
        """Stop the traffic, and wait until nothing is in flight."""
        self.traffic.let()
        before = -1
        while before != (
            before := sum(t.ends[s].received for t in self.traffic.connections for s in SIDES)
        ):
            time.sleep(0.5)

    def data_is_back(
        self,
        what: str,
        since: float,
        *,
        bound: float,
        of: list[RecordedConnection] | None = None,
        flushed_after: float = 0,
    ) -> None:
        """Assert how long after a time each connection had data again.

        :param flushed_after: seconds after that time in which data arrives that was sent before.
        """
        limit = allowed(bound)
        connections = self.traffic.connections if of is None else of
        waits = self.traffic.seconds_until_data(
            since + flushed_after, connections, limit + PATIENCE
        )
        seconds = {name: wait + flushed_after for name, wait in waits.items()}
        self.note(what, max(seconds.values()))
        slow = {name: round(s, 2) for name, s in seconds.items() if s > limit}
        assert not slow, f"{what}: later than {limit} s: {slow}\n{self.lab.logs()}"

    def carries_data(self, protocol: Protocol, what: str, since: float, *, bound: float) -> None:
        """Assert how long after a time the link's data travels by a protocol, and by no other.

        Probes and acknowledgements of the other protocol do not count.
        """
        limit = allowed(bound)
        others: list[Protocol] = ["udp", "tcp"]
        others.remove(protocol)
        while True:
            before = {name: self.lab.arrived(name) for name in (protocol, *others)}
            time.sleep(SAMPLE)
            came = {name: self.lab.arrived(name) - count for name, count in before.items()}
            now = time.monotonic()
            if came[protocol] > MANY > max(came[name] for name in others):
                break
            assert now - since < limit + PATIENCE, f"{what}: {came}\n{self.lab.logs()}"
        self.note(what, now - since)
        assert now - since <= limit, f"{what}: after {now - since} s\n{self.lab.logs()}"

    def new_clients_are_served(self, what: str, since: float, *, bound: float) -> None:
        """Connect clients, and assert how long after a time they have data."""
        for side in SIDES:
            self.traffic.open("echo", side)
        self.traffic.let("echo", "bulk")
        self.data_is_back(what, since, bound=bound)

    def are_reset(
        self,
        connections: list[RecordedConnection],
        side: Side,
        what: str,
        since: float,
        *,
        bound: float,
    ) -> None:
        """Assert how long after a time one side has seen resets of all these connections."""
        limit = allowed(bound)
        ends = [connection.ends[side] for connection in connections]
        over = self.traffic.wait_until(lambda: all(end.ending for end in ends), limit + PATIENCE)
        assert over, f"{what}: not within {limit + PATIENCE} s\n{self.lab.logs()}"
        assert {end.ending for end in ends} == {"reset"}, self.lab.logs()
        seconds = max(end.ended_at for end in ends) - since
        self.note(what, max(seconds, 0.0))
        assert seconds <= limit, f"{what}: after {seconds} s\n{self.lab.logs()}"

    def memory_at_rest(self) -> dict[str, int]:
        """Return the memory of both programs without traffic, in bytes."""
        self.pause_traffic()
        return self._memory()

    def has_not_grown(self, before: dict[str, int]) -> None:
        """Assert that neither program has grown since an earlier rest."""
        grown = self._growth(before, self.memory_at_rest(), "grew by MiB")
        assert max(grown.values()) < GROWTH, grown

    def holds_little(self, before: dict[str, int]) -> None:
        """Assert that neither program holds much more now, in an outage, than at an earlier rest.

        Data of clients and servers waits in it, up to the limits of their streams.
        """
        held = self._growth(before, self._memory(), "held MiB")
        assert max(held.values()) < GROWTH, held

    def _growth(self, before: dict[str, int], now: dict[str, int], what: str) -> dict[str, int]:
        grown = {name: size - before[name] for name, size in now.items()}
        for name, size in grown.items():
            self.note(f"{name} {what}", size / MIB)
        return grown

    def _memory(self) -> dict[str, int]:
        """Return the resident memory. The proportional one grows when other laboratories end."""
        programs = {"remote": self.lab.remote, "origin": self.lab.origin}
        return {name: program.resident_memory() for name, program in programs.items()}

    def note(self, what: str, seconds: float) -> None:
        """Add a figure to the report."""
        self.figures["seconds"][what] = seconds

    def nothing_is_lost(self) -> None:
        """Assert that all connections live; end them, and assert that every byte has arrived."""
        lost = self.traffic.lost()
        self.figures["lost"] += len(lost)
        assert not lost, f"{lost}\n{self.lab.logs()}"
        self.lab.change(rate=0)  # queued data is not to delay the end
        faults = self.traffic.finish(PATIENCE)
        self.figures["lost"] += len(faults)
        assert not faults, f"{faults}\n{self.lab.logs()}"


def allowed(bound: float) -> float:
    """Return the bound for a busy machine."""
    return bound * BUSY_FACTOR + BUSY_SECONDS
