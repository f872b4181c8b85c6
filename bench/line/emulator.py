"""A line between the kernels of two hosts, as a program of its own.

    python -m bench.line.emulator PID-OF-ONE-HOST PID-OF-THE-OTHER SEED LINE-AS-JSON

It holds the far ends of the hosts' network devices and delivers packets at the times that
`testkit.network` computes. Each line of standard input is a command, which is answered with a line
of JSON. The program ends with its standard input. It counts packets that it delivers too late.
"""

from __future__ import annotations

import contextlib
import gc
import heapq
import itertools
import json
import os
import select
import signal
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

from testkit.namespaces import open_tun, packets, write

if TYPE_CHECKING:
    from testkit.network import Direction, Network
from bench.line.line import Line

DEVICE = "line"
"""The name of the device on either host."""

LATE = 0.002
"""Seconds after its arrival time when a packet that is not delivered yet counts as late."""

GRAIN = 0.0002
"""The shortest time between two reads, in seconds. Packets in between are handled together, as
network cards do, because each read and each wake-up of a receiver costs time."""

FOREVER = float("inf")


class EmulatedDirection:
    """One direction: packets go in, and come out when they arrive. The caller passes in the time.

    :param name: the network's name for this direction.
    """

    def __init__(self, network: Network, name: str) -> None:
        self.network = network
        self.name = name
        self.passed = 0
        self.late = 0
        """How many of the packets that passed were delivered late."""
        self._numbers = itertools.count()
        self._in_flight: list[tuple[float, int, bytes]] = []

    @property
    def state(self) -> Direction:
        """The network's state of this direction."""
        return self.network.direction(self.name)

    def enter(self, came: list[bytes], since: float, now: float) -> None:
        """Put packets into the line that are seen now, and came at unknown times after `since`.

        The times are assumed to be spread evenly. A real line keeps working while the program that
        emulates it is suspended, but here it would look idle before and overfull afterwards. No
        packet arrives sooner than if it had come now.
        """
        soonest = now + self.network.delay
        for number, packet in enumerate(came, 1):
            at = since + (now - since) * number / len(came)
            for arrival in self.network.arrivals(len(packet), self.name, at):
                entry = (max(arrival, soonest), next(self._numbers), packet)
                heapq.heappush(self._in_flight, entry)

    def next_at(self) -> float:
        """Return when the next packet arrives."""
        return self._in_flight[0][0] if self._in_flight else FOREVER

    def leaving(self, now: float) -> list[bytes]:
        """Return the packets that have arrived, in their order."""
        in_flight = self._in_flight
        left = []
        while in_flight and in_flight[0][0] <= now:
            at, _, packet = heapq.heappop(in_flight)
            left.append(packet)
            if now - at > LATE:
                self.late += 1
        self.passed += len(left)
        return left


def unseen_since(looked_at: float, asked_at: float, wait: float, now: float) -> float:
    """Return the earliest time at which packets that are read now can have come.

    :param looked_at: the time of the previous read.
    :param asked_at: when select(2) was called.
    :param wait: the timeout of that call.
    """
    if now - asked_at < GRAIN or not wait:
        return looked_at  # they were there already, or came just now
    return min(asked_at + wait, now)  # the first packet ends the wait


class Emulator:
    """Both directions, from device to device.

    :param tuns: the far ends of the hosts' devices. Packets of the first go `up`.
    """

    def __init__(self, tuns: tuple[int, int], line: Line, seed: int) -> None:
        self._network = line.network(seed)
        self.up = EmulatedDirection(self._network, "up")
        self.down = EmulatedDirection(self._network, "down")
        self._into = {tuns[0]: self.up, tuns[1]: self.down}
        self._out = ((self.up, tuns[1]), (self.down, tuns[0]))
        self._looked_at = self._marked_at = time.monotonic()
        self._cpu_then = time.process_time()

    def run(self) -> None:
        """Forward until standard input ends.

        select(2) has a resolution of microseconds. A millisecond of epoll is several packets.
        """
        sources = [0, *self._into]
        while True:
            asked_at = time.monotonic()
            wait = max(min(self.up.next_at(), self.down.next_at()) - asked_at, 0.0)
            ready, _, _ = select.select(sources, [], [], None if wait == FOREVER else wait)
            now = time.monotonic()
            since = unseen_since(self._looked_at, asked_at, wait, now)
            self._looked_at = now
            for descriptor in ready:
                if direction := self._into.get(descriptor):
                    direction.enter(list(packets(descriptor)), since, now)
                elif (line := sys.stdin.readline()) == "":
                    return
                else:
                    print(json.dumps(self.execute(**json.loads(line))), flush=True)
            for direction, tun in self._out:
                for packet in direction.leaving(time.monotonic()):
                    write(tun, packet)
            time.sleep(GRAIN)

    def execute(
        self, *, line: dict[str, Any] | None = None, mark: bool = False
    ) -> dict[str, float]:
        """Execute a command; return the counts since the last mark.

        :param line: the properties of a line to turn into.
        :param mark: start counting anew.
        """
        found = self.found()
        if line is not None:
            Line(**line).apply(self._network)
        if mark:
            self._marked_at, self._cpu_then = time.monotonic(), time.process_time()
            for direction, _ in self._out:
                direction.passed = direction.late = 0
                direction.state.waits.clear()
        return found

    def found(self) -> dict[str, float]:
        """Return the counts. `queueing` (seconds), `dropped` and `lost` are of `up` alone."""
        waits = self.up.state.waits_since(0)
        passed = self.up.passed + self.down.passed
        took = time.monotonic() - self._marked_at
        return {
            "queueing": statistics.median(waits) if waits else 0.0,
            "dropped": self.up.state.overflowed,
            "lost": self.up.state.lost,
            "passed": passed,
            "late": (self.up.late + self.down.late) / max(passed, 1),
            "busy": (time.process_time() - self._cpu_then) / took,
        }


def main(one: str, other: str, seed: str, line: str) -> None:
    """Forward until standard input ends, with real-time priority if it is granted."""
    tuns = open_tun(DEVICE, int(one)), open_tun(DEVICE, int(other))
    emulator = Emulator(tuns, Line(**json.loads(line)), int(seed))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from a terminal: the bench ends this program
    with contextlib.suppress(PermissionError):  # in a container
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    gc.disable()
    print("ready", flush=True)
    emulator.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
