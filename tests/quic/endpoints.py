"""Links over loopback sockets for tests: an echoing listener, and dialling it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from pair import CLIENT_TLS, server_tls

from quictunnel.quic.dialer import dial
from quictunnel.quic.link import Link, LinkProtocol
from quictunnel.quic.listener import Listener, listen
from quictunnel.quic.settings import ClientTls, LinkSettings, ServerTls
from quictunnel.quic.stream import Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TIMEOUT = 20.0
"""Seconds after which a test has failed; none takes nearly as long."""


class Echo(asyncio.Protocol):
    """Echo, with back-pressure both ways."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, Stream)
        self.stream = transport

    def data_received(self, data: bytes) -> None:
        self.stream.write(data)

    def eof_received(self) -> bool:
        self.stream.write_eof()
        return True

    def pause_writing(self) -> None:
        self.stream.pause_reading()

    def resume_writing(self) -> None:
        self.stream.resume_reading()


class Trusting(LinkProtocol):
    """Trusts every peer, and echoes."""

    trusts = True

    def __init__(self) -> None:
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.made: asyncio.Future[Link] = asyncio.get_running_loop().create_future()

    def link_made(self, link: Link) -> None:
        self.made.set_result(link)
        if self.trusts:
            link.trust()
            link.allow_streams(100)

    def stream_accepted(self, stream: Stream) -> asyncio.Protocol:
        return Echo()

    def link_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


class Wary(Trusting):
    """Does not trust its peers."""

    trusts = False


@contextlib.asynccontextmanager
async def listening(
    host: str = "127.0.0.1",
    *,
    engine: str,
    protocol_factory: type[LinkProtocol] = Trusting,
    tls: ServerTls | None = None,
    settings: LinkSettings | None = None,
) -> AsyncIterator[Listener]:
    listener = await listen(
        host,
        0,
        protocol_factory=protocol_factory,
        server_tls=tls or server_tls(),
        settings=replace(settings or LinkSettings(), engine=engine),
    )
    try:
        yield listener
    finally:
        listener.close()
        await listener.wait_closed()


async def dialled(
    port: int,
    host: str = "127.0.0.1",
    *,
    engine: str,
    protocol: LinkProtocol | None = None,
    tls: ClientTls = CLIENT_TLS,
    settings: LinkSettings | None = None,
    within: float = TIMEOUT,
) -> Link:
    return await dial(
        host,
        port,
        protocol=protocol or Trusting(),
        client_tls=tls,
        settings=replace(settings or LinkSettings(), engine=engine),
        within=within,
    )


async def closed(link: Link) -> None:
    """Close a link, and wait until its socket is gone."""
    link.close()
    await link.wait_closed()
    await asyncio.sleep(0)


async def echo(link: Link, data: bytes) -> bytes:
    """Send `data` on a new stream, and return the echo."""
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    stream = link.open_stream(protocol)
    writer = asyncio.StreamWriter(stream, protocol, reader, asyncio.get_running_loop())

    async def pour() -> None:
        for start in range(0, len(data), 1 << 18):
            writer.write(data[start : start + (1 << 18)])
            await writer.drain()
        writer.write_eof()

    async with asyncio.timeout(TIMEOUT), asyncio.TaskGroup() as tasks:
        tasks.create_task(pour())
        back = await reader.read()
    writer.close()
    return back
