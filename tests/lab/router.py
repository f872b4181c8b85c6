"""The laboratory's routers and the network between them, as a program of its own. Not a test.

    python tests/lab/router.py PID-OF-THE-ORIGIN'S-HOST PID-OF-THE-REMOTE'S-HOST NETWORK-AS-JSON

It holds the far ends of the hosts' devices (TUN). Each of the origin's uplinks has its own network
towards the remote. A NAT router of each uplink translates IPv4. IPv6 is not translated. Each line
of standard input is a command, which is answered with a line about the packets seen. The program
ends with its standard input.
"""

from __future__ import annotations

import heapq
import itertools
import json
import random
import select
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from nat import UDP, NatTable, is_udp, rejection
from uplinks import REMOTE, UPLINKS, Uplink

from testkit.namespaces import open_tun, packets, write
from testkit.network import Network


@dataclass
class UplinkPath:
    """The path between one of the origin's uplinks and the remote."""

    uplink: Uplink
    tun: int
    network: Network
    nat: NatTable
    generation: int = 0
    """Increases when all packets in flight are lost."""
    rejects: bool = False
    """Whether the NAT router answers packets without a mapping, as a host with a closed port."""

    def rejected(self, packet: bytes) -> bytes | None:
        """Return the answer to an IPv4 packet that has no mapping, if there is one."""
        is_udp_for_us = packet[9] == UDP and packet[16:20] == self.uplink.outside_packed
        return rejection(packet) if self.rejects and is_udp_for_us else None


class Router:
    """Forwards packets, if and when they arrive by their network."""

    def __init__(self, origin: int, remote: int, properties: dict) -> None:
        self.is_dark = False
        self.udp_loss = 0.0
        """The share of UDP packets that are lost, in each direction."""
        self._random = random.Random(20)
        self.remote = open_tun(REMOTE.name, remote)
        self.paths = {
            uplink.name: UplinkPath(
                uplink,
                open_tun(uplink.name, origin),
                Network(**properties),
                NatTable(uplink.outside_packed),
            )
            for uplink in UPLINKS
        }
        self.poll = select.epoll()
        self.sources = {path.tun: path for path in self.paths.values()}
        for descriptor in (0, self.remote, *self.sources):
            self.poll.register(descriptor, select.EPOLLIN)
        self._due: list[tuple[float, int, UplinkPath, int, int, bytes]] = []
        self._numbers = itertools.count()
        self._seen = {"packets": 0, "latest": ""}
        """Of the packets from the remote: their number, and the latest in hex."""

    def run(self) -> None:
        """Forward until standard input ends."""
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
                    self._execute(**json.loads(line))
                    print(json.dumps(self._seen), flush=True)
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                *_, path, generation, tun, packet = heapq.heappop(self._due)
                if generation == path.generation:
                    write(tun, packet)

    def _execute(
        self,
        *,
        dark: bool | None = None,
        lose: str | None = None,
        rebind: str | None = None,
        network: dict | None = None,
        reject: bool | None = None,
        forge: Sequence[str] = (),
        udp_loss: float | None = None,
    ) -> None:
        """Execute a command.

        :param dark: whether all packets are dropped from now on.
        :param lose: the uplink whose packets in flight are lost.
        :param rebind: the uplink whose NAT router loses its mappings and the packets in flight.
        :param network: properties to change of every path's network.
        :param reject: whether all NAT routers answer packets without a mapping from now on.
        :param forge: packets, in hex, for the remote's host.
        :param udp_loss: the share of UDP packets, and of no others, that are lost from now on.
        """
        if dark is not None:
            self.is_dark = dark
            for path in self.paths.values():
                path.generation += 1
        if lose is not None:
            self.paths[lose].generation += 1
        if rebind is not None:
            self.paths[rebind].generation += 1
            self.paths[rebind].nat.clear()
        if udp_loss is not None:
            self.udp_loss = udp_loss
        if reject is not None:
            for path in self.paths.values():
                path.rejects = reject
        for packet in forge:
            write(self.remote, bytes.fromhex(packet))
        for name, value in (network or {}).items():
            for path in self.paths.values():
                setattr(path.network, name, value)

    def _from_origin(self, path: UplinkPath) -> None:
        for packet in packets(path.tun):
            leaving = path.nat.outwards(packet) if packet[0] >> 4 == 4 else packet
            if leaving is not None:
                self._forward(path, self.remote, "up", leaving)

    def _from_remote(self) -> None:
        for packet in packets(self.remote):
            self._seen = {"packets": self._seen["packets"] + 1, "latest": packet.hex()}
            for path in self.paths.values():
                if packet[0] >> 4 == 4:
                    coming = path.nat.inwards(packet)
                    answer = None if coming else path.rejected(packet)
                    if answer is not None:
                        self._forward(path, self.remote, "up", answer)
                else:
                    coming = packet if packet[24:40] == path.uplink.packed6 else None
                if coming is not None:
                    self._forward(path, path.tun, "down", coming)

    def _forward(self, path: UplinkPath, tun: int, direction: str, packet: bytes) -> None:
        if self.is_dark or (is_udp(packet) and self._random.random() < self.udp_loss):
            return
        for due in path.network.arrivals(len(packet), direction, time.monotonic()):
            entry = (due, next(self._numbers), path, path.generation, tun, packet)
            heapq.heappush(self._due, entry)


def main(origin: str, remote: str, network: str) -> None:
    """Forward until standard input ends."""
    router = Router(int(origin), int(remote), json.loads(network))
    print("ready", flush=True)
    router.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
