"""The demo's origin server: a web page and a download, with the HTTP that browsers and curl need.

It requires a PROXY protocol header of version 2 before each request, and shows its content.
"""

from __future__ import annotations

import asyncio
import html
from importlib import resources
from string import Template
from typing import cast

from quictunnel import __version__
from quictunnel.cli.demo_download import SHA256, SIZE, Download
from quictunnel.errors import ProtocolError
from quictunnel.protocol.address import Address
from quictunnel.protocol.preamble import Preamble, PreambleDecoder

MAX_REQUEST = 16 * 1024
"""Bytes of a request's head, a limit that is common in web servers."""

REQUEST_TIMEOUT = 10.0
"""Seconds in which a request must arrive."""

DOWNLOAD_PATH = "/download"
"""The path of the download."""

_HEAD_END = b"\r\n\r\n"


class Site:
    """A web server with one page and a download, on a free port of the loopback address."""

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
            "download": DOWNLOAD_PATH,
            "size": f"{SIZE:,}",
            "sha256": SHA256,
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
        self._download: Download | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._site.count += 1
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(REQUEST_TIMEOUT, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing() or self._download is not None:
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
            self._answer(self._transport, self._visitor)
        elif len(self._request) > MAX_REQUEST:
            self._transport.abort()

    def pause_writing(self) -> None:
        if self._download is not None:
            self._download.pause()

    def resume_writing(self) -> None:
        if self._download is not None:
            self._download.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._deadline is not None:
            self._deadline.cancel()
        if self._download is not None:
            self._download.stop()

    def _answer(self, transport: asyncio.Transport, visitor: Preamble) -> None:
        """Answer the request (RFC 9112)."""
        method, path = _parse(self._request)
        if method == b"GET" and path == DOWNLOAD_PATH.encode():
            if self._deadline is not None:
                self._deadline.cancel()
            transport.write(_DOWNLOAD_HEAD)
            self._download = Download(transport)
            return
        if method == b"HEAD" and path == DOWNLOAD_PATH.encode():
            transport.write(_DOWNLOAD_HEAD)
        else:
            transport.write(_page_answer(method, path, self._site.page(visitor)))
        transport.close()


def _parse(request: bytes) -> tuple[bytes, bytes]:
    """Return the method and the path of a request."""
    method, _, rest = request.partition(b" ")
    return method, rest.partition(b" ")[0].partition(b"?")[0]


def _page_answer(method: bytes, path: bytes, page: bytes) -> bytes:
    """Return the complete response to a request that is not for the download."""
    status = "200 OK"
    if method not in (b"GET", b"HEAD"):
        status, page = "405 Method Not Allowed", b"only GET is allowed\n"
    elif path != b"/":
        status, page = "404 Not Found", f"there are only / and {DOWNLOAD_PATH}\n".encode()
    kind = "text/html" if status.startswith("200") else "text/plain"
    head = _head(status, f"{kind}; charset=utf-8", len(page))
    return head if method == b"HEAD" else head + page


def _head(status: str, kind: str, length: int, *others: str) -> bytes:
    """Return the head of a response."""
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Type: {kind}",
        f"Content-Length: {length}",
        "Cache-Control: no-store",
        "Connection: close",
        *others,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


_DOWNLOAD_HEAD = _head(
    "200 OK",
    "application/octet-stream",
    SIZE,
    'Content-Disposition: attachment; filename="quictunnel-demo.bin"',
    # The demo's live page, which has another port, downloads it as well. It has no secret.
    "Access-Control-Allow-Origin: *",
)
