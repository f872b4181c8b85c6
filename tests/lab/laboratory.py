"""The laboratory: an origin's host with two uplinks, a remote's host, a network between. No test.

    origin's host ── wifi ──── router (NAT) ──┐
        │                                     ├── net ── remote's host
        └────────── mobile ─── router (NAT) ──┘

The programs are the installed ones. Methods that repair the network return the time of the repair.
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from uplinks import (
    IPV6_NAME,
    LINK_PORT,
    OUTSIDE_PORT,
    PROXY_PORT,
    REMOTE,
    REMOTE_NAME,
    SERVER_PORT,
    WEBSOCKET_PORT,
    WIFI,
    Uplink,
)

from testkit.attacker.program import start_attacker, stop_attacker
from testkit.namespaces import NamespaceHost
from testkit.netfilter import Netfilter, Protocol
from testkit.network import Network
from testkit.programs import PYTHON
from testkit.traffic import RecordedTraffic
from testkit.tunnel import LOOPBACK, Tunnel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testkit.programs import Program

HERE = Path(__file__).parent

HOME = Network(delay=0.015, overtaking=False, rate=500_000)
"""A round trip of 30 ms, and half a megabyte per second in each direction."""

PATIENCE = 60
"""Seconds after which a wait without a bound of its own has failed."""

SOCKET_BUFFER = 128 * 1024
"""Bytes of each socket buffer: small, so that what is buffered at the end has soon passed."""


class Laboratory:
    """Hosts, network, programs and traffic. Use `with`.

    :param engines: those of the origin and of the remote.
    """

    def __init__(self, scratch: Path, engines: tuple[str, str]) -> None:
        self.scratch = scratch
        self.engines = engines
        with contextlib.ExitStack() as stack:
            names = {
                REMOTE_NAME: [REMOTE.address4, REMOTE.address6],
                IPV6_NAME: [REMOTE.address6],
            }
            self.origin_host = NamespaceHost("origin", names, scratch)
            stack.callback(self.origin_host.end)
            self.remote_host = NamespaceHost("remote", names, scratch)
            stack.callback(self.remote_host.end)
            ends = str(self.origin_host.pid), str(self.remote_host.pid)
            self._router = subprocess.Popen(
                [sys.executable, HERE / "router.py", *ends, json.dumps(asdict(HOME))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.callback(self._router.communicate)
            assert self._router.stdout.readline() == "ready\n"
            self.remote_host.ip(*REMOTE.rise(), *REMOTE.join(4), *REMOTE.join(6))
            self.join(WIFI)
            server = with_small_buffers(self.origin_host.socket())
            server.bind((LOOPBACK, SERVER_PORT))
            server.listen(64)
            self.traffic = RecordedTraffic(server, self._client_socket, (LOOPBACK, OUTSIDE_PORT))
            stack.callback(self.traffic.close)
            self.tunnel = stack.enter_context(
                Tunnel(
                    scratch,
                    engines,
                    server=f"{LOOPBACK}:{SERVER_PORT}",
                    listen=f"[::]:{LINK_PORT}",
                    outside=f"[::]:{OUTSIDE_PORT}",
                    remote_name=REMOTE_NAME,
                    remote_host=self.remote_host,
                    origin_host=self.origin_host,
                )
            )
            self._netfilters: list[Netfilter] = []
            self._stack = stack.pop_all()

    def __enter__(self) -> Laboratory:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _client_socket(self) -> socket.socket:
        return with_small_buffers(self.remote_host.socket())

    # The network

    def join(self, uplink: Uplink, *families: int) -> float:
        """Give the origin's host an address and a route on an uplink, for IPv4 by default."""
        lines = [line for family in families or (4,) for line in uplink.join(family)]
        self.origin_host.ip(*uplink.rise(), *lines)
        return time.monotonic()

    def leave(self, uplink: Uplink) -> None:
        """Take an uplink down, with its address, its routes and all packets in flight."""
        self.origin_host.ip(*uplink.leave())
        self._command(lose=uplink.name)

    def darken(self) -> None:
        """Drop all packets from now on. No host is notified."""
        self._command(dark=True)

    def lighten(self) -> float:
        """Forward packets again."""
        self._command(dark=False)
        return time.monotonic()

    def rebind_senders(self, uplink: Uplink = WIFI) -> float:
        """Let a NAT router forget its mappings, so that all senders get other ports."""
        self._command(rebind=uplink.name)
        return time.monotonic()

    def use_ipv6(self) -> None:
        """Leave only IPv6 between the hosts. The routers do not translate TCP over IPv4."""
        self.leave(WIFI)
        self.join(WIFI, 6)

    def put_up_firewall(self) -> None:
        """Let `drop` and `arrived` work from now on."""
        ports: dict[Protocol, int] = {"udp": LINK_PORT, "tcp": WEBSOCKET_PORT}
        self._netfilters = [Netfilter(host, ports) for host in (self.origin_host, self.remote_host)]

    def drop(self, *protocols: Protocol) -> float:
        """Drop a link's packets of these protocols, and of no others, in both directions."""
        for netfilter in self._netfilters:
            netfilter.drop(*protocols)
        return time.monotonic()

    def arrived(self, protocol: Protocol) -> int:
        """Return how many bytes of a link's packets of a protocol have arrived at its two ends."""
        return sum(netfilter.arrived()[protocol] for netfilter in self._netfilters)

    def lose_udp(self, share: float) -> None:
        """Drop this share of UDP packets, and no others, in each direction."""
        self._command(udp_loss=share)

    def change(self, **properties: float) -> None:
        """Change properties of the network on every uplink."""
        self._command(network=properties)

    def reject_strangers(self) -> None:
        """Let NAT routers answer packets without a mapping with an ICMP port unreachable."""
        self._command(reject=True)

    def forge(self, *packets: bytes) -> None:
        """Let forged packets arrive at the remote's host."""
        self._command(forge=[packet.hex() for packet in packets])

    def packets_of_remote(self) -> tuple[int, bytes]:
        """Return the number of packets that the remote's host has sent, and the latest one."""
        seen = self._command()
        return seen["packets"], bytes.fromhex(seen["latest"])

    def _command(self, **command: object) -> dict:
        """Execute a command, and return what the router has seen."""
        print(json.dumps(command), file=self._router.stdin, flush=True)
        return json.loads(self._router.stdout.readline())

    def put_clients_far_away(self) -> None:
        """Let clients connect over the network from now on, from the origin's host."""
        self.origin_host.ip(*WIFI.join(6))
        self.traffic.connect_from(self._far_socket, (REMOTE.address6, OUTSIDE_PORT))

    def _far_socket(self) -> socket.socket:
        return with_small_buffers(self.origin_host.socket(socket.AF_INET6))

    def lose_far_clients(self) -> float:
        """Let these clients vanish: their host no longer has their address."""
        self.origin_host.ip(f"address del {WIFI.address6}/64 dev {WIFI.name}")
        return time.monotonic()

    # The programs

    @property
    def remote(self) -> Program:
        """The remote that was started last."""
        return self.tunnel.remote

    @property
    def origin(self) -> Program:
        """The origin that was started last."""
        return self.tunnel.origin

    def start_remote(self, *options: object) -> Program:
        """Start a remote, and wait until it is ready."""
        self.tunnel.start_remote(*options)
        return self.tunnel.wait_for_remote()

    def start_origin(self, *options: object, **environment: str) -> Program:
        """Start an origin, and wait until it is ready."""
        self.tunnel.start_origin(*options, **environment)
        return self.tunnel.wait_for_origin()

    def start_proxy(self) -> Program:
        """Start an HTTP proxy on the remote's host, and wait until it is ready."""
        address = f"[{REMOTE.address6}]:{PROXY_PORT}"
        command = self.remote_host.command(PYTHON, "-m", "testkit.connect_proxy", address)
        proxy = self.tunnel.programs.start("proxy", *command)
        proxy.wait_until_ready()
        return proxy

    def kill(self, program: Program) -> float:
        """Kill a program; return when it was dead."""
        program.kill()
        return time.monotonic()

    @contextlib.contextmanager
    def stopped(self, program: Program) -> Iterator[None]:
        """Stop a program with SIGSTOP, and continue it at the end."""
        program.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            program.signal(signal.SIGCONT)

    @contextlib.contextmanager
    def attacked(self, attack: str, megabits: float) -> Iterator[None]:
        """Attack the remote for a while, from a host with a line of its own to the remote's."""
        host = NamespaceHost("attacker", {}, self.scratch)
        try:
            attacker = start_attacker(
                self.tunnel.programs,
                host,
                attack,
                remote_host=self.remote_host,
                remote=f"{REMOTE.address4}:{LINK_PORT}",
                origin=WIFI.outside,
                megabits=megabits,
            )
            try:
                yield
            finally:
                stop_attacker(attacker)
        finally:
            host.end()

    def logs(self) -> str:
        """Return the logs of all programs, for the message of a failure."""
        return "\n".join(
            f"--- {log.name}\n{log.read_text()}" for log in sorted(self.scratch.glob("*.log"))
        )


def with_small_buffers(sock: socket.socket) -> socket.socket:
    """Make a socket's buffers small, and return it."""
    for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, buffer, SOCKET_BUFFER)
    return sock
