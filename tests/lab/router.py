"""The routers of the laboratory and what lies between them, as a program of its own. Not a test.

    python tests/lab/router.py PID-OF-THE-ORIGIN'S-HOST PID-OF-THE-REMOTE'S-HOST CONDITIONS-AS-JSON

It holds the far end of each host's uplinks (TUN devices). Between each of the origin's and the
remote's there is a way with a delay, a rate, and loss (`bench.soak.network`); IPv4 is translated
by a router of each uplink, IPv6 is not. Each line of standard input is a command, answered with
a line; it ends with its standard input.
"""

from __future__ import annotations

import heapq
import ipaddress
import itertools
import json
import select
import sys
import time
from dataclasses import dataclass, replace

from places import REMOTE, UPLINKS, Uplink
from translation import Translator

from bench.hosts import open_tun, packets, write
from bench.soak.network import Conditions, Network


@dataclass
class Way:
    """The way between an uplink of the origin's and the remote."""

    uplink: Uplink
    tun: int
    network: Network
    nat: Translator
    generation: int = 0
    """Grows when all that is under way is lost."""


class Router:
    """Passes packets on, when and if the networks have them arrive."""

    def __init__(self, origin: int, remote: int, conditions: Conditions) -> None:
        now = time.monotonic()
        self.is_dark = False
        self.remote = open_tun(REMOTE.name, remote)
        self.ways = {
            uplink.name: Way(
                uplink,
                open_tun(uplink.name, origin),
                Network(conditions, now),
                Translator(ipaddress.ip_address(uplink.outside).packed),
            )
            for uplink in UPLINKS
        }
        self.poll = select.epoll()
        self.sources = {way.tun: way for way in self.ways.values()}
        for descriptor in (0, self.remote, *self.sources):
            self.poll.register(descriptor, select.EPOLLIN)
        self._due: list[tuple[float, int, Way, int, int, bytes]] = []
        self._numbers = itertools.count()

    def run(self) -> None:
        """Pass on until there are no more commands."""
        while True:
            wait = max(self._due[0][0] - time.monotonic(), 0) if self._due else None
            for descriptor, _ in self.poll.poll(wait):
                if descriptor == self.remote:
                    self._from_remote()
                elif descriptor in self.sources:
                    self._from_origin(self.sources[descriptor])
                elif (line := sys.stdin.readline()) == "":
                    return
                else:
                    self._obey(**json.loads(line))
                    print("done", flush=True)
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                *_, way, generation, tun, packet = heapq.heappop(self._due)
                if generation == way.generation:
                    write(tun, packet)

    def _obey(
        self,
        *,
        dark: bool | None = None,
        lose: str | None = None,
        forget: str | None = None,
        conditions: dict | None = None,
    ) -> None:
        """Do what a line says.

        :param dark: whether nothing comes through from now on, whatever the uplink.
        :param lose: the uplink of which all that is under way is lost.
        :param forget: the uplink whose router forgets all senders, and what is under way.
        :param conditions: what else is to change of every way.
        """
        if dark is not None:
            self.is_dark = dark
            for way in self.ways.values():
                way.generation += 1
        if lose is not None:
            self.ways[lose].generation += 1
        if forget is not None:
            self.ways[forget].generation += 1
            self.ways[forget].nat.forget()
        if conditions is not None:
            for way in self.ways.values():
                way.network.conditions = replace(way.network.conditions, **conditions)

    def _from_origin(self, way: Way) -> None:
        for packet in packets(way.tun):
            leaving = way.nat.outwards(packet) if packet[0] >> 4 == 4 else packet
            if leaving is not None:
                self._carry(way, self.remote, "up", leaving)

    def _from_remote(self) -> None:
        for packet in packets(self.remote):
            for way in self.ways.values():
                if packet[0] >> 4 == 4:
                    coming = way.nat.inwards(packet)
                else:
                    coming = packet if packet[24:40] == way.uplink.packed6 else None
                if coming is not None:
                    self._carry(way, way.tun, "down", coming)

    def _carry(self, way: Way, tun: int, direction: str, packet: bytes) -> None:
        if self.is_dark:
            return
        for due in way.network.arrivals(len(packet), direction, time.monotonic()):
            entry = (due, next(self._numbers), way, way.generation, tun, packet)
            heapq.heappush(self._due, entry)


def main(origin: str, remote: str, conditions: str) -> None:
    """Pass on until standard input ends."""
    router = Router(int(origin), int(remote), Conditions(**json.loads(conditions)))
    print("ready", flush=True)
    router.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
