"""The demo's origin server: one web page, over as much HTTP as a browser and curl need.

It requires a PROXY protocol header of version 2 before each request, and shows its content.
"""

from __future__ import annotations

import asyncio
import html
from importlib import resources
from string import Template
from typing import cast

from quictunnel import __version__
from quictunnel.errors import ProtocolError
from quictunnel.protocol.address import Address
from quictunnel.protocol.preamble import Preamble, PreambleDecoder

MAX_REQUEST = 16 * 1024
"""Bytes of a request's head, a limit that is common in web servers."""

REQUEST_TIMEOUT = 10.0
"""Seconds in which a request must arrive."""

_HEAD_END = b"\r\n\r\n"


class Site:
    """A web server with one page, on a free port of the loopback address."""

    def __init__(self) -> None:
        self.count = 0
        """Connections so far."""
        self._server: asyncio.Server | None = None
        self._template = Template(
            resources.files("quictunnel.cli").joinpath("demo_page.html").read_text("utf-8")
        )

    async def start(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Visit(self), "127.0.0.1", 0)

    @property
    def address(self) -> Address:
        """The address on which it listens, from `start` on."""
        if self._server is None:
            raise RuntimeError("the site has not been started")
        return Address.of(self._server.sockets[0].getsockname())

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    def page(self, visitor: Preamble) -> bytes:
        """Return the page for a visitor."""
        values = {
            "client": visitor.client or "unknown",
            "outside": visitor.outside or "unknown",
            "id": visitor.client_id or "unknown",
            "server": self.address,
            "count": self.count,
            "version": __version__,
        }
        escaped = {key: html.escape(str(value)) for key, value in values.items()}
        return self._template.substitute(escaped).encode()


class _Visit(asyncio.Protocol):
    """One connection: it reads a header and a request, answers, and closes."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._decoder = PreambleDecoder()
        self._visitor: Preamble | None = None
        self._request = b""
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._site.count += 1
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(REQUEST_TIMEOUT, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._visitor is None:
            try:
                found = self._decoder.feed(data)
            except ProtocolError:
                self._transport.abort()  # the client bypasses the tunnel
                return
            if found is None:
                return
            self._visitor, data = found
        self._request += data
        if _HEAD_END in self._request:
            self._transport.write(_answer(self._request, self._site.page(self._visitor)))
            self._transport.close()
        elif len(self._request) > MAX_REQUEST:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._deadline is not None:
            self._deadline.cancel()


def _answer(request: bytes, page: bytes) -> bytes:
    """Return the complete response to a request (RFC 9112)."""
    method, _, rest = request.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    status = "200 OK"
    if method not in (b"GET", b"HEAD"):
        status, page = "405 Method Not Allowed", b"only GET is allowed\n"
    elif path != b"/":
        status, page = "404 Not Found", b"the only page is /\n"
    kind = "text/html" if status.startswith("200") else "text/plain"
    head = (
        f"HTTP/1.1 {status}\r\n"
        f"Content-Type: {kind}; charset=utf-8\r\n"
        f"Content-Length: {len(page)}\r\n"
        "Cache-Control: no-store\r\n"
        "Connection: close\r\n"
        "\r\n"
    ).encode()
    return head if method == b"HEAD" else head + page
