"""The hosts and programs of a measurement. Needs Linux and root.

    honest origin's host (198.51.100.1) ──┐
                                          ├── switch ── remote's host (192.0.2.1) ── attacker
    newcomer's host (203.0.113.1 ...) ────┘

All clients are on the remote's host. The attacker's line is a device of its own on that host.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING

from testkit.attacker.program import start_attacker
from testkit.namespaces import NamespaceHost
from testkit.programs import PYTHON, Program, ProgramError, Programs
from testkit.switch import DEVICE
from testkit.tunnel import LOOPBACK, Tunnel

if TYPE_CHECKING:
    from pathlib import Path

REMOTE, ORIGIN = "192.0.2.1", "198.51.100.1"
"""The addresses of the remote and of the honest origin."""

NEWCOMERS = "203.0.113"
"""The network of origins that start during an attack."""

LINK_PORT, OUTSIDE_PORT = 9001, 9000

PORTS = "2000-2999"
"""The ports that newcomers may ask for."""

DELAY = 0.005
"""Seconds that packets between the honest hosts take."""


class AttackSite:
    """A remote with an honest origin. Use `with`.

    :param engine: the engine of the remote and of all origins.
    """

    def __init__(self, engine: str, scratch: Path) -> None:
        self.engine = engine
        with contextlib.ExitStack() as stack:
            self.remote_host = _host("remote", scratch, stack)
            self.origin_host = _host("origin", scratch, stack)
            self.newcomer_host = _host("newcomer", scratch, stack)
            self._attacker_host = _host("attacker", scratch, stack)
            networks = {
                REMOTE.rpartition(".")[0]: self.remote_host,
                ORIGIN.rpartition(".")[0]: self.origin_host,
                NEWCOMERS: self.newcomer_host,
            }
            words = [f"{network}={host.pid}" for network, host in networks.items()]
            pipe = subprocess.PIPE
            command = [sys.executable, "-m", "testkit.switch", DELAY, *words]
            switch = subprocess.Popen(list(map(str, command)), stdin=pipe, stdout=pipe, text=True)
            stack.callback(switch.communicate)
            assert switch.stdout is not None
            if switch.stdout.readline() != "ready\n":
                raise ProgramError("the switch has ended")
            self.remote_host.ip(
                *_device(REMOTE),
                f"route add {ORIGIN}/24 dev {DEVICE}".replace(".1/24", ".0/24"),
                f"route add {NEWCOMERS}.0/24 dev {DEVICE}",
            )
            self.origin_host.ip(*_device(ORIGIN), f"route add default dev {DEVICE}")
            self.programs = Programs(scratch)
            stack.callback(self.programs.stop)
            server = self.programs.start(
                "server", *self.origin_host.command(PYTHON, "-m", "bench.server", LOOPBACK)
            )
            self.tunnel = stack.enter_context(
                Tunnel(
                    scratch / "tunnel",
                    (engine, engine),
                    server=server.wait_until_ready().partition(": ")[2],
                    listen=f"0.0.0.0:{LINK_PORT}",
                    outside=f"{LOOPBACK}:{OUTSIDE_PORT}",
                    remote_name=REMOTE,
                    remote_host=self.remote_host,
                    origin_host=self.origin_host,
                )
            )
            self.tunnel.up(remote=("--ports", PORTS))
            self._stack = stack.pop_all()

    def __enter__(self) -> AttackSite:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def remote(self) -> Program:
        """The remote."""
        return self.tunnel.remote

    @property
    def outside(self) -> tuple[str, int]:
        """The address for clients, on the remote's host."""
        return LOOPBACK, OUTSIDE_PORT

    def start_attacker(self, attack: str) -> Program:
        """Start an attack, and wait until it has begun."""
        return start_attacker(
            self.programs,
            self._attacker_host,
            attack,
            remote_host=self.remote_host,
            remote=f"{REMOTE}:{LINK_PORT}",
            origin=ORIGIN,
        )


def _host(name: str, scratch: Path, stack: contextlib.ExitStack) -> NamespaceHost:
    host = NamespaceHost(name, {}, scratch)
    stack.callback(host.end)
    return host


def _device(address: str) -> list[str]:
    return [
        f"link set dev {DEVICE} addrgenmode none",
        f"link set dev {DEVICE} txqueuelen 10000 up",
        f"address add {address}/32 dev {DEVICE}",
    ]
