"""A TLS client that makes its bytes itself, so that a test decides when they are sent."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from testkit.connections import TcpPeer

T = TypeVar("T")

WITHIN = 20.0
"""The timeout of a handshake, in seconds."""

_PROTOCOL_SIZE = 13


class TlsClient:
    """One handshake, and the connection after it.

    :param name: the server name that it sends; None for none.
    :param trusted: a file with the only certificate that it accepts.
    :param extra: makes the ClientHello longer, by about so many bytes.
    """

    def __init__(self, name: str | None, trusted: Path | None = None, *, extra: int = 0) -> None:
        context = ssl.create_default_context(cafile=trusted)
        context.check_hostname = name is not None
        if extra:
            numbers = range(extra // _PROTOCOL_SIZE)
            context.set_alpn_protocols([f"protocol-{number:03}" for number in numbers])
        self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._received, self._to_send, server_hostname=name)

    def hello(self) -> bytes:
        """Return the ClientHello, which the caller sends."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
        return self._to_send.read()

    def exchange(self, peer: TcpPeer, data: bytes) -> bytes:
        """Complete the handshake, send data, and return all that comes until the server ends."""
        self._run(peer, self._tls.do_handshake)
        self._tls.write(data)
        answer = b""
        with contextlib.suppress(ssl.SSLZeroReturnError, ssl.SSLEOFError):
            while piece := self._run(peer, self._tls.read):
                answer += piece
        return answer

    def _run(self, peer: TcpPeer, step: Callable[[], T]) -> T:
        """Take a step of the connection, and send and receive what it needs."""
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                peer.send(self._to_send.read())
                if received := peer.sock.recv(65536):
                    self._received.write(received)
                else:
                    self._received.write_eof()


def refused_handshake(host: str, port: int, name: str) -> str:
    """Return OpenSSL's word for the alert that refuses a handshake with this server name."""
    with socket.create_connection((host, port), WITHIN) as sock:
        try:
            ssl.create_default_context().wrap_socket(sock, server_hostname=name).close()
        except ssl.SSLError as exc:
            return exc.reason or str(exc)
    return "no refusal"
