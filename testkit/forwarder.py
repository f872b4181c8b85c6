"""A UDP forwarder on loopback: it stands between an origin and a remote, and a test controls it.

    python -m testkit.forwarder PORT-OF-THE-REMOTE [CONDITIONS-AS-JSON]

Each sender has a socket of its own towards the target, as behind a NAT router. The forwarder runs
in a thread, or as a program if the process that starts it is busy. The program prints its port
in its `ready` line. At SIGUSR1 the origin's address changes. At SIGTERM the program writes on
standard error, as JSON, what it has counted.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import queue
import selectors
import signal
import socket
import sys
import threading
import time
from collections import deque
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal, Self

from testkit.programs import PYTHON, Program
from testkit.weather import Conditions, Weather

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Address = tuple[str, int]
Way = Literal["up", "down"]
"""`up` is towards the target, `down` is towards the sender."""

HOST = "127.0.0.1"
"""Where senders send to, and where the target listens."""

CHANGED_HOST = "127.0.1.{}"
"""The source addresses that the target sees after `change_address` (Linux only)."""

BATCH = 64
"""Datagrams to take from one socket before others have their turn."""

LARGEST = 65_535
"""Bytes of the largest datagram."""

SOCKET_BUFFER = 4 * 1024 * 1024
"""Bytes of each socket's buffers: only the network is to lose datagrams."""

SENDERS_MAX = 16
"""Senders to remember. An origin has one or two sockets at a time."""

EXPIRED_MAX = 32
"""Sockets of former mappings that stay open, so that the machine answers nothing to them."""

CHECK_INTERVAL = 0.2
"""Seconds between two checks for a rebinding on an idle network."""


class Forwarder:
    """Forwards datagrams. Use `with` to run it in a thread.

    :param target: the port of the target on loopback.
    :param weather: delays and loses datagrams; without it they are forwarded at once.
    :param on_datagram: called in the forwarder's thread with each datagram that comes.
    """

    def __init__(
        self,
        target: int,
        weather: Weather | None = None,
        *,
        on_datagram: Callable[[Way, bytes], object] = lambda way, data: None,
    ) -> None:
        self.is_dark = False
        """Whether all datagrams are dropped. May be set at any time."""
        self.on_new_address: Callable[[str], object] = lambda host: None
        """Called with the source address of each new socket towards the target."""
        self._target = target
        self._weather = weather
        self._on_datagram = on_datagram
        self._front = _socket(HOST)
        self._commands: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._wake, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._front, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._backs: dict[Address, socket.socket | None] = {}
        """The socket towards the target for each sender. None: the sender's network is gone."""
        self._senders: dict[socket.socket, Address] = {}
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self._changes = 0
        self._expired: deque[socket.socket] = deque()
        self._is_stopped = False
        self._thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._stop)
        self._thread.join()
        self.close()

    @property
    def port(self) -> int:
        """The port that senders send to."""
        port: int = self._front.getsockname()[1]
        return port

    @property
    def address(self) -> str:
        """The address that senders send to, as an option of `quictunnel origin` takes it."""
        return f"{HOST}:{self.port}"

    def retarget(self, target: int) -> None:
        """Forward to another port. Datagrams from the previous target are dropped."""

        def change() -> None:
            self._target = target
            self._forget_senders()

        self._call(change)

    def change_address(self) -> None:
        """Change the network as a laptop does: old sockets are dead, new ones get another address.

        Nothing is reported to either end.
        """
        self._call(self._change_address)

    def run(self) -> None:
        """Forward until stopped."""
        while not self._is_stopped:
            for key, _ in self._selector.select(self._timeout()):
                if key.fileobj is self._front:
                    self._receive_from_senders()
                elif key.fileobj is self._woken:
                    self._run_commands()
                elif isinstance(key.fileobj, socket.socket):
                    self._receive_from_target(key.fileobj)
            now = time.monotonic()
            if self._weather and self._weather.rebinds(now):
                self._expire_mappings()
            while self._due and self._due[0][0] <= now:
                heapq.heappop(self._due)[2]()

    def close(self) -> None:
        """Close all sockets."""
        self._forget_senders()
        for back in self._expired:
            back.close()
        self._selector.close()
        for sock in (self._front, self._wake, self._woken):
            sock.close()

    def _timeout(self) -> float | None:
        if self._weather is None:
            return None
        if not self._due:
            return CHECK_INTERVAL
        return max(0.0, min(self._due[0][0] - time.monotonic(), CHECK_INTERVAL))

    # Commands run in the forwarder's thread, between two datagrams

    def _call(self, command: Callable[[], object]) -> None:
        self._commands.put(command)
        self._wake.send(b"!")

    def _run_commands(self) -> None:
        self._woken.recv(4096)
        while not self._commands.empty():
            self._commands.get()()

    def _stop(self) -> None:
        self._is_stopped = True

    def _change_address(self) -> None:
        self._changes += 1
        for sender, back in self._backs.items():
            if back is not None:
                self._close_back(back)
                self._backs[sender] = None

    def _forget_senders(self) -> None:
        for sender in list(self._backs):
            self._forget(sender)

    # Datagrams

    def _receive_from_senders(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(BATCH):
                data, sender = self._front.recvfrom(LARGEST)
                self._forward(data, "up", self._send_to_target, sender)

    def _receive_from_target(self, back: socket.socket) -> None:
        sender = self._senders.get(back)
        if sender is None:
            return  # the socket was closed since the selector returned
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
            for _ in range(BATCH):
                self._forward(back.recv(LARGEST), "down", self._send_to_sender, sender)

    def _forward(
        self, data: bytes, way: Way, send: Callable[[bytes, Address], object], sender: Address
    ) -> None:
        self._on_datagram(way, data)
        if self.is_dark:
            return
        if self._weather is None:
            send(data, sender)
            return
        for due in self._weather.arrivals(len(data), way, time.monotonic()):
            entry = (due, next(self._numbers), lambda: send(data, sender))
            heapq.heappush(self._due, entry)

    def _send_to_sender(self, data: bytes, sender: Address) -> None:
        with contextlib.suppress(OSError):  # the sender has closed its socket
            self._front.sendto(data, sender)

    def _send_to_target(self, data: bytes, sender: Address) -> None:
        back = self._backs.pop(sender) if sender in self._backs else self._open_back(sender)
        self._backs[sender] = back  # the most recent sender is the last one
        while len(self._backs) > SENDERS_MAX:
            self._forget(next(iter(self._backs)))
        if back is not None:
            with contextlib.suppress(OSError):  # the target is gone, or its buffer is full
                back.send(data)

    def _open_back(self, sender: Address) -> socket.socket:
        host = CHANGED_HOST.format(self._changes) if self._changes else HOST
        self.on_new_address(host)
        back = _socket(host)
        back.connect((HOST, self._target))
        self._selector.register(back, selectors.EVENT_READ)
        self._senders[back] = sender
        return back

    def _forget(self, sender: Address) -> None:
        back = self._backs.pop(sender)
        if back is not None:
            self._close_back(back)

    def _expire_mappings(self) -> None:
        """Give each sender another port. Like most routers, drop what is sent to the old one."""
        for sender in list(self._backs):
            back = self._backs.pop(sender)
            if back is not None:
                self._unwatch(back)
                self._expired.append(back)
        while len(self._expired) > EXPIRED_MAX:
            self._expired.popleft().close()

    def _close_back(self, back: socket.socket) -> None:
        self._unwatch(back)
        back.close()

    def _unwatch(self, back: socket.socket) -> None:
        self._selector.unregister(back)
        del self._senders[back]


def _socket(host: str) -> socket.socket:
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.setblocking(False)
    for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, buffer, SOCKET_BUFFER)
    sock.bind((host, 0))
    return sock


class ForwarderProgram:
    """The forwarder as a program of its own, for a busy test or script. Use `with`.

    :param target: the port of the target on loopback.
    :param scratch: a folder for its output.
    """

    def __init__(self, target: int, scratch: Path, conditions: Conditions | None = None) -> None:
        command = [PYTHON, "-m", "testkit.forwarder", target]
        command += [json.dumps(asdict(conditions))] if conditions else []
        self.program = Program("forwarder", command, scratch)

    def __enter__(self) -> Self:
        self.program.wait_until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.program.stop()

    @property
    def address(self) -> str:
        """The address that senders send to, as an option of `quictunnel origin` takes it."""
        return f"{HOST}:{self.program.ready.rpartition(' ')[2]}"

    def change_address(self) -> None:
        """Change the network. See `Forwarder.change_address`."""
        self.program.signal(signal.SIGUSR1)

    def addresses(self) -> list[str]:
        """Return the source addresses that the target has seen, in their order."""
        return list(dict.fromkeys(self.program.stderr.split()))

    def done(self) -> dict[str, int]:
        """Return what the weather has done, by name, once the program has ended."""
        lines = self.program.stderr.splitlines()
        return dict(json.loads(lines[-1])) if lines else {}


def main(target: str, conditions: str = "") -> None:
    """Forward until SIGTERM."""
    weather = (
        Weather(Conditions(**json.loads(conditions)), time.monotonic()) if conditions else None
    )
    forwarder = Forwarder(int(target), weather)
    forwarder.on_new_address = lambda host: print(host, file=sys.stderr, flush=True)
    signal.signal(signal.SIGUSR1, lambda *_: forwarder.change_address())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    print(f"ready: {forwarder.port}", flush=True)
    try:
        forwarder.run()
    finally:
        print(json.dumps(weather.done if weather else {}), file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
