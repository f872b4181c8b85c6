"""An admin server on loopback, and requests to it byte by byte."""

from __future__ import annotations

import asyncio

import pytest
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from quictunnel.admin.app import make_app
from quictunnel.admin.server import AdminServer
from quictunnel.config.addresses import HostPort


class AdminPeer:
    """A server with some routes, and its events."""

    def __init__(self, *routes: Route) -> None:
        self.events = []
        app = make_app(routes, emit=self.events.append)
        self.server = AdminServer(HostPort("127.0.0.1", 0), app)

    async def start(self) -> None:
        self.server.bind()
        await self.server.serve()

    async def connect(self):
        address = self.server.address
        return await asyncio.open_connection(address.host, address.port)

    async def send(self, data: bytes) -> bytes:
        """Return everything that the server sends until it closes the connection."""
        reader, writer = await self.connect()
        try:
            writer.write(data)
            return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()

    async def get(self, path: str, *, method: str = "GET", host: str | None = "localhost") -> bytes:
        headers = "" if host is None else f"Host: {host}\r\n"
        request = f"{method} {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n"
        return await self.send(request.encode())


async def _hello(_request):
    return PlainTextResponse("hello\n")


@pytest.fixture
async def serve():
    """Return a function that serves routes; `/hello` is one of them."""
    peers = []

    async def start(*routes: Route) -> AdminPeer:
        peer = AdminPeer(Route("/hello", _hello), *routes)
        peers.append(peer)
        await peer.start()
        return peer

    yield start
    for peer in peers:
        await peer.server.close()
