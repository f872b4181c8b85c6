"""The laboratory: an origin's host with two uplinks, a remote's host, the network between. No test.

    origin's host ── wifi ──── router (NAT) ──┐
        │                                     ├── net ── remote's host
        └────────── mobile ─── router (NAT) ──┘

The programs are those installed. All that is done to the network is done here, and says when.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from places import LINK_PORT, OUTSIDE_PORT, REMOTE, REMOTE_NAME, SERVER_PORT, WIFI, Uplink
from traffic import Traffic

from bench.hosts import Host
from bench.processes import Program, running, started
from bench.soak.network import Conditions
from quictunnel.config.tokens import Token

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
QUICTUNNEL = Path(sys.executable).with_name("quictunnel")

LOOPBACK = "127.0.0.1"

ORDINARY = Conditions(
    delay=0.015,
    jitter=0,
    loss=0,
    runs=0,
    overtaken=0,
    twice=0,
    rate=500_000,
    queue=0.1,
    spell=0,
    outages=0,
    rebindings=0,
)
"""Of either way: a round trip of 30 ms, and half a megabyte a second each way."""

PATIENCE = 60
"""Seconds after which a wait that has no bound of its own has failed."""

LOOK_AGAIN = 0.02

SOCKET_BUFFER = 128 * 1024
"""Bytes: little, so that what waits there has soon passed at the end."""


class Laboratory:
    """Hosts, network, programs, traffic. Use `with`.

    :param engines: the origin's and the remote's.
    :param conditions: of the network, both uplinks.
    """

    def __init__(
        self, scratch: Path, engines: tuple[str, str], conditions: Conditions = ORDINARY
    ) -> None:
        self.scratch = scratch
        self.engines = engines
        self.token = Token.new()
        self.remote: Program
        self.origin: Program
        self._stack = contextlib.ExitStack()
        self._starts = 0
        with contextlib.ExitStack() as stack:
            remote_name = {REMOTE_NAME: [REMOTE.address4, REMOTE.address6]}
            self.origin_host = Host("origin", remote_name, scratch)
            stack.callback(self.origin_host.end)
            self.remote_host = Host("remote", {}, scratch)
            stack.callback(self.remote_host.end)
            ends = str(self.origin_host.pid), str(self.remote_host.pid)
            self._router = subprocess.Popen(
                [sys.executable, HERE / "router.py", *ends, json.dumps(asdict(conditions))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.callback(self._router.communicate)
            assert self._router.stdout.readline() == "ready\n"
            self.remote_host.ip(*REMOTE.rise(), *REMOTE.join(4), *REMOTE.join(6))
            self.join(WIFI)
            server = small(self.origin_host.socket())
            server.bind((LOOPBACK, SERVER_PORT))
            server.listen(64)
            self.traffic = Traffic(server, self._client, (LOOPBACK, OUTSIDE_PORT))
            stack.callback(self.traffic.close)
            self._stack = stack.pop_all()

    def __enter__(self) -> Laboratory:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _client(self) -> socket.socket:
        return small(self.remote_host.socket())

    # The network. What makes it good again returns when that was.

    def join(self, uplink: Uplink, *families: int) -> float:
        """Give the origin's host an address there and a route (IPv4 if nothing is said)."""
        lines = [line for family in families or (4,) for line in uplink.join(family)]
        self.origin_host.ip(*uplink.rise(), *lines)
        return time.monotonic()

    def leave(self, uplink: Uplink) -> None:
        """Take an uplink away, with its address, its routes, and all that is under way there."""
        self.origin_host.ip(*uplink.leave())
        self._command(lose=uplink.name)

    def darken(self) -> None:
        """Let nothing through from now on; no host is told."""
        self._command(dark=True)

    def lighten(self) -> float:
        """Let everything through again."""
        self._command(dark=False)
        return time.monotonic()

    def forget_senders(self, uplink: Uplink = WIFI) -> float:
        """Have a router give all senders other ports."""
        self._command(forget=uplink.name)
        return time.monotonic()

    def change(self, **conditions: float) -> None:
        """Change the conditions on every way."""
        self._command(conditions=conditions)

    def _command(self, **command: object) -> None:
        print(json.dumps(command), file=self._router.stdin, flush=True)
        assert self._router.stdout.readline() == "done\n"

    # The programs

    def start_remote(self, *options: object) -> Program:
        """Start a remote, and wait until it is ready."""
        words = ["remote", "--listen", f"[::]:{LINK_PORT}", "--outside", f"[::]:{OUTSIDE_PORT}"]
        words += ["--state-dir", self.scratch / "state", *options]
        self.remote = self._start("remote", self.remote_host, words, self.engines[1], running)
        return self.remote

    def start_origin(self, *options: object, waits: bool = True, **environment: str) -> Program:
        """Start an origin, and wait until it is ready unless told otherwise."""
        words = ["origin", "--remote", f"{REMOTE_NAME}:{LINK_PORT}"]
        words += ["--origin", f"{LOOPBACK}:{SERVER_PORT}", "--name", "box", *options]
        way = running if waits else started
        self.origin = self._start(
            "origin", self.origin_host, words, self.engines[0], way, **environment
        )
        return self.origin

    def _start(
        self, name: str, host: Host, words: list, engine: str, way: Callable, **environment: str
    ) -> Program:
        self._starts += 1
        environment |= {"QUICTUNNEL_ENGINE": engine, "QUICTUNNEL_TOKEN": self.token.reveal()}
        command = host.inside(QUICTUNNEL, *words)
        program = way(f"{name}-{self._starts}", command, self.scratch, **environment)
        return self._stack.enter_context(program)

    def kill(self, program: Program) -> float:
        """End a program without a word."""
        program.process.kill()
        program.process.wait()
        return time.monotonic()

    @contextlib.contextmanager
    def stopped(self, program: Program):
        """Stop a program for a while."""
        program.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            program.process.send_signal(signal.SIGCONT)

    def says(self, program: Program, pattern: str, within: float) -> float:
        """Wait for a line of a program's log; return when it was there."""
        wanted = re.compile(pattern, re.MULTILINE)
        deadline = time.monotonic() + within
        while True:
            text = program.log.read_text(errors="replace")
            if wanted.search(text):
                return time.monotonic()
            assert time.monotonic() < deadline, f"no {pattern!r} within {within} s in:\n{text}"
            time.sleep(LOOK_AGAIN)

    def logs(self) -> str:
        """Return what all programs have logged, for the message of a failure."""
        return "\n".join(
            f"--- {log.name}\n{log.read_text()}" for log in sorted(self.scratch.glob("*.log"))
        )


def small(sock: socket.socket) -> socket.socket:
    """Return a socket in which little waits."""
    for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, buffer, SOCKET_BUFFER)
    return sock
