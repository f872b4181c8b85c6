"""A web site as the origin server, for `caddy.py` and `browser.py`.

A program of its own (`python -m interop._site`). It speaks HTTP/1.1 as strictly as its clients
need, expects a PROXY protocol header of version 2 on each connection, and says who came:

    /who               how the request and its connection look from here, in JSON
    /bytes?size=N      N bytes that are the same each time, or a Range of them
    /upload            takes a body, and says how many bytes came and their SHA-256
    /together?n=N      answers once N such requests are here at the same time
    /events?n=N        N Server-Sent Events; each but the first waits for a request of /tick
    /echo              a WebSocket echo
    /tls-allowed       whether a name is one of the site's: 200 or 403
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
"""Bytes read at a time, and the longest head of a request."""

KNOWN = "shop.example.localhost"
"""The one name that the site says is its own, when it is asked who may have a certificate."""

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
"""How a PROXY protocol header of version 2 begins."""


@dataclass
class Visit:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    addresses: dict[str, str] = field(default_factory=dict)
    """Of the client and of the outside port, from the PROXY protocol header."""
    requests: int = 0
    is_over: bool = False
    """Whether no further request may come: the last answer ends with the connection."""


@dataclass(frozen=True)
class Request:
    """One request, without its body."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    """By name in lower case."""
    head: bytes
    """As it came."""


class Site:
    """What the site remembers between requests."""

    def __init__(self) -> None:
        self.visits = 0
        self.waiting = 0
        self.all_here = asyncio.Event()
        self.ticks: asyncio.Queue[None] = asyncio.Queue()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        self.visits += 1
        visit = Visit(reader, writer, self.visits)
        # Whoever looks whether the port is open leaves at once; clients leave when they like.
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            visit.addresses = await _proxy_header(reader)
            while not visit.is_over and (request := await _next_request(visit)):
                await self._answer(visit, request)
                await writer.drain()
        writer.close()

    async def _answer(self, visit: Visit, request: Request) -> None:
        match request.path:
            case "/who":
                _json(visit, visit.addresses | _seen(visit, request))
            case "/bytes":
                await _bytes(visit, request)
            case "/upload":
                await _upload(visit, request)
            case "/together":
                await self._together(visit, request)
            case "/events":
                await self._events(visit, request)
            case "/tick":
                self.ticks.put_nowait(None)
                _json(visit, {})
            case "/tls-allowed":
                known = request.query.get("domain") == KNOWN
                _send(visit, 200 if known else 403, "text/plain", b"")
            case "/echo":
                await _echo(visit, request)
            case "/":
                _send(visit, 200, "text/html; charset=utf-8", page())
            case _ if found := re.fullmatch(r"/image/(\d+)\.png", request.path):
                _send(visit, 200, "image/png", image(int(found[1])))
            case _:
                _send(visit, 404, "text/plain", b"not here\n")

    async def _together(self, visit: Visit, request: Request) -> None:
        self.waiting += 1
        if self.waiting == int(request.query["n"]):
            self.all_here.set()
        await self.all_here.wait()
        self.waiting -= 1
        if not self.waiting:
            self.all_here.clear()
        _json(visit, {"i": request.query["i"]} | visit.addresses)

    async def _events(self, visit: Visit, request: Request) -> None:
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        visit.writer.write(head.encode())
        for number in range(int(request.query["n"])):
            if number:
                await self.ticks.get()
            visit.writer.write(f"id: {number}\ndata: event {number}\n\n".encode())
            await visit.writer.drain()
        visit.is_over = True


async def _proxy_header(reader: asyncio.StreamReader) -> dict[str, str]:
    """Read the header; return the addresses in it, or none if the proxy speaks for itself."""
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


async def _next_request(visit: Visit) -> Request | None:
    try:
        head = await visit.reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (s.partition(":") for s in lines)}
    visit.requests += 1
    url = urlsplit(target)
    return Request(method, url.path, dict(parse_qsl(url.query)), headers, head)


def _seen(visit: Visit, request: Request) -> dict[str, object]:
    return {
        "connection": visit.number,
        "request": visit.requests,
        "host": request.headers.get("host"),
        "forwarded_for": request.headers.get("x-forwarded-for"),
        "i": request.query.get("i"),
    }


async def _bytes(visit: Visit, request: Request) -> None:
    size = int(request.query["size"])
    first, last, status = 0, size - 1, 200
    headers = ["Accept-Ranges: bytes"]
    if found := re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", "")):
        first, last, status = int(found[1]), int(found[2] or size - 1), 206
        headers.append(f"Content-Range: bytes {first}-{last}/{size}")
    _head(visit, status, "application/octet-stream", last - first + 1, headers)
    for piece in pieces(first, last + 1):
        visit.writer.write(piece)
        await visit.writer.drain()


async def _upload(visit: Visit, request: Request) -> None:
    expects = request.headers.get("expect", "").lower() == "100-continue"
    if expects:
        visit.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    digest, count = hashlib.sha256(), 0
    async for piece in _body(visit.reader, request):
        digest.update(piece)
        count += len(piece)
    _json(visit, {"bytes": count, "sha256": digest.hexdigest(), "expect": expects})


async def _body(reader: asyncio.StreamReader, request: Request) -> AsyncIterator[bytes]:
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


async def _echo(visit: Visit, request: Request) -> None:
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
        visit.writer.writelines(protocol.data_to_send())
        await visit.writer.drain()
        if protocol.close_expected():
            break
        data = await visit.reader.read(READ)
    visit.is_over = True


def _json(visit: Visit, answer: Mapping[str, object]) -> None:
    _send(visit, 200, "application/json", json.dumps(answer).encode() + b"\n")


def _send(visit: Visit, status: int, kind: str, body: bytes) -> None:
    _head(visit, status, kind, len(body), ())
    visit.writer.write(body)


def _head(visit: Visit, status: int, kind: str, length: int, headers: Iterable[str]) -> None:
    lines = [f"HTTP/1.1 {status} It-Is", f"Content-Type: {kind}", f"Content-Length: {length}"]
    visit.writer.write("\r\n".join([*lines, *headers, "", ""]).encode())


async def main() -> None:
    """Serve until SIGTERM."""
    server = await asyncio.start_server(Site().serve, "127.0.0.1", 0, limit=READ, backlog=1024)
    sock: socket.socket = server.sockets[0]
    print(f"ready: {sock.getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
