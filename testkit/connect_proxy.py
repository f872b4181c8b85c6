"""`python -m testkit.connect_proxy HOST:PORT`: an HTTP proxy that knows only CONNECT."""

from __future__ import annotations

import asyncio
import contextlib
import sys

LARGEST_READ = 64 * 1024
"""Bytes that one direction forwards at a time."""


async def main(host: str, port: int) -> None:
    """Serve until the program is killed."""
    server = await asyncio.start_server(_serve, host, port)
    print("ready", flush=True)
    await server.serve_forever()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.IncompleteReadError):
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
        host, _, port = target.rpartition(":")
        if method != "CONNECT":
            writer.write(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n")
            return
        far_reader, far_writer = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with contextlib.closing(far_writer):
            await asyncio.gather(_forward(reader, far_writer), _forward(far_reader, writer))


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(LARGEST_READ):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


if __name__ == "__main__":
    name, _, number = sys.argv[1].rpartition(":")
    asyncio.run(main(name.strip("[]"), int(number)))
