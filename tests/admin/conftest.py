"""An HTTP server with the admin interface's rules on loopback, and requests to it byte by byte."""

from __future__ import annotations

import asyncio
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from quictunnel.admin import runtime as module
from quictunnel.admin.access import SameSite, is_local
from quictunnel.admin.app import make_app
from quictunnel.admin.server import HttpServer


@dataclass(frozen=True)
class Answer:
    """A response of the server."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @classmethod
    def parse(cls, data: bytes) -> Answer:
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(": ")
            assert name.lower() not in headers, f"{name} occurs twice"
            headers[name.lower()] = value
        return cls(int(first.split()[1]), headers, body)


def local(app):
    """Return an application that answers to names of this machine."""
    return SameSite(app, is_local)


class AdminPeer:
    """A server with some routes, its events, and requests to it."""

    def __init__(self, *routes: Route, guard=local) -> None:
        self.events = []
        self.server = HttpServer(make_app(routes, guard, emit=self.events.append))
        self._listener: asyncio.Server | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self.server.make_protocol, "127.0.0.1", 0)
        self.address = self._listener.sockets[0].getsockname()

    async def close(self) -> None:
        self._listener.close()
        await self.server.close()

    async def connect(self):
        return await asyncio.open_connection(*self.address)

    async def send(self, data: bytes) -> bytes:
        """Return everything that the server sends until it closes the connection."""
        reader, writer = await self.connect()
        try:
            writer.write(data)
            return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()

    async def request(
        self,
        path: str,
        *,
        method: str = "GET",
        host: str | None = "localhost",
        body: bytes = b"",
        **headers: str,
    ) -> Answer:
        """Return the answer to a request. In names of headers, `_` stands for a hyphen."""
        lines = [f"{method} {path} HTTP/1.1", "Connection: close"]
        if host is not None:
            lines.append(f"Host: {host}")
        if method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        request = "\r\n".join([*lines, "", ""]).encode("latin-1")
        return Answer.parse(await self.send(request + body))

    async def command(self, path: str, body: bytes = b"{}", **headers: str) -> Answer:
        """Return the answer to a command."""
        headers = {"Content_Type": "application/json"} | headers
        return await self.request(path, method="POST", body=body, **headers)


async def _hello(_request):
    return PlainTextResponse("hello\n")


@pytest.fixture
def runtime(monkeypatch):
    """Return a folder for runtime directories, in which no other role is.

    Its path is short enough for a socket.
    """
    with tempfile.TemporaryDirectory(prefix="qt-") as name:
        folder = Path(name)
        monkeypatch.setenv("XDG_RUNTIME_DIR", name)
        monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
        monkeypatch.setattr(module, "SYSTEM", folder / "run")
        monkeypatch.setattr(module, "USERS", folder / "run" / "user")
        yield folder


@pytest.fixture
async def serve():
    """Return a function that serves routes; `/hello` is one of them."""
    peers = []

    async def start(*routes: Route, guard=local) -> AdminPeer:
        peer = AdminPeer(Route("/hello", _hello), *routes, guard=guard)
        peers.append(peer)
        await peer.start()
        return peer

    yield start
    for peer in peers:
        await peer.close()
