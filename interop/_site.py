"""A web site as the origin server, for `caddy.py` and `browser.py`.

It is a program (`python -m interop._site`). It speaks as much HTTP/1.1 as its clients need, and
expects a PROXY protocol v2 header on each connection.

    /who               the request and its connection as the site sees them, in JSON
    /bytes?size=N      N bytes, always the same, or a Range of them
    /upload            takes a body, and returns its size and SHA-256
    /together?n=N      answers when N such requests have arrived
    /events?n=N        N Server-Sent Events. Each except the first waits for a request of /tick
    /echo              a WebSocket echo
    /tls-allowed       200 if a name belongs to the site, otherwise 403
    / and /image/I.png a page of pictures (see `_page.py`)
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import socket
import struct
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from websockets.frames import Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.server import ServerProtocol

from interop._page import image, page
from interop._pattern import pieces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

READ = 256 * 1024
"""Bytes per read, and the longest head of a request."""

KNOWN = "shop.example.localhost"
"""The only name for which /tls-allowed allows a certificate."""

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
"""The first bytes of a PROXY protocol v2 header."""


@dataclass
class SiteConnection:
    """A connection to the site."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    addresses: dict[str, str] = field(default_factory=dict)
    """The client's address and the outside port, from the PROXY protocol header."""
    requests: int = 0
    is_over: bool = False
    """Whether the last answer ends with the connection."""


@dataclass(frozen=True)
class SiteRequest:
    """A request, without its body."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    """By name in lower case."""
    head: bytes
    """The head as received."""


class DemoSite:
    """The site with its state between requests."""

    def __init__(self) -> None:
        self.connections = 0
        self.waiting = 0
        self.all_here = asyncio.Event()
        self.ticks: asyncio.Queue[None] = asyncio.Queue()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        self.connections += 1
        connection = SiteConnection(reader, writer, self.connections)
        # A port probe closes at once, and clients may close at any time.
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            connection.addresses = await _proxy_header(reader)
            while not connection.is_over and (request := await _next_request(connection)):
                await self._answer(connection, request)
                await writer.drain()
        writer.close()

    async def _answer(self, connection: SiteConnection, request: SiteRequest) -> None:
        match request.path:
            case "/who":
                _json(connection, connection.addresses | _seen(connection, request))
            case "/bytes":
                await _bytes(connection, request)
            case "/upload":
                await _upload(connection, request)
            case "/together":
                await self._together(connection, request)
            case "/events":
                await self._events(connection, request)
            case "/tick":
                self.ticks.put_nowait(None)
                _json(connection, {})
            case "/tls-allowed":
                known = request.query.get("domain") == KNOWN
                _send(connection, 200 if known else 403, "text/plain", b"")
            case "/echo":
                await _echo(connection, request)
            case "/":
                _send(connection, 200, "text/html; charset=utf-8", page())
            case _ if found := re.fullmatch(r"/image/(\d+)\.png", request.path):
                _send(connection, 200, "image/png", image(int(found[1])))
            case _:
                _send(connection, 404, "text/plain", b"not here\n")

    async def _together(self, connection: SiteConnection, request: SiteRequest) -> None:
        self.waiting += 1
        if self.waiting == int(request.query["n"]):
            self.all_here.set()
        await self.all_here.wait()
        self.waiting -= 1
        if not self.waiting:
            self.all_here.clear()
        _json(connection, {"i": request.query["i"]} | connection.addresses)

    async def _events(self, connection: SiteConnection, request: SiteRequest) -> None:
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        connection.writer.write(head.encode())
        for number in range(int(request.query["n"])):
            if number:
                await self.ticks.get()
            connection.writer.write(f"id: {number}\ndata: event {number}\n\n".encode())
            await connection.writer.drain()
        connection.is_over = True


async def _proxy_header(reader: asyncio.StreamReader) -> dict[str, str]:
    """Read the header; return its addresses, or none if the proxy itself is the client."""
    head = await reader.readexactly(16)
    if not head.startswith(SIGNATURE):
        raise ConnectionError(f"no PROXY protocol header: {head!r}")
    command, family, length = struct.unpack("!BBH", head[12:])
    rest = await reader.readexactly(length)
    if command != 0x21:
        return {}
    size = {0x11: 4, 0x21: 16}[family]
    ports = struct.unpack_from("!HH", rest, 2 * size)
    return {
        "client": str(ip_address(rest[:size])),
        "client_port": str(ports[0]),
        "outside_port": str(ports[1]),
    }


async def _next_request(connection: SiteConnection) -> SiteRequest | None:
    try:
        head = await connection.reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (s.partition(":") for s in lines)}
    connection.requests += 1
    url = urlsplit(target)
    return SiteRequest(method, url.path, dict(parse_qsl(url.query)), headers, head)


def _seen(connection: SiteConnection, request: SiteRequest) -> dict[str, object]:
    return {
        "site": connection.writer.get_extra_info("sockname")[1],
        "connection": connection.number,
        "request": connection.requests,
        "host": request.headers.get("host"),
        "forwarded_for": request.headers.get("x-forwarded-for"),
        "i": request.query.get("i"),
    }


async def _bytes(connection: SiteConnection, request: SiteRequest) -> None:
    size = int(request.query["size"])
    first, last, status = 0, size - 1, 200
    headers = ["Accept-Ranges: bytes"]
    if found := re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", "")):
        first, last, status = int(found[1]), int(found[2] or size - 1), 206
        headers.append(f"Content-Range: bytes {first}-{last}/{size}")
    _head(connection, status, "application/octet-stream", last - first + 1, headers)
    for piece in pieces(first, last + 1):
        connection.writer.write(piece)
        await connection.writer.drain()


async def _upload(connection: SiteConnection, request: SiteRequest) -> None:
    expects = request.headers.get("expect", "").lower() == "100-continue"
    if expects:
        connection.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    digest, count = hashlib.sha256(), 0
    async for piece in _body(connection.reader, request):
        digest.update(piece)
        count += len(piece)
    _json(connection, {"bytes": count, "sha256": digest.hexdigest(), "expect": expects})


async def _body(reader: asyncio.StreamReader, request: SiteRequest) -> AsyncIterator[bytes]:
    """Read a body, by its length or in chunks."""
    if request.headers.get("transfer-encoding") == "chunked":
        while left := int((await reader.readline()).partition(b";")[0], 16):
            yield await reader.readexactly(left)
            await reader.readline()
        await reader.readline()
        return
    left = int(request.headers.get("content-length", "0"))
    while left:
        piece = await reader.read(min(left, READ))
        if not piece:
            raise ConnectionError("the body ended early")
        left -= len(piece)
        yield piece


async def _echo(connection: SiteConnection, request: SiteRequest) -> None:
    """Speak WebSocket from here to the connection's end."""
    protocol = ServerProtocol(max_size=16 * 1024 * 1024)
    data = request.head
    while data:
        protocol.receive_data(data)
        for event in protocol.events_received():
            if isinstance(event, Handshake):
                protocol.send_response(protocol.accept(event))
            elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                protocol.send_text(event.data)
            elif isinstance(event, Frame) and event.opcode is Opcode.BINARY:
                protocol.send_binary(event.data)
        connection.writer.writelines(protocol.data_to_send())
        await connection.writer.drain()
        if protocol.close_expected():
            break
        data = await connection.reader.read(READ)
    connection.is_over = True


def _json(connection: SiteConnection, answer: Mapping[str, object]) -> None:
    _send(connection, 200, "application/json", json.dumps(answer).encode() + b"\n")


def _send(connection: SiteConnection, status: int, kind: str, body: bytes) -> None:
    _head(connection, status, kind, len(body), ())
    connection.writer.write(body)


def _head(
    connection: SiteConnection, status: int, kind: str, length: int, headers: Iterable[str]
) -> None:
    lines = [f"HTTP/1.1 {status} It-Is", f"Content-Type: {kind}", f"Content-Length: {length}"]
    connection.writer.write("\r\n".join([*lines, *headers, "", ""]).encode())


async def main() -> None:
    """Serve until SIGTERM."""
    server = await asyncio.start_server(DemoSite().serve, "127.0.0.1", 0, limit=READ, backlog=1024)
    sock: socket.socket = server.sockets[0]
    print(f"ready: {sock.getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
