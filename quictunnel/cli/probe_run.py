"""Connects to a URL as a client does, and measures or explains what happens."""

from __future__ import annotations

import http.client
import queue
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from quictunnel import __version__
from quictunnel.cli.deadline import Deadline
from quictunnel.cli.probe_failures import NO_ORIGIN, Phase, explain, explain_status
from quictunnel.cli.probe_url import ProbeUrl, StatusRange, TcpUrl
from quictunnel.config.addresses import HostPort
from quictunnel.config.urls import HttpUrl
from quictunnel.errors import QuictunnelError
from quictunnel.protocol.address import Address
from quictunnel.quic.system_store import system_tls_context

MAX_CONTENT = 1 << 20
"""Bytes of an answer that are read. A probe may run every minute, and a page may be a film."""

GREETING_TIME = 2.0
"""Seconds that a TCP server has to send something by itself. Many wait for the client instead."""

_READ_SIZE = 64 * 1024
_MAX_GREETING = 80


class ProbeFailed(QuictunnelError):
    """The URL does not work. The message is one sentence."""


@dataclass(slots=True)
class ProbeResult:
    """The result of a probe. Times are seconds since its start; None if it failed before."""

    address: str | None = None
    """The address that was connected to."""
    connect: float | None = None
    """When the TCP connection was there, with the lookup of the name."""
    tls: float | None = None
    """When the TLS handshake was complete; None without TLS."""
    first_byte: float | None = None
    """When the first byte came."""
    total: float = 0.0
    """When the probe was complete."""
    status: int | None = None
    """The status of HTTP."""
    size: int = 0
    """Bytes of the content that were read."""
    greeting: str | None = None
    """The start of what a TCP server sends by itself."""
    failure: str | None = None
    """Why it has failed, in one sentence; None if it has not."""


class UrlProbe:
    """One attempt to use a URL.

    :param url: what to request, or where to connect.
    :param statuses: the statuses of HTTP that count as success; empty for those below 500.
    :param timeout: seconds for everything.
    :param is_verifying: whether the certificate of HTTPS is checked.
    """

    def __init__(
        self,
        url: ProbeUrl,
        *,
        statuses: Sequence[StatusRange] = (),
        timeout: float,
        is_verifying: bool = True,
    ) -> None:
        self._url = url
        self._statuses = statuses
        self._timeout = timeout
        self._is_verifying = is_verifying
        self._result = ProbeResult()
        self._phase: Phase = "look up"
        self._start = 0.0

    def run(self) -> ProbeResult:
        """Connect, and request the URL if it is one of HTTP. It is called once."""
        self._start = time.monotonic()
        try:
            with self._connected(self._url.server) as sock:
                if isinstance(self._url, TcpUrl):
                    self._wait_for_greeting(sock)
                else:
                    self._use_http(self._url, sock)
        except ProbeFailed as exc:
            self._result.failure = str(exc)
        except (OSError, http.client.HTTPException) as exc:
            place = self._result.address or self._url.server.host
            self._result.failure = explain(exc, self._phase, place, self._timeout)
        self._result.total = self._passed
        return self._result

    @property
    def _passed(self) -> float:
        return time.monotonic() - self._start

    @property
    def _left(self) -> float:
        """Seconds until the timeout.

        :raises TimeoutError: there are none.
        """
        left = self._timeout - self._passed
        if left <= 0:
            raise TimeoutError
        return left

    def _connected(self, server: HostPort) -> socket.socket:
        """Connect to the first address that answers.

        :raises OSError: the name has no address, or none of them answers.
        """
        found = _look_up(server, self._left)
        self._phase = "connect"
        error: OSError = OSError("the name has no address")
        for number, (family, kind, protocol, _, address) in enumerate(found):
            self._result.address = str(Address.of(address))
            sock = socket.socket(family, kind, protocol)
            try:
                # The others get their part of the time, as one of them may not answer.
                sock.settimeout(self._left / (len(found) - number))
                sock.connect(address)
                sock.settimeout(self._left)
            except OSError as exc:
                sock.close()
                error = exc
                continue
            self._result.connect = self._passed
            return sock
        raise error

    def _wait_for_greeting(self, sock: socket.socket) -> None:
        """Read the first bytes of the server. If there are none, send a FIN and wait.

        A remote without an origin accepts the client and resets it later. A server that receives a
        FIN either closes the connection or leaves it open.

        :raises ProbeFailed: the server closes the connection by itself, without data.
        """
        self._phase = "answer"
        sock.settimeout(min(GREETING_TIME, self._left / 2))
        received = _receive(sock)
        if received == b"":
            raise ProbeFailed("the connection was closed at once, without data")
        if received is None:
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(self._left)
            received = _receive(sock)
        if received:
            self._result.first_byte = self._passed
            self._result.size = len(received)
            self._result.greeting = _first_line(received)

    def _use_http(self, url: HttpUrl, sock: socket.socket) -> None:
        """Request a URL, with TLS if its scheme says so.

        :raises ProbeFailed: as `_request`.
        """
        deadline = Deadline(sock, self._left)
        try:
            if url.scheme == "http":
                self._request(url, sock)
            else:
                self._phase = "tls"
                host = url.server.host.removesuffix(".")
                with self._tls_context().wrap_socket(sock, server_hostname=host) as tls:
                    self._result.tls = self._passed
                    self._request(url, tls)
            if deadline.is_over:  # an answer without a length ends with the connection
                raise TimeoutError
        except (OSError, http.client.HTTPException, ProbeFailed):
            if deadline.is_over:
                raise TimeoutError from None
            raise
        finally:
            deadline.cancel()

    def _request(self, url: HttpUrl, sock: socket.socket) -> None:
        """Request a URL, and read the answer.

        :raises ProbeFailed: there is no complete answer, or its status means an error.
        """
        self._phase = "answer"
        request = (
            f"GET {url.path} HTTP/1.1\r\n"
            f"Host: {url.authority}\r\n"
            f"User-Agent: quictunnel/{__version__} probe\r\n"
            "Accept: */*\r\n"
            "Connection: close\r\n"
            "\r\n"
        )
        sock.sendall(request.encode("ascii"))
        with http.client.HTTPResponse(sock, method="GET") as response:
            if not response.fp.peek(1):
                raise ProbeFailed(f"the connection was closed without an answer: {NO_ORIGIN}")
            self._result.first_byte = self._passed
            response.begin()
            self._result.status = response.status
            self._phase = "content"
            while self._result.size < MAX_CONTENT and (piece := response.read(_READ_SIZE)):
                self._result.size += len(piece)
            if self._result.size < MAX_CONTENT and response.length:
                raise http.client.IncompleteRead(b"", response.length)
        self._judge(response.status)

    def _judge(self, status: int) -> None:
        """Check the status of a complete answer.

        :raises ProbeFailed: it means an error.
        """
        if self._statuses:
            if not any(status in each for each in self._statuses):
                wanted = " or ".join(map(str, self._statuses))
                raise ProbeFailed(f"the status is {status}, not {wanted}")
        elif status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ProbeFailed(explain_status(status))

    def _tls_context(self) -> ssl.SSLContext:
        context = system_tls_context()
        if not self._is_verifying:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def _look_up(server: HostPort, limit: float) -> list[Any]:
    """Return the addresses of a host as `socket.getaddrinfo` does.

    The resolver may block for longer than the limit, so it runs in a thread that is left alone.

    :raises OSError: the name has no address.
    :raises TimeoutError: there is no answer in time.
    """
    answers: queue.SimpleQueue[list[Any] | OSError] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            answers.put(socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM))
        except OSError as exc:
            answers.put(exc)

    threading.Thread(target=resolve, name=f"look up {server.host}", daemon=True).start()
    try:
        answer = answers.get(timeout=limit)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(answer, OSError):
        raise answer
    return answer


def _receive(sock: socket.socket) -> bytes | None:
    """Return the next bytes, no bytes after a FIN, and None after a timeout."""
    try:
        return sock.recv(_READ_SIZE)
    except TimeoutError:
        return None


def _first_line(data: bytes) -> str:
    """Return the first line of what a server sends, not yet escaped."""
    return data[:_MAX_GREETING].decode("utf-8", "replace").partition("\n")[0].rstrip("\r")
