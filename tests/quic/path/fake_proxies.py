"""Proxies with one answer, and those that connect, on loopback addresses."""

from __future__ import annotations

import asyncio
import contextlib


class FakeProxy:
    """A TCP server that runs a script for each connection, and counts the connections.

    :param script: takes the reader and the writer.
    """

    def __init__(self, script, ssl=None):
        self._script = script
        self._ssl = ssl
        self._server = None
        self._tasks = set()
        self.port = 0
        self.connections = 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._ssl)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        try:
            # asyncio logs the cancellation of a handler as an error.
            with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
                await self._script(reader, writer)
        finally:
            writer.transport.abort()


def answering(answer):
    """Return a script that reads a head and sends one answer."""

    async def script(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        await reader.read()

    return script


def connecting(heads):
    """Return the script of a proxy for HTTP CONNECT, which connects to this machine.

    :param heads: a list that gets the head of each request.
    """

    async def script(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(head.decode())
        port = int(head.split()[1].rpartition(b":")[2])
        for piece in (b"HTTP/1.1 200 Connection", b" established\r\nVia: 1.1 fake\r\n", b"\r\n"):
            writer.write(piece)
            await asyncio.sleep(0.01)
        await _relay(reader, writer, port)

    return script


def socks(seen, *, login=None, method=None, reply=0):
    """Return the script of a SOCKS proxy.

    :param seen: a list that gets each requested host.
    :param login: the user name and the password that it wants.
    :param method: the authentication method that it chooses; None for the right one.
    :param reply: the code of its answer.
    """

    async def script(reader, writer):
        version, count = await reader.readexactly(2)
        offered = await reader.readexactly(count)
        wanted = 0 if login is None else 2
        chosen = method if method is not None else wanted if wanted in offered else 0xFF
        writer.write(bytes((version, chosen)))
        if chosen == 2:
            await reader.readexactly(1)
            user = await reader.readexactly((await reader.readexactly(1))[0])
            password = await reader.readexactly((await reader.readexactly(1))[0])
            is_right = (user.decode(), password.decode()) == login
            writer.write(bytes((1, 0 if is_right else 1)))
        kind = (await reader.readexactly(4))[3]
        size = 4 if kind == 1 else (await reader.readexactly(1))[0]
        host = await reader.readexactly(size)
        seen.append(host.decode() if kind == 3 else ".".join(map(str, host)))
        port = int.from_bytes(await reader.readexactly(2))
        writer.write(bytes((5, reply, 0, 1, 0, 0, 0, 0, 0, 0)))
        if reply == 0:
            await _relay(reader, writer, port)
        else:
            await writer.drain()

    return script


async def _relay(reader, writer, port):
    """Copy in both directions between a connection and a port of this machine."""
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_copy(reader, far_writer))
            group.create_task(_copy(far_reader, writer))
    finally:
        far_writer.transport.abort()


async def _copy(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.transport.abort()
