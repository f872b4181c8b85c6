"""The opening handshake of a WebSocket (RFC 6455, section 4), both ends. No I/O.

It uses neither extensions nor a subprotocol: the ALPN of the link inside names the version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from websockets.client import ClientProtocol
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.uri import WebSocketURI

from quictunnel.errors import ProtocolError
from quictunnel.escaping import cut_sentence

if TYPE_CHECKING:
    from quictunnel.config.urls import WebSocketUrl

MAX_HEAD = 16 * 1024
"""Bytes of the longest head of a request or a response."""

NOT_FOUND = (
    b"HTTP/1.1 404 Not Found\r\n"
    b"Content-Type: text/plain\r\n"
    b"Content-Length: 10\r\n"
    b"Connection: close\r\n"
    b"\r\n"
    b"Not Found\n"
)
"""The answer to whatever does not open a WebSocket at the right path."""

METHOD = b"GET "
"""How a request that opens a WebSocket begins."""

_END_OF_HEAD = b"\r\n\r\n"

_ASCII = bytes(range(128)) + b"?" * 128
"""A table for `bytes.translate`. Proxies add fields with letters beyond ASCII, and `websockets` 15
raises UnicodeEncodeError or logs a traceback if they are in a field that it reads."""


class HeadReader:
    """Collects the head of an HTTP message from received bytes.

    :param start: how the head must begin.
    """

    def __init__(self, start: bytes = b"") -> None:
        self._start = start
        self._received = b""

    def feed(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Return the head, and the bytes after it; None if the head is not complete.

        :raises ProtocolError: the head is longer than `MAX_HEAD`, or begins otherwise.
        """
        searched = max(len(self._received) - len(_END_OF_HEAD) + 1, 0)
        self._received += data
        if not self._received.startswith(self._start[: len(self._received)]):
            raise ProtocolError(f"the received bytes do not begin with {self._start.decode()!r}")
        end = self._received.find(_END_OF_HEAD, searched)
        size = len(self._received) if end == -1 else end + len(_END_OF_HEAD)
        if size > MAX_HEAD:
            raise ProtocolError(f"the head of the HTTP message is longer than {MAX_HEAD} bytes")
        if end == -1:
            return None
        return self._received[:size], self._received[size:]


@dataclass(frozen=True, slots=True)
class OpeningRequest:
    """A valid request to open a WebSocket."""

    path: str
    """The path, without a query."""

    forwarded_for: tuple[str, ...]
    """The values of the X-Forwarded-For fields, in order. Anyone can send them."""

    response: bytes
    """The response that opens the WebSocket."""


def parse_opening(head: bytes) -> OpeningRequest:
    """Parse a request to open a WebSocket.

    :param head: up to and including the empty line.
    :raises ProtocolError: it is something else.
    """
    protocol = ServerProtocol()
    protocol.receive_data(head.translate(_ASCII))
    requests = [event for event in protocol.events_received() if isinstance(event, Request)]
    if not requests:
        raise ProtocolError("the request is no valid HTTP")
    response = protocol.accept(requests[0])
    if response.status_code != 101:
        raise ProtocolError("the request does not open a WebSocket")
    return OpeningRequest(
        requests[0].path.partition("?")[0],
        tuple(requests[0].headers.get_all("X-Forwarded-For")),
        response.serialize(),
    )


class UnexpectedResponse(ProtocolError):
    """The server did not open the WebSocket.

    :param status: the response's status; 0 if it is no valid HTTP, or none of a WebSocket.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class ClientOpening:
    """The client's half of one handshake."""

    def __init__(self, url: WebSocketUrl) -> None:
        self._protocol = ClientProtocol(
            WebSocketURI(url.scheme == "wss", url.server.host, url.server.port, url.path, "")
        )

    def request(self) -> bytes:
        """Return the request."""
        return self._protocol.connect().serialize()

    def check(self, head: bytes) -> None:
        """Check the head of the response.

        :raises UnexpectedResponse: it does not open the WebSocket.
        """
        status = status_of(head)
        if status not in (0, 101):
            raise UnexpectedResponse(status, f"the response has status {status}")
        self._protocol.receive_data(head)
        self._protocol.events_received()
        if (error := self._protocol.handshake_exc) is not None:
            raise UnexpectedResponse(0, cut_sentence(str(error)))


def status_of(head: bytes) -> int:
    """Return the status of a response (RFC 9112, section 4); 0 if it is malformed."""
    version, _, rest = head.partition(b"\r\n")[0].partition(b" ")
    code = rest[:3]
    is_valid = version.startswith(b"HTTP/1.") and code.isdigit() and rest[3:4] in (b"", b" ")
    return int(code) if is_valid and len(code) == 3 else 0
