"""The remote as a whole: sockets that are passed in, events, the limit on clients."""

from __future__ import annotations

import asyncio
import resource
import socket

import pytest

from quictunnel.config.addresses import HostPort
from quictunnel.config.certificates import CertificateFiles
from quictunnel.config.services import ServiceSettings
from quictunnel.config.settings import OriginSettings, RemoteSettings
from quictunnel.config.state import load_or_make_certificate
from quictunnel.config.tokens import Token
from quictunnel.errors import SettingsError
from quictunnel.events import (
    ClientAccepted,
    ClientClosed,
    ClientLimitReached,
    DrainStarted,
    EngineSelected,
    Event,
    OriginConnected,
    RemoteStarted,
)
from quictunnel.origin.client import Origin
from quictunnel.remote.server import STOPPED, Remote

LOOPBACK = "127.0.0.1"
TOKEN = Token.new()


@pytest.fixture
async def make_remote(tmp_path):
    """Return a function that makes a remote, and the list of its events."""
    certificates = CertificateFiles(*load_or_make_certificate(tmp_path))
    settings = RemoteSettings(
        listen=HostPort(LOOPBACK, 0), outside=HostPort(LOOPBACK, 0), state_dir=tmp_path
    )
    remotes: list[Remote] = []

    def make(**arguments) -> tuple[Remote, list[Event]]:
        events: list[Event] = []
        arguments = {"emit": events.append, **arguments}
        remote = Remote(settings, (TOKEN,), certificates, **arguments)
        remotes.append(remote)
        return remote, events

    yield make
    for remote in remotes:
        remote.abort()
        await remote.wait_closed()


def bound(kind: socket.SocketKind, family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    sock = socket.socket(family, kind)
    sock.bind(("::1" if family == socket.AF_INET6 else LOOPBACK, 0))
    return sock


async def test_sockets_that_are_passed_in_are_used_and_closed(make_remote):
    link, outside = bound(socket.SOCK_DGRAM), bound(socket.SOCK_STREAM)
    outside.listen()
    link_port, outside_port = link.getsockname()[1], outside.getsockname()[1]
    # A client may connect before the remote starts, as with socket activation.
    reader, writer = await asyncio.open_connection(LOOPBACK, outside_port)
    writer.write(b"question")
    remote, events = make_remote(link_socket=link, outside_sockets=[outside])
    await remote.start()
    assert (remote.link_address.port, remote.outside_address.port) == (link_port, outside_port)

    async def answer(server_reader, server_writer):
        server_writer.write(await server_reader.readexactly(8) + b", answered")
        server_writer.close()

    async with await asyncio.start_server(answer, LOOPBACK, 0) as server:
        port = server.sockets[0].getsockname()[1]
        service = ServiceSettings(target=HostPort(LOOPBACK, port))
        origin = Origin(
            OriginSettings(
                remote=HostPort(LOOPBACK, link_port),
                services=(service,),
                token=TOKEN,
                name="box",
            ),
        )
        await origin.start()
        assert await reader.read(100) == b"question, answered"
        writer.close()
        origin.abort()
        await origin.wait_closed()
    remote.abort()
    await remote.wait_closed()
    assert (link.fileno(), outside.fileno()) == (-1, -1)
    kinds = [type(event) for event in events]
    assert kinds[:2] == [EngineSelected, RemoteStarted]
    assert {ClientAccepted, ClientClosed, OriginConnected} <= set(kinds)


async def test_several_outside_sockets_serve_the_same_clients(make_remote):
    sockets = [bound(socket.SOCK_STREAM), bound(socket.SOCK_STREAM, socket.AF_INET6)]
    addresses = [sock.getsockname()[:2] for sock in sockets]
    events: asyncio.Queue[Event] = asyncio.Queue()
    remote, _ = make_remote(outside_sockets=sockets, emit=events.put_nowait)
    await remote.start()
    writers = [(await asyncio.open_connection(*address))[1] for address in addresses]
    kinds = [type(await events.get()) for _ in range(4)]
    assert kinds == [EngineSelected, RemoteStarted, ClientAccepted, ClientAccepted]
    for writer in writers:
        writer.close()


@pytest.mark.parametrize("which", ["link_socket", "outside_sockets"])
async def test_a_socket_of_the_wrong_kind_is_refused_and_all_are_closed(make_remote, which):
    udp, tcp = bound(socket.SOCK_DGRAM), bound(socket.SOCK_STREAM)
    link, outside = (tcp, bound(socket.SOCK_STREAM)) if which == "link_socket" else (udp, udp.dup())
    remote, _ = make_remote(link_socket=link, outside_sockets=[outside])
    with pytest.raises(SettingsError, match="passed in for"):
        await remote.start()
    assert (link.fileno(), outside.fileno()) == (-1, -1)
    udp.close()
    tcp.close()


async def test_a_remote_that_is_never_started_closes_the_sockets(make_remote):
    link, outside = bound(socket.SOCK_DGRAM), bound(socket.SOCK_STREAM)
    remote, _ = make_remote(link_socket=link, outside_sockets=[outside])
    remote.abort()
    await remote.wait_closed()
    assert (link.fileno(), outside.fileno()) == (-1, -1)


async def test_clients_beyond_the_limit_are_reset_and_the_process_limits_stay(make_remote):
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    remote, events = make_remote(max_clients=1)
    await remote.start()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == limits
    _, first = await asyncio.open_connection(LOOPBACK, remote.outside_address.port)
    reader, second = await asyncio.open_connection(LOOPBACK, remote.outside_address.port)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    assert ClientLimitReached(clients=1, waiting=1) in events
    remote.drain()
    await remote.wait_closed()
    assert DrainStarted(clients=0, grace=30.0) in events
    (closed,) = (event for event in events if isinstance(event, ClientClosed))
    assert closed.reason == STOPPED
    for writer in (first, second):
        writer.close()
