"""A tunnel of two programs; the test itself is the clients and the origin server. Not a test."""

from __future__ import annotations

import contextlib
import random
import select
import socket
import struct
import threading
from pathlib import Path

from programs import PATIENCE, Program, Programs

from quictunnel.config.tokens import Token

LOOPBACK = "127.0.0.1"

READY_REMOTE = (
    r"^ready: origins connect to UDP (?:port |\S+:)(\d+), clients to TCP (?:port |\S+:)(\d+)$"
)
READY_ORIGIN = r"^ready: (\S+) at the remote -> (\S+)$"


class Peer:
    """One end of a TCP connection, in the test's hands; no call takes longer than PATIENCE."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE)
        self.sock = sock

    def say(self, data: bytes) -> None:
        self.sock.sendall(data)

    def hear(self, count: int) -> bytes:
        heard = bytearray()
        while len(heard) < count:
            piece = self.sock.recv(min(count - len(heard), 1 << 20))
            assert piece, f"ended after {len(heard)} of {count} bytes"
            heard += piece
        return bytes(heard)

    def hear_all(self) -> bytes:
        heard = bytearray()
        while piece := self.sock.recv(1 << 20):
            heard += piece
        return bytes(heard)

    def end(self) -> None:
        """Send FIN."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Send RST, unless the connection was let go before."""
        if self.sock.fileno() == -1:
            return
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def is_reset(self) -> bool:
        """Return whether the connection ends with a reset, rather than in order."""
        try:
            while self.sock.recv(1 << 20):
                pass
        except ConnectionResetError:
            return True
        return False

    def is_reset_after_its_end(self) -> bool:
        """Return whether the other end, whose FIN has been heard, resets what was still open."""
        poll = select.poll()
        poll.register(self.sock, 0)  # errors are told in any case
        poll.poll(PATIENCE * 1000)
        return self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0


class Pouring(threading.Thread):
    """Sends a gigabyte, as far as it is taken."""

    def __init__(self, peer: Peer) -> None:
        super().__init__()
        self.poured = 0
        self._peer = peer

    def run(self) -> None:
        piece = bytes(1 << 18)
        with contextlib.suppress(OSError):  # as the test wants it, at its end
            while self.poured < 1 << 30:
                self.poured += self._peer.sock.send(piece)

    def end(self) -> None:
        # Wakes up a `send` that waits, which closing the socket would not.
        with contextlib.suppress(OSError):
            self._peer.sock.shutdown(socket.SHUT_RDWR)
        self.join(PATIENCE)
        self._peer.reset()


class Tunnel:
    """A remote and an origin, and the sockets of those at either end.

    Both programs start at the same time, so the port of the link is chosen before.

    :param state: the directory of the remote's state.
    :param engines: the origin's and the remote's.
    """

    def __init__(self, state: Path, engines: tuple[str, str]) -> None:
        self.state = state
        self.engines = engines
        self.token = Token.new()
        self.programs = Programs()
        self.remote: Program
        self.origin: Program
        self.link_port = a_free_port()
        self.outside_port = 0
        self.server = socket.create_server((LOOPBACK, 0), backlog=512)
        self.server.settimeout(PATIENCE)
        self._peers: list[Peer] = []

    @property
    def server_address(self) -> str:
        return f"{LOOPBACK}:{self.server.getsockname()[1]}"

    @property
    def memory(self) -> int:
        """What both programs hold, in bytes."""
        return self.remote.memory + self.origin.memory

    def up(self, *, remote: tuple = (), origin: tuple = ()) -> Tunnel:
        """Start both ends, and return when clients can come."""
        self.start_remote(*remote)
        self.start_origin(*origin)
        self.remote_is_ready()
        self.origin.wait_for(READY_ORIGIN)
        return self

    def start_remote(self, *options: object, **environment: str) -> Program:
        """Start a remote, without waiting for it."""
        self.remote = self.programs.start(
            "remote",
            *("--listen", f"{LOOPBACK}:{self.link_port}", "--outside", f"{LOOPBACK}:0"),
            *("--state-dir", self.state),
            *options,
            **self._environment(self.engines[1]) | environment,
        )
        return self.remote

    def remote_is_ready(self) -> Program:
        self.outside_port = int(self.remote.wait_for(READY_REMOTE)[2])
        return self.remote

    def start_origin(self, *options: object, **environment: str) -> Program:
        """Start an origin, without waiting for it."""
        self.origin = self.programs.start(
            "origin",
            *("--remote", f"{LOOPBACK}:{self.link_port}", "--origin", self.server_address),
            *("--name", "box", *options),
            **self._environment(self.engines[0]) | environment,
        )
        return self.origin

    def client(self, host: str = LOOPBACK) -> Peer:
        return self._mine(socket.create_connection((host, self.outside_port), PATIENCE))

    def served(self) -> Peer:
        """The next client, as the origin server has it."""
        return self._mine(self.server.accept()[0])

    def pair(self) -> tuple[Peer, Peer]:
        return self.client(), self.served()

    def nobody_came(self) -> bool:
        """Whether no client stands before the origin server's door."""
        self.server.setblocking(False)
        try:
            self.served()
        except BlockingIOError:
            return True
        finally:
            self.server.settimeout(PATIENCE)
        return False

    def part(self) -> None:
        """Let go of every client, at both ends."""
        for peer in self._peers:
            peer.reset()
        self._peers.clear()

    def end(self) -> None:
        try:
            self.part()
            self.server.close()
        finally:
            self.programs.end()

    def _environment(self, engine: str) -> dict[str, str]:
        return {"QUICTUNNEL_TOKEN": self.token.reveal(), "QUICTUNNEL_ENGINE": engine}

    def _mine(self, sock: socket.socket) -> Peer:
        peer = Peer(sock)
        self._peers.append(peer)
        return peer


def a_free_port() -> int:
    """A UDP port that nobody has, out of those that the kernel gives to nobody by itself."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket(type=socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
            sock.bind((LOOPBACK, port))
            return port
