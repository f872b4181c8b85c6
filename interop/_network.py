"""A network between origin and remote that a script can change, as a laptop changes its Wi-Fi.

A program of its own (`python -m interop._network PORT-OF-THE-REMOTE`), because it is to keep up
while the script is busy. It passes UDP datagrams on, on loopback. At SIGUSR1 the network changes:
the sockets that the origin has are heard by nobody any more and hear nothing, without a word why,
and those that it opens from then on come to the remote from another IP address.
It loses nothing else and delays nothing.
"""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testkit.programs import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testkit.programs import Program

FRONT = "127.0.0.1"
"""Where the origin calls, and where the remote listens."""

BEHIND = "127.0.1.{}"
"""The address from which the origin comes to the remote: another number after each change."""

LARGEST = 65_535
SOCKET_BUFFER = 4 * 1024 * 1024
"""Bytes: what comes in one go is to find room."""

AT_ONCE = 64
"""Datagrams taken from one socket before the others have their turn."""


@dataclass(frozen=True)
class Network:
    """The network, as the script sees it."""

    port: int
    """Where the origin calls, on 127.0.0.1."""
    program: Program

    def change(self) -> None:
        """Take the origin's address away and give it another one."""
        self.program.process.send_signal(signal.SIGUSR1)

    def addresses(self) -> list[str]:
        """Return the addresses from which the origin has come to the remote, in their order."""
        return list(dict.fromkeys(self.program.log.read_text().split()))


@contextlib.contextmanager
def network(remote: int, scratch: Path) -> Iterator[Network]:
    """Run a network that leads to a remote's UDP port."""
    command = [sys.executable, "-m", "interop._network", str(remote)]
    with running("network", command, scratch) as program:
        yield Network(int(program.ready.split()[1]), program)


class Forwarder:
    """What passes datagrams on: a socket of its own for each of the origin's."""

    def __init__(self, remote: int) -> None:
        self.remote = (FRONT, remote)
        self.changes = 0
        self.is_to_change = False
        self.front = _socket(FRONT)
        self.poll = select.epoll()
        self.poll.register(self.front, select.EPOLLIN)
        self.backs: dict[tuple[str, int], socket.socket | None] = {}
        """Towards the remote, by sender; None for senders of a network that is gone."""
        self.senders: dict[int, tuple[str, int]] = {}
        """The sender of each such socket, by descriptor."""

    def order_change(self, *_: object) -> None:
        """Change before the next datagram: a signal may come in the midst of anything."""
        self.is_to_change = True

    def _change(self) -> None:
        """Let all present senders fall silent; those to come are at another address."""
        self.is_to_change = False
        self.changes += 1
        for sender, back in self.backs.items():
            if back is not None:
                del self.senders[back.fileno()]
                back.close()
                self.backs[sender] = None

    def run(self) -> None:
        """Pass on for ever."""
        while True:
            for descriptor, _ in self.poll.poll():
                if self.is_to_change:
                    self._change()
                if descriptor == self.front.fileno():
                    self._from_origin()
                elif descriptor in self.senders:
                    self._from_remote(self.senders[descriptor])

    def _from_origin(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(AT_ONCE):
                data, sender = self.front.recvfrom(LARGEST)
                if sender not in self.backs:
                    self._open(sender)
                if back := self.backs[sender]:
                    with contextlib.suppress(OSError):  # the remote is gone, or its buffer is full
                        back.send(data)

    def _from_remote(self, sender: tuple[str, int]) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
            for _ in range(AT_ONCE):
                if back := self.backs[sender]:
                    data = back.recv(LARGEST)
                    with contextlib.suppress(OSError):  # the origin has closed that socket
                        self.front.sendto(data, sender)

    def _open(self, sender: tuple[str, int]) -> None:
        address = BEHIND.format(self.changes + 1)
        print(address, file=sys.stderr, flush=True)
        back = self.backs[sender] = _socket(address)
        back.connect(self.remote)
        self.poll.register(back, select.EPOLLIN)
        self.senders[back.fileno()] = sender


def _socket(host: str) -> socket.socket:
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.setblocking(False)
    for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, buffer, SOCKET_BUFFER)
    sock.bind((host, 0))
    return sock


def main(remote: str) -> None:
    """Forward until SIGTERM."""
    forwarder = Forwarder(int(remote))
    signal.signal(signal.SIGUSR1, forwarder.order_change)
    print(f"ready: {forwarder.front.getsockname()[1]}", flush=True)
    forwarder.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
