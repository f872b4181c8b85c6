"""Requests a page of a server on this machine."""

from __future__ import annotations

import asyncio

import h11

from quictunnel import __version__
from quictunnel.config.addresses import HostPort

MAX_BODY = 1 << 20
"""Bytes of a body that are read."""

TIMEOUT = 3.0
"""Seconds for the whole request."""

_READ_SIZE = 65_536


async def get(server: HostPort, path: str) -> tuple[int, bytes]:
    """Return the status and the body of a page, cut to `MAX_BODY`.

    :raises OSError: the server cannot be reached, or does not answer in time.
    :raises h11.RemoteProtocolError: its answer is not HTTP.
    """
    async with asyncio.timeout(TIMEOUT):
        reader, writer = await asyncio.open_connection(server.host, server.port)
        try:
            connection = h11.Connection(h11.CLIENT)
            headers = [
                ("Host", str(server)),
                ("User-Agent", f"quictunnel/{__version__}"),
                ("Connection", "close"),
            ]
            request = h11.Request(method="GET", target=path, headers=headers)
            writer.write(connection.send(request) or b"")
            writer.write(connection.send(h11.EndOfMessage()) or b"")
            return await _read(reader, connection)
        finally:
            writer.transport.abort()


async def _read(reader: asyncio.StreamReader, connection: h11.Connection) -> tuple[int, bytes]:
    status, body = 0, bytearray()
    while len(body) < MAX_BODY:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_READ_SIZE))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            break
    return status, bytes(body[:MAX_BODY])
