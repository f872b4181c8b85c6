"""The admin interface's HTTP server: its limits on connections, and its end."""

from __future__ import annotations

import asyncio
import logging
import signal

from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from quictunnel.admin import server as module

REQUEST = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def read_until_closed(reader: asyncio.StreamReader) -> bytes:
    """Return everything until the connection is closed or reset."""
    try:
        async with asyncio.timeout(20):
            return await reader.read()
    except ConnectionResetError:
        return b""


async def test_several_requests_share_a_connection(serve):
    peer = await serve()
    reader, writer = await peer.connect()
    for _ in range(3):
        writer.write(REQUEST)
        assert (await reader.readuntil(b"hello\n")).startswith(b"HTTP/1.1 200 ")
    writer.close()
    await writer.wait_closed()


async def test_a_connection_without_a_complete_request_is_closed(serve, monkeypatch):
    monkeypatch.setattr(module, "IDLE_TIMEOUT", 0.05)
    peer = await serve()
    for sent in (b"", b"GET /hello HTTP/1.1\r\n", REQUEST + b"GET "):
        reader, writer = await peer.connect()
        writer.write(sent)
        answer = await read_until_closed(reader)
        assert answer.count(b"HTTP/1.1 200 ") in ((0, 1) if sent.startswith(REQUEST) else (0,))
        writer.close()


async def test_a_request_whose_body_does_not_come_is_closed(serve, monkeypatch):
    monkeypatch.setattr(module, "IDLE_TIMEOUT", 0.05)

    async def echo(request):
        return PlainTextResponse(await request.body())

    peer = await serve(Route("/echo", echo, methods=["POST"]))
    reader, writer = await peer.connect()
    writer.write(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
    assert await read_until_closed(reader) == b""
    writer.close()


async def test_a_request_in_progress_is_not_idle(serve, monkeypatch):
    monkeypatch.setattr(module, "IDLE_TIMEOUT", 0.02)

    async def slow(_request):
        await asyncio.sleep(0.2)
        return PlainTextResponse("slow\n")

    peer = await serve(Route("/slow", slow))
    assert (await peer.request("/slow")).body == b"slow\n"


async def test_a_client_that_does_not_read_is_disconnected(serve, monkeypatch):
    monkeypatch.setattr(module, "WRITE_TIMEOUT", 0.05)
    ended = asyncio.Event()

    async def zeros():
        try:
            while True:
                yield bytes(65536)
                await asyncio.sleep(0)
        finally:
            ended.set()

    async def endless(_request):
        return StreamingResponse(zeros())

    peer = await serve(Route("/endless", endless))
    _, writer = await peer.connect()
    writer.transport.pause_reading()
    writer.write(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n")
    async with asyncio.timeout(20):
        await ended.wait()
    writer.transport.abort()


async def test_above_the_limit_the_connection_that_waits_the_longest_is_closed(serve, monkeypatch):
    monkeypatch.setattr(module, "MAX_CONNECTIONS", 3)
    peer = await serve()
    silent, silent_writer = await peer.connect()
    idle, idle_writer = await peer.connect()
    idle_writer.write(REQUEST)
    await idle.readuntil(b"hello\n")
    third = await peer.connect()
    fourth = await peer.connect()
    assert await read_until_closed(silent) == b""
    fifth = await peer.connect()
    assert await read_until_closed(idle) == b""
    for reader, writer in (third, fourth, fifth):
        writer.write(REQUEST)
        assert (await reader.readuntil(b"hello\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()
    silent_writer.close()
    idle_writer.close()


async def test_above_the_limit_requests_in_progress_are_not_disturbed(serve, monkeypatch):
    monkeypatch.setattr(module, "MAX_CONNECTIONS", 2)
    may_end = asyncio.Event()
    started = asyncio.Queue()

    async def slow(_request):
        started.put_nowait(None)
        await may_end.wait()
        return PlainTextResponse("slow\n")

    peer = await serve(Route("/slow", slow))
    current = [asyncio.create_task(peer.request("/slow")) for _ in range(2)]
    for _ in current:
        await started.get()
    reader, writer = await peer.connect()
    assert await read_until_closed(reader) == b""
    may_end.set()
    assert [(await each).body for each in current] == [b"slow\n"] * 2
    writer.close()


async def test_close_ends_idle_connections_and_lets_a_request_finish(serve):
    started = asyncio.Event()

    async def slow(_request):
        started.set()
        await asyncio.sleep(0.3)
        return PlainTextResponse("slow\n")

    peer = await serve(Route("/slow", slow))
    idle, idle_writer = await peer.connect()
    idle_writer.write(REQUEST)
    await idle.readuntil(b"hello\n")
    current = asyncio.create_task(peer.request("/slow"))
    await started.wait()
    await peer.server.close()
    assert (await current).body == b"slow\n"
    assert await idle.read() == b""
    idle_writer.close()


async def test_close_ends_a_request_that_does_not_finish(serve, monkeypatch):
    monkeypatch.setattr(module, "SHUTDOWN_TIMEOUT", 0)
    started = asyncio.Event()

    async def stuck(_request):
        started.set()
        await asyncio.Event().wait()

    peer = await serve(Route("/stuck", stuck))
    current = asyncio.create_task(peer.send(b"GET /stuck HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    await started.wait()
    await peer.server.close()
    assert await current == b""
    assert {task.get_name() for task in asyncio.all_tasks()} == {
        asyncio.current_task().get_name()  # no task of the server is left
    }


async def test_signals_and_logging_are_left_to_the_program(serve, caplog):
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    loggers = [logging.getLogger(name) for name in ("uvicorn", "uvicorn.error", "uvicorn.access")]
    peer = await serve()
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert not any(logger.handlers for logger in loggers)
    upgrade = REQUEST.replace(b"\r\n\r\n", b"\r\nUpgrade: x\r\nConnection: upgrade, close\r\n\r\n")
    for sent in (b"\x16\x03\x01 is no HTTP\r\n\r\n", upgrade):
        assert (await peer.send(sent)).startswith(b"HTTP/1.1 ")
    assert caplog.records == []
