"""The admin server: its address, its limits on connections, and its end."""

from __future__ import annotations

import asyncio
import logging
import signal

import pytest
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from quictunnel.admin import server as module
from quictunnel.admin.app import make_app
from quictunnel.admin.server import AdminServer
from quictunnel.config.addresses import HostPort
from quictunnel.errors import SettingsError
from quictunnel.events import discard_event

REQUEST = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def test_several_requests_share_a_connection(serve):
    peer = await serve()
    reader, writer = await peer.connect()
    for _ in range(3):
        writer.write(REQUEST)
        assert (await reader.readuntil(b"hello\n")).startswith(b"HTTP/1.1 200 ")
    writer.close()
    await writer.wait_closed()


async def test_an_address_in_use_is_an_error_that_names_the_option(serve):
    address = (await serve()).server.address
    second = AdminServer(HostPort(address.host, address.port), make_app([], emit=discard_event))
    with pytest.raises(SettingsError, match=r"cannot listen on tcp .*--admin PORT"):
        second.bind()


async def test_ipv6_loopback_is_served():
    server = AdminServer(HostPort("::1", 0), make_app([], emit=discard_event))
    server.bind()
    await server.serve()
    reader, writer = await asyncio.open_connection("::1", server.address.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 404 ")
    writer.close()
    await writer.wait_closed()
    await server.close()


async def test_a_connection_without_a_complete_request_is_closed(serve, monkeypatch):
    monkeypatch.setattr(module, "IDLE_TIMEOUT", 0.05)
    peer = await serve()
    for sent in (b"", b"GET /hello HTTP/1.1\r\n", REQUEST + b"GET "):
        reader, writer = await peer.connect()
        writer.write(sent)
        answer = b""
        try:
            async with asyncio.timeout(10):
                answer = await reader.read()
        except ConnectionResetError:
            pass
        assert answer.count(b"HTTP/1.1 200 ") in ((0, 1) if sent.startswith(REQUEST) else (0,))
        writer.close()


async def test_a_request_in_progress_is_not_idle(serve, monkeypatch):
    monkeypatch.setattr(module, "IDLE_TIMEOUT", 0.02)

    async def slow(_request):
        await asyncio.sleep(0.2)
        return PlainTextResponse("slow\n")

    peer = await serve(Route("/slow", slow))
    assert (await peer.get("/slow")).endswith(b"slow\n")


async def test_connections_above_the_limit_are_closed(serve, monkeypatch):
    monkeypatch.setattr(module, "MAX_CONNECTIONS", 2)
    peer = await serve()
    kept = [await peer.connect() for _ in range(2)]
    for reader, writer in kept:
        writer.write(REQUEST)
        await reader.readuntil(b"hello\n")
    reader, writer = await peer.connect()
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    for _, each in [*kept, (reader, writer)]:
        each.close()


async def test_close_ends_idle_connections_and_lets_a_request_finish(serve):
    started = asyncio.Event()

    async def slow(_request):
        started.set()
        await asyncio.sleep(0.3)
        return PlainTextResponse("slow\n")

    peer = await serve(Route("/slow", slow))
    idle, idle_writer = await peer.connect()
    current = asyncio.create_task(peer.get("/slow"))
    await started.wait()
    await peer.server.close()
    assert (await current).endswith(b"slow\n")
    assert await idle.read() == b""
    idle_writer.close()
    with pytest.raises(ConnectionRefusedError):
        await peer.connect()


async def test_close_ends_a_request_that_does_not_finish(serve, monkeypatch):
    monkeypatch.setattr(module, "SHUTDOWN_TIMEOUT", 0)
    started = asyncio.Event()

    async def stuck(_request):
        started.set()
        await asyncio.Event().wait()

    peer = await serve(Route("/stuck", stuck))
    current = asyncio.create_task(peer.get("/stuck"))
    await started.wait()
    await peer.server.close()
    assert await current == b""
    assert {task.get_name() for task in asyncio.all_tasks()} == {
        asyncio.current_task().get_name()  # no task of the server is left
    }


async def test_signals_and_logging_are_left_to_the_program(serve):
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    loggers = [logging.getLogger(name) for name in ("uvicorn", "uvicorn.error", "uvicorn.access")]
    await serve()
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert not any(logger.handlers for logger in loggers)
