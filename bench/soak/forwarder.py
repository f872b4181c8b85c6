"""The bad network as a program between origin and remote, on loopback.

    python -m bench.soak.forwarder PORT-OF-THE-REMOTE CONDITIONS-AS-JSON

Each sender has a socket of its own towards the remote, as behind a router that translates
addresses. A program, because it is to keep time while clients are busy. At SIGTERM it tells on
standard error, in JSON, what it has done.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import select
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING

from bench.soak.network import Conditions, Network

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "127.0.0.1"

AT_ONCE = 64
"""Datagrams taken from one socket before those that are due leave."""

LARGEST = 65_535

SOCKET_BUFFER = 4 * 1024 * 1024
"""Bytes. The network alone is to lose something."""

SENDERS = 16
"""Senders that are remembered: the origin's sockets, of which it has one or two at a time."""

HEARTBEAT = 0.2
"""Seconds between two looks at what the router forgets, when nobody sends."""


class Forwarder:
    """Passes datagrams on, when and if the network has them arrive."""

    def __init__(self, target: int, conditions: Conditions) -> None:
        self.target = (HOST, target)
        self.network = Network(conditions, time.monotonic())
        self.front = _socket()
        self.front.bind((HOST, 0))
        self.poll = select.epoll()
        self.poll.register(self.front, select.EPOLLIN)
        self.backs: dict[tuple, socket.socket] = {}
        """Towards the remote, by sender."""
        self.senders: dict[int, tuple] = {}
        """The sender of each such socket, by descriptor."""
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()

    def run(self) -> None:
        """Pass on for ever."""
        while True:
            now = time.monotonic()
            wait = min(self._due[0][0] - now, HEARTBEAT) if self._due else HEARTBEAT
            for descriptor, _ in self.poll.poll(max(wait, 0)):
                if descriptor == self.front.fileno():
                    self._from_origin()
                elif descriptor in self.senders:
                    self._from_remote(descriptor)
            now = time.monotonic()
            if self.network.forgets_senders(now):
                for sender in list(self.backs):
                    self._forget(sender)
            while self._due and self._due[0][0] <= now:
                with contextlib.suppress(OSError):  # nobody listens there, or a buffer is full
                    heapq.heappop(self._due)[2]()

    def _from_origin(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(AT_ONCE):
                data, sender = self.front.recvfrom(LARGEST)
                self._carry(data, "up", lambda data=data, sender=sender: self._up(data, sender))

    def _from_remote(self, descriptor: int) -> None:
        sender = self.senders[descriptor]
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
            for _ in range(AT_ONCE):
                data = self.backs[sender].recv(LARGEST)
                self._carry(data, "down", lambda data=data: self.front.sendto(data, sender))

    def _carry(self, data: bytes, way: str, send: Callable[[], object]) -> None:
        for due in self.network.arrivals(len(data), way, time.monotonic()):
            heapq.heappush(self._due, (due, next(self._numbers), send))

    def _up(self, data: bytes, sender: tuple) -> None:
        back = self.backs.pop(sender, None)
        if back is None:
            back = _socket()
            back.connect(self.target)
            self.poll.register(back, select.EPOLLIN)
            self.senders[back.fileno()] = sender
        self.backs[sender] = back  # the last one: those that are quiet longest come first
        while len(self.backs) > SENDERS:
            self._forget(next(iter(self.backs)))
        back.send(data)

    def _forget(self, sender: tuple) -> None:
        back = self.backs.pop(sender)
        del self.senders[back.fileno()]
        back.close()


def _socket() -> socket.socket:
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.setblocking(False)
    for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, buffer, SOCKET_BUFFER)
    return sock


def main(target: str, conditions: str) -> None:
    """Forward until SIGTERM."""
    forwarder = Forwarder(int(target), Conditions(**json.loads(conditions)))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    print(f"ready: {forwarder.front.getsockname()[1]}", flush=True)
    try:
        forwarder.run()
    finally:
        print(json.dumps(forwarder.network.done), file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
