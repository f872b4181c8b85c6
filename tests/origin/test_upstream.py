"""Connections to the origin server, on real sockets."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest

from quictunnel.config.addresses import HostPort, UnixPath
from quictunnel.origin import upstream as module
from quictunnel.origin.upstream import ConnectError, Upstream
from quictunnel.protocol.codes import Code
from testkit.clock import virtual_time


class Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.got = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport):
        self.transport = transport
        transport.resume_reading()

    def data_received(self, data):
        self.got.set_result(data)
        self.transport.close()


async def greet(reader, writer):
    writer.write(b"hello")
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def receive(target, upstream: Upstream | None = None) -> bytes:
    """Return what a server sends, or raise why it cannot be reached."""
    connection = Connection()
    (upstream or Upstream(target)).connect(connection, connection.got.set_exception)
    return await connection.got


async def test_a_tcp_server():
    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await receive(HostPort("127.0.0.1", port)) == b"hello"


async def test_a_server_on_one_of_a_names_addresses():
    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await receive(HostPort("localhost", port)) == b"hello"


async def test_a_name_is_not_resolved_for_each_client(monkeypatch):
    asked = []
    real = socket.getaddrinfo

    def getaddrinfo(*args, **kwargs):
        asked.append(args)
        return real(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        upstream = Upstream(HostPort("localhost", server.sockets[0].getsockname()[1]))
        for _ in range(3):
            assert await receive(None, upstream) == b"hello"
    ours = [args for args in asked if args[0] == "localhost"]
    assert len(ours) == 1


async def test_a_server_whose_address_has_changed_is_found_again(monkeypatch):
    places: list[tuple] = []

    real = socket.getaddrinfo

    def getaddrinfo(host, *others, **kwargs):
        if host != "web.example":
            return real(host, *others, **kwargs)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in places]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    upstream = Upstream(HostPort("web.example", 80))
    for host in ("127.0.0.1", "127.0.0.2"):
        async with await asyncio.start_server(greet, host, 0) as server:
            places.append(server.sockets[0].getsockname())
            assert await receive(None, upstream) == b"hello"


async def test_a_unix_socket(tmp_path):
    path = str(tmp_path / "web")
    async with await asyncio.start_unix_server(greet, path):
        assert await receive(UnixPath(path)) == b"hello"


async def fails(target) -> ConnectError:
    with pytest.raises(ConnectError) as caught:
        await receive(target)
    return caught.value


async def test_a_closed_port_is_refused():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # but does not listen
        for host in ("127.0.0.1", "localhost"):
            error = await fails(HostPort(host, taken.getsockname()[1]))
            assert error.code == Code.ORIGIN_REFUSED
            assert str(error) == "Connection refused"


async def test_no_such_name_is_unreachable():
    error = await fails(HostPort("nowhere.invalid", 1))
    assert error.code == Code.ORIGIN_UNREACHABLE
    assert "does not resolve" in str(error)


async def test_no_such_unix_socket_is_unreachable(tmp_path):
    error = await fails(UnixPath(str(tmp_path / "none")))
    assert error.code == Code.ORIGIN_UNREACHABLE
    assert str(error) == "No such file or directory"


async def test_a_stale_unix_socket_is_refused(tmp_path):
    path = str(tmp_path / "left behind")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
    assert (await fails(UnixPath(path))).code == Code.ORIGIN_REFUSED


@pytest.fixture
def full_unix_socket(tmp_path):
    """A Unix socket that listens and has a full queue, and the number of waiting connections."""
    path = str(tmp_path / "busy")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(0)
        waiting = []
        while not waiting or waiting[-1].connect_ex(path) == 0:
            waiting.append(socket.socket(socket.AF_UNIX))
            waiting[-1].setblocking(False)
        yield path, server, len(waiting) - 1
        for sock in waiting:
            sock.close()


async def test_a_full_unix_socket_is_retried(full_unix_socket):
    path, server, before = full_unix_socket
    attempt = asyncio.create_task(receive(UnixPath(path)))
    for _ in range(before):
        server.accept()[0].close()
    accepted, _ = await asyncio.to_thread(server.accept)
    accepted.send(b"hello")
    assert await attempt == b"hello"
    accepted.close()


def test_silence_is_unreachable_after_ten_seconds(full_unix_socket):
    path, _, _ = full_unix_socket

    @virtual_time
    async def story():
        error = await fails(UnixPath(path))
        assert asyncio.get_running_loop().time() == pytest.approx(10)
        assert error.code == Code.ORIGIN_UNREACHABLE
        assert str(error) == "no answer within 10 s"

    story()


async def test_literal_addresses_are_not_looked_up(monkeypatch):
    monkeypatch.setattr(module, "look_up", None)
    for host in ("127.0.0.1", "::1"):
        async with await asyncio.start_server(greet, host, 0) as server:
            port = server.sockets[0].getsockname()[1]
            assert await receive(HostPort(host, port)) == b"hello"
        assert (await fails(HostPort(host, port))).code == Code.ORIGIN_REFUSED


async def test_no_descriptor_left_is_too_many_clients(monkeypatch):
    def short(*_):
        raise OSError(errno.EMFILE, "short")

    monkeypatch.setattr(module.socket, "socket", short)
    assert (await fails(HostPort("127.0.0.1", 1))).code == Code.OVERLOADED


async def test_bytes_that_arrive_with_the_connection_are_not_lost():
    """The server's bytes and its FIN are there when the connection is first looked at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        attempt = asyncio.create_task(receive(HostPort("127.0.0.1", server.getsockname()[1])))
        await asyncio.sleep(0)
        accepted, _ = server.accept()
        accepted.send(b"hello")
        accepted.close()
        assert await attempt == b"hello"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_cancelled_attempt_resets_the_connection(host):
    """The kernel has connected, but the event loop has not noticed it yet."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        upstream = Upstream(HostPort(host, server.getsockname()[1]))
        greeting = asyncio.create_task(receive(None, upstream))
        accepted, _ = await asyncio.to_thread(server.accept)
        accepted.send(b"hello")
        assert await greeting == b"hello"  # the name has been resolved
        accepted.close()
        connection = Connection()
        attempt = upstream.connect(connection, pytest.fail)
        accepted, _ = server.accept()
        attempt.cancel()
        await asyncio.sleep(0)
        with accepted, pytest.raises(ConnectionResetError):
            accepted.recv(1)
        attempt.cancel()
        assert connection.transport is None


async def test_a_cancelled_lookup_calls_nothing(monkeypatch):
    asked = asyncio.Event()

    async def never(*_, **__):
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(module, "look_up", never)
    attempt = Upstream(HostPort("web.example", 80)).connect(Connection(), pytest.fail)
    await asked.wait()
    attempt.cancel()
    await asyncio.sleep(0)
    assert attempt._task.cancelled()


async def test_a_connection_made_while_the_attempt_is_cancelled_is_closed(monkeypatch):
    loop = asyncio.get_running_loop()
    connect, connected = loop.sock_connect, loop.create_future()

    async def connect_and_cancel(sock, address):
        await connect(sock, address)
        attempt.cancel()
        connected.set_result(sock)

    monkeypatch.setattr(loop, "sock_connect", connect_and_cancel)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        monkeypatch.setattr(module, "look_up", fixed_address(address))
        attempt = Upstream(HostPort("web.example", 80)).connect(Connection(), pytest.fail)
        sock = await connected
        await asyncio.wait([attempt._task])
        assert sock.fileno() == -1


def fixed_address(address):
    """Return a resolver for which every name has this one address."""

    async def look_up(*_, **__):
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", address)]

    return look_up


async def test_a_bug_is_passed_on_as_it_is(monkeypatch):
    async def look_up(*_, **__):
        raise KeyError("a bug")

    monkeypatch.setattr(module, "look_up", look_up)
    with pytest.raises(KeyError):
        await receive(HostPort("web.example", 80))
