"""An origin server of the script's own, which does what a client's first line says, and the client.

It is for facts about how bytes arrive and how connections end, where no real program is wanted.
"""

from __future__ import annotations

import contextlib
import hashlib
import queue
import random
import socket
import socketserver
import struct
import threading
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

PAYLOAD = random.Random(9001).randbytes(10_000_000)
"""What goes each way."""

DIGEST = hashlib.sha256(PAYLOAD).hexdigest()

WITHIN = 60.0
"""Seconds for anything to happen at a socket."""


class Server(socketserver.ThreadingTCPServer):
    """The origin server, on a port of the kernel's choice."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Client)
        self.met = 0
        """How many clients have come."""
        self.endings: queue.Queue[str] = queue.Queue()
        """How those ended that said `await`: `end`, or `reset`."""

    @property
    def address(self) -> str:
        """As `quictunnel origin --origin` takes it."""
        return f"127.0.0.1:{self.server_address[1]}"


class _Client(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server = cast("Server", self.server)
        server.met += 1
        self.connection.settimeout(WITHIN)
        try:
            match self.rfile.readline():
                case b"exchange\n":  # answers only when the client has finished
                    self.wfile.write(hashlib.sha256(self.rfile.read()).hexdigest().encode())
                    self.wfile.write(PAYLOAD)
                case b"reset\n":
                    cut(self.connection)
                case b"await\n":
                    self.wfile.write(b"here")
                    server.endings.put("end" if not self.rfile.read() else "bytes")
                case b"hold\n":
                    self.wfile.write(b"here")
                    self.wfile.write(self.rfile.readline().upper())
        except ConnectionResetError:
            server.endings.put("reset")

    def finish(self) -> None:
        with contextlib.suppress(OSError):  # of a connection that was cut
            super().finish()


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """Run the server on a thread of its own."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def connect(port: int, first: bytes) -> socket.socket:
    """Come as a client with a first line."""
    client = socket.create_connection(("127.0.0.1", port), WITHIN)
    client.sendall(first)
    return client


def exchange(port: int) -> tuple[str, str]:
    """Send the payload, finish, and get one back; return both digests as they were taken."""
    with connect(port, b"exchange\n") as client:
        client.sendall(PAYLOAD)
        client.shutdown(socket.SHUT_WR)
        with client.makefile("rb") as answer:
            taken = answer.read(64).decode()
            return taken, hashlib.sha256(answer.read()).hexdigest()


def ending(client: socket.socket) -> str:
    """Read to the end; return how it came: `end`, `bytes` before it, or `reset`."""
    try:
        found = b"".join(iter(lambda: client.recv(65536), b""))
    except ConnectionResetError:
        return "reset"
    return "bytes" if found else "end"


def cut(connection: socket.socket) -> None:
    """Close a connection by a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
