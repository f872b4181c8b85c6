"""HTTP servers that answer the first request of each connection as a test says. Not a test."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from typing import TYPE_CHECKING

from testkit.tunnel import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_HEAD = 16 * 1024
"""Bytes of a request's head, at most."""


class ScriptedServer(socketserver.ThreadingTCPServer):
    """A server on a free port.

    :param answer: what it sends after the head of each request. Then it closes the connection.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, answer: bytes) -> None:
        super().__init__((LOOPBACK, 0), _Connection)
        self.answer = answer
        self.heads: list[bytes] = []
        """The heads of all requests."""

    @property
    def place(self) -> str:
        """Its address."""
        return f"{LOOPBACK}:{self.server_address[1]}"


class _Connection(socketserver.StreamRequestHandler):
    timeout = 30.0
    server: ScriptedServer

    def handle(self) -> None:
        head = b""
        with contextlib.suppress(OSError):
            while not head.endswith(b"\r\n\r\n") and len(head) < MAX_HEAD:
                line = self.rfile.readline(MAX_HEAD)
                if not line:
                    break
                head += line
            self.server.heads.append(head)
            self.wfile.write(self.server.answer)


@contextlib.contextmanager
def scripted_server(status: str, *headers: str) -> Iterator[ScriptedServer]:
    """Answer every request with a status and no content."""
    lines = [f"HTTP/1.1 {status}", "Content-Length: 0", "Connection: close", *headers, "", ""]
    with ScriptedServer("\r\n".join(lines).encode()) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
