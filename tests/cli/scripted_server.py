"""A TCP server that treats each client as a test has written down."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable

from testkit.programs import PATIENCE


class ScriptedServer:
    """A server on a port of loopback. As a context manager, it ends after the test.

    :param treat: is called with each connection, in a thread, and closed after it.
    """

    def __init__(self, treat: Callable[[socket.socket], object]) -> None:
        self._treat = treat
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> ScriptedServer:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(PATIENCE)
            with connection, contextlib.suppress(OSError):
                self._treat(connection)


def reset(connection: socket.socket) -> None:
    """Reset a connection."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def request(connection: socket.socket) -> bytes:
    """Return the head of a request."""
    received = b""
    while b"\r\n\r\n" not in received and (piece := connection.recv(65536)):
        received += piece
    return received


def answer(content: bytes) -> Callable[[socket.socket], object]:
    """Return a treatment that reads a request, sends this, and closes the connection."""

    def treat(connection: socket.socket) -> None:
        request(connection)
        connection.sendall(content)

    return treat


def until_closed(connection: socket.socket) -> None:
    """Read, and send nothing, until the client closes the connection or sends a FIN."""
    while connection.recv(65536):
        pass


def with_tls(
    context: ssl.SSLContext, treat: Callable[[socket.socket], object]
) -> Callable[[socket.socket], object]:
    """Return a treatment that completes the TLS handshake first."""

    def encrypted(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            treat(tls)

    return encrypted
