"""OutsideListener addresses, on real sockets: both families, ports taken, resets."""

from __future__ import annotations

import asyncio
import socket

import pytest

from quictunnel.config.addresses import HostPort
from quictunnel.errors import SettingsError
from quictunnel.events import discard_event
from quictunnel.relay.tcp_options import KeepAlive
from quictunnel.remote.acceptor import relayed
from quictunnel.remote.outside_listener import OutsideListener, resolve_listen


class Caller(asyncio.Protocol):
    def __init__(self, came: asyncio.Queue) -> None:
        self.came = came

    def connection_made(self, transport):
        self.came.put_nowait(transport)


@pytest.fixture
def came():
    return asyncio.Queue()


@pytest.fixture
async def outside(came):
    made = []

    async def make(host: str, port: int = 0) -> OutsideListener:
        outside = OutsideListener(
            HostPort(host, port), relayed(lambda: Caller(came)), emit=discard_event
        )
        made.append(outside)
        await outside.bind()
        outside.serve()
        return outside

    yield make
    for one in made:
        one.close()


async def call(host: str, port: int) -> None:
    _, writer = await asyncio.open_connection(host, port)
    writer.close()
    await writer.wait_closed()


async def test_every_address_means_both_families(outside, came):
    port = (await outside("::")).address.port
    for host in ("127.0.0.1", "::1"):
        await call(host, port)
        (await came.get()).abort()


async def test_one_address_means_one_family(outside, came):
    port = (await outside("127.0.0.1")).address.port
    await call("127.0.0.1", port)
    (await came.get()).abort()
    with pytest.raises(ConnectionRefusedError):
        await call("::1", port)


async def test_a_name_means_all_its_addresses_on_one_port(outside, came):
    one = await outside("localhost")
    await call("localhost", one.address.port)
    (await came.get()).abort()


async def test_a_link_local_address_keeps_its_scope(monkeypatch):
    found = [(socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("fe80::1", 9001, 0, 3))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert await resolve_listen("udp", HostPort("fe80::1%eth0", 9001)) == "fe80::1%3"


async def test_a_port_that_is_taken_is_a_sentence(outside):
    taken = await outside("127.0.0.1")
    with pytest.raises(SettingsError, match="another program listens there already"):
        await outside("127.0.0.1", taken.address.port)


async def test_an_address_of_another_machine_is_a_sentence(outside):
    with pytest.raises(SettingsError, match="does not have that address"):
        await outside("192.0.2.1", 1234)


async def test_a_name_that_leads_nowhere_is_a_sentence(outside):
    with pytest.raises(SettingsError, match=r"cannot listen on tcp nowhere\.invalid:1"):
        await outside("nowhere.invalid", 1)
    with pytest.raises(SettingsError, match=r"cannot listen on udp nowhere\.invalid:1"):
        await resolve_listen("udp", HostPort("nowhere.invalid", 1))


async def test_who_is_dropped_by_a_crash_sees_a_reset(outside, came):
    port = (await outside("127.0.0.1")).address.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    transport = await came.get()
    sock = transport.get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == b"\1\0\0\0\0\0\0\0"
    transport.abort()  # the kernel does the same when the process dies
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def test_nobody_comes_any_more_when_it_is_closed(outside):
    one = await outside("127.0.0.1")
    one.close()
    with pytest.raises(ConnectionRefusedError):
        await call("127.0.0.1", one.address.port)


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="not every system has it")
@pytest.mark.parametrize("is_passed_in", [False, True])
async def test_clients_have_the_keep_alive_of_the_time_when_they_connect(came, is_passed_in):
    sockets = [socket.create_server(("127.0.0.1", 0))] if is_passed_in else []
    outside = OutsideListener(
        HostPort("127.0.0.1", 0),
        relayed(lambda: Caller(came)),
        emit=discard_event,
        sockets=sockets,
        keep_alive=KeepAlive.of_client(20),
    )
    await outside.bind()
    outside.serve()

    async def keep_alive() -> tuple[bool, int]:
        await call("127.0.0.1", outside.address.port)
        transport = await came.get()
        sock = transport.get_extra_info("socket")
        is_on = sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0
        idle = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
        transport.abort()
        return is_on, idle

    assert await keep_alive() == (True, 20)
    outside.set_keep_alive(KeepAlive.of_client(7))
    assert await keep_alive() == (True, 7)
    outside.set_keep_alive(KeepAlive.of_client(0))
    assert (await keep_alive())[0] is False
    outside.close()
    outside.set_keep_alive(KeepAlive.of_client(7))  # without an effect
