"""An origin server whose behaviour a client selects with its first line, and the client.

For facts about bytes and endings that need no real program.
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
"""The payload in each direction."""

DIGEST = hashlib.sha256(PAYLOAD).hexdigest()

WITHIN = 120.0
"""The timeout of all sockets, in seconds."""


class CounterpartServer(socketserver.ThreadingTCPServer):
    """The origin server, on an ephemeral port."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _ClientHandler)
        self.accepted = 0
        """The number of clients so far."""
        self.endings: queue.Queue[str] = queue.Queue()
        """How each client with `await` ended: `end` or `reset`."""

    @property
    def address(self) -> str:
        """The address, as `quictunnel origin --origin` takes it."""
        return f"127.0.0.1:{self.server_address[1]}"


class _ClientHandler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server = cast("CounterpartServer", self.server)
        server.accepted += 1
        self.connection.settimeout(WITHIN)
        try:
            match self.rfile.readline():
                case b"exchange\n":  # answers after the client's FIN
                    self.wfile.write(hashlib.sha256(self.rfile.read()).hexdigest().encode())
                    self.wfile.write(PAYLOAD)
                case b"reset\n":
                    reset(self.connection)
                case b"await\n":
                    self.wfile.write(b"here")
                    server.endings.put("end" if not self.rfile.read() else "bytes")
                case b"hold\n":
                    self.wfile.write(b"here")
                    self.wfile.write(self.rfile.readline().upper())
        except ConnectionResetError:
            server.endings.put("reset")

    def finish(self) -> None:
        with contextlib.suppress(OSError):  # the connection was reset
            super().finish()


@contextlib.contextmanager
def serving() -> Iterator[CounterpartServer]:
    """Run the server in a thread."""
    with CounterpartServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def connect(port: int, first: bytes) -> socket.socket:
    """Connect as a client, and send a first line."""
    client = socket.create_connection(("127.0.0.1", port), WITHIN)
    client.sendall(first)
    return client


def exchange(port: int) -> tuple[str, str]:
    """Send the payload and FIN, and receive the payload; return the digests of both receivers."""
    with connect(port, b"exchange\n") as client:
        client.sendall(PAYLOAD)
        client.shutdown(socket.SHUT_WR)
        with client.makefile("rb") as answer:
            taken = answer.read(64).decode()
            return taken, hashlib.sha256(answer.read()).hexdigest()


def ending(client: socket.socket) -> str:
    """Read to the end; return `reset`, `bytes` if there were any, or `end`."""
    try:
        found = b"".join(iter(lambda: client.recv(65536), b""))
    except ConnectionResetError:
        return "reset"
    return "bytes" if found else "end"


def reset(connection: socket.socket) -> None:
    """Close a connection with RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
