"""Changed settings are applied to roles that run: what takes effect, and what needs a restart."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

from roles_in_process import refused

from quictunnel.config.addresses import HostPort
from quictunnel.config.ports import PortRange
from quictunnel.config.services import parse_services
from quictunnel.config.tokens import Token
from quictunnel.protocol.codes import Code
from testkit.programs import free_port
from testkit.tunnel import LOOPBACK

ONE_ENGINE = True


async def test_an_origin_changes_its_services(roles):
    origin = await roles.up()
    settings = origin._settings
    assert origin.apply(replace(settings, grace=1.0, hold=5.0, name="other")) == {"hold", "name"}
    assert origin._settings == replace(settings, grace=1.0)
    first = origin._connector.offer.services["default"]
    assert origin.apply(settings) == set()
    assert origin._connector.offer.services["default"] is first
    with socket.create_server((LOOPBACK, 0)) as other:
        other.settimeout(5)
        services = parse_services([f"{LOOPBACK}:{other.getsockname()[1]}"])
        assert origin.apply(replace(settings, services=services)) == set()
        await roles.connect()
        accepted, _ = await asyncio.to_thread(other.accept)
        accepted.close()


async def test_a_remote_changes_its_ports_and_tokens(roles):
    port, remote = free_port(), roles.remote
    settings = replace(remote._settings, ports=(PortRange(port, port),), client_wait=3.0)
    elsewhere = HostPort(LOOPBACK, 1)
    assert remote.apply(replace(settings, listen=elsewhere), (roles.token,)) == {"listen"}
    server = roles.server.sockets[0].getsockname()[1]
    origin = await roles.up(services=parse_services([f"{port}={LOOPBACK}:{server}"]))
    _, writer = await asyncio.open_connection(LOOPBACK, port)
    writer.close()
    (await roles.served.get()).reset()
    named = replace(settings, tls=elsewhere, http=elsewhere, hosts=("a.test",))
    assert remote.apply(named, (roles.token,)) == {"tls", "http"}
    assert remote._settings == replace(settings, hosts=("a.test",))
    assert remote.apply(replace(settings, ports=()), (roles.token,)) == set()
    with socket.socket() as sock:
        assert sock.connect_ex((LOOPBACK, port)) != 0
    remote.apply(settings, (Token(roles.token.id, "another-secret-of-the-same-id"),))
    assert (await refused(origin)).code == Code.BAD_TOKEN


async def test_a_remote_changes_the_keep_alive_of_new_clients(roles):
    port, remote = free_port(), roles.remote
    settings = replace(remote._settings, ports=(PortRange(port, port),))
    remote.apply(settings, (roles.token,))
    server = roles.server.sockets[0].getsockname()[1]
    target = f"{LOOPBACK}:{server}"
    await roles.up(services=parse_services([target, f"{port}={target}"]))
    listening = [
        sock
        for place in (remote._places._ports._outside, *opened_at(remote))
        for sock in place._sockets
    ]
    assert len(listening) == 2
    assert {idle_of(sock) for sock in listening} == {60}
    assert remote.apply(replace(settings, client_keepalive=9.0), (roles.token,)) == set()
    assert {idle_of(sock) for sock in listening} == {9}
    other = free_port()
    wider = replace(remote._settings, ports=(PortRange(port, port), PortRange(other, other)))
    remote.apply(wider, (roles.token,))
    await roles.up(name="other", services=parse_services([f"{other}={target}"]))
    assert {idle_of(sock) for place in opened_at(remote) for sock in place._sockets} == {9}


def opened_at(remote):
    """Return the listeners of ports that origins asked for."""
    opened = remote._places._ports._opened.values()
    return [listener for route in opened for listener in route.listeners]


def idle_of(sock: socket.socket) -> int:
    """Return the idle time before the first probe of a keep-alive, in seconds."""
    option = getattr(socket, "TCP_KEEPIDLE", None) or socket.TCP_KEEPALIVE
    return sock.getsockopt(socket.IPPROTO_TCP, option)
