"""A remote and an origin in one process describe themselves, over loopback."""

from __future__ import annotations

import asyncio

import pytest
from role_doubles import of_type

from quictunnel.config.addresses import HostPort
from quictunnel.events import (
    ClientClosed,
    ClientEnding,
    LinkEnding,
    LinkEstablished,
    OriginConnected,
    OriginDisconnected,
)
from quictunnel.snapshots import ObservedRole
from testkit.tunnel import LOOPBACK


async def until(condition) -> None:
    """Wait until a condition holds, for as long as the test may take."""
    while not condition():  # noqa: ASYNC110 - most of the conditions set no event
        await asyncio.sleep(0.01)


async def closed_at_both_ends(roles) -> tuple[ClientClosed, ClientClosed]:
    """Return the events of the one client that has ended, of the remote and of the origin."""
    await until(lambda: of_type(roles.remote_events, ClientClosed))
    await until(lambda: of_type(roles.origin_events, ClientClosed))
    (at_remote,) = of_type(roles.remote_events, ClientClosed)
    (at_origin,) = of_type(roles.origin_events, ClientClosed)
    return at_remote, at_origin


async def test_both_ends_describe_the_same_client(roles):
    origin = await roles.up()
    client, server = await roles.pair()
    await client.send(b"question")
    await server.receive(8)
    await server.send(b"answer!")
    await client.receive(7)
    (at_remote,), (at_origin,) = roles.remote.iterate_clients(), origin.iterate_clients()
    assert at_remote.id == at_origin.id
    assert at_remote.link == at_origin.link
    assert at_remote.address == at_origin.address
    for each in (at_remote, at_origin):
        assert (each.state, each.service) == ("open", "default")
        assert (each.bytes_up, each.bytes_down) == (8, 7)
    assert at_remote.age >= at_origin.age >= 0
    client.send_eof()
    await server.receive_all()
    assert [each.state for each in roles.remote.iterate_clients()] == ["closing"]
    server.send_eof()
    await client.receive_all()
    remote_event, origin_event = await closed_at_both_ends(roles)
    for event in (remote_event, origin_event):
        assert (event.ending, event.id) == (ClientEnding.EOF, at_remote.id)
        assert 0 <= event.first_byte <= event.duration
    assert 0 <= origin_event.connect_time <= origin_event.first_byte
    assert remote_event.connect_time is None
    assert [*roles.remote.iterate_clients(), *origin.iterate_clients()] == []


@pytest.mark.parametrize("end", ["remote", "origin"])
async def test_an_administrator_of_either_end_closes_a_client(roles, end):
    origin = await roles.up()
    client, server = await roles.pair()
    other, other_server = await roles.pair()
    await client.send(b"x")
    await server.receive(1)
    role: ObservedRole = roles.remote if end == "remote" else origin
    (listed,) = [each for each in role.iterate_clients() if each.bytes_up]
    assert role.close_client(listed.id)
    assert await client.is_reset()
    assert await server.is_reset()
    events = dict(zip(("remote", "origin"), await closed_at_both_ends(roles), strict=True))
    assert events.pop(end).ending is ClientEnding.CLOSED
    (at_peer,) = events.values()
    assert at_peer.ending is ClientEnding.CUT_SHORT
    assert not role.close_client(listed.id)
    await other.send(b"still here")
    assert await other_server.receive(10) == b"still here"


async def test_a_client_that_waits_can_be_closed(roles):
    client = await roles.connect()
    await until(lambda: roles.remote.describe().clients)
    (waiting,) = roles.remote.iterate_clients()
    assert (waiting.state, waiting.link) == ("waiting", None)
    assert roles.remote.describe().clients == 1
    assert roles.remote.close_client(waiting.id)
    assert await client.is_reset()
    assert list(roles.remote.iterate_clients()) == []


async def test_both_ends_describe_the_same_link(roles):
    origin = await roles.up()
    client, server = await roles.pair()
    await client.send(bytes(100_000))
    await server.receive(100_000)
    (at_remote,), (at_origin,) = roles.remote.list_links(), origin.list_links()
    assert at_remote.id == at_origin.id
    (established,) = of_type(roles.origin_events, LinkEstablished)
    (connected,) = of_type(roles.remote_events, OriginConnected)
    assert at_remote.id == established.link == connected.link
    assert at_origin.peer == str(roles.remote.link_address)
    assert at_remote.agent.startswith("quictunnel/")
    assert at_origin.agent.startswith("quictunnel/")
    for link in (at_remote, at_origin):
        assert (link.origin, link.token, link.path) == ("box", roles.token.id, "udp")
        assert (link.silent_for, link.is_draining) == (None, False)
        assert (link.services, link.clients) == (("default",), 1)
        assert link.rtt > 0
        assert link.mtu >= 1200
        assert link.congestion_window > 0
        assert min(link.packets_sent, link.bytes_sent, link.bytes_received) > 0
    assert at_remote.bytes_sent > 100_000


async def test_both_ends_describe_the_same_service(roles):
    origin = await roles.up()
    (at_remote,), (at_origin,) = roles.remote.list_services(), origin.list_services()
    outside = roles.remote.outside_address
    for service in (at_remote, at_origin):
        assert (service.name, service.state, service.reason) == ("default", "up", None)
        assert service.places == (str(outside),)
        assert service.urls == (f"tcp://{outside}",)
    assert at_remote.origins == ("box",)
    assert at_origin.target == f"{LOOPBACK}:{roles.server.sockets[0].getsockname()[1]}"


async def test_a_remote_is_ready_from_its_start_to_its_end(roles):
    remote = roles.remote
    role = remote.describe()
    assert (role.role, role.is_ready, role.reason) == ("remote", True, None)
    assert role.name == str(remote.link_address)
    assert role.addresses == (f"udp {remote.link_address}", f"tcp {remote.outside_address}")
    assert role.engine == roles.engines[1]
    assert role.clients == role.unread_bytes == 0
    remote.drain()
    role = remote.describe()
    assert (role.is_ready, role.is_draining) == (False, True)
    assert role.reason == "the remote is stopping"


async def test_a_remote_describes_all_of_its_addresses(roles, tmp_path):
    anywhere = HostPort(LOOPBACK, 0)
    sockets = tmp_path / "sockets"
    sockets.mkdir()
    remote = await roles.start_remote(tls=anywhere, http=anywhere, sockets=sockets)
    named = [f"{protocol} {address}" for protocol, address in remote.named_addresses.items()]
    assert remote.describe().addresses[2:] == (*named, f"sockets {sockets}")


async def test_an_origin_is_not_ready_without_its_remote(roles):
    origin = await roles.up()
    assert origin.describe().is_ready
    assert origin.describe().engine == roles.engines[0]
    roles.remote.abort()
    await until(lambda: not origin.list_links())
    role = origin.describe()
    assert not role.is_ready
    assert role.reason.startswith("there is no link to the remote")
    (service,) = origin.list_services()
    assert (service.state, service.places) == ("down", ())
    (disconnected,) = of_type(roles.remote_events, OriginDisconnected)
    assert disconnected.kind is LinkEnding.GOODBYE


async def test_bytes_that_a_client_does_not_take_are_counted(roles):
    await roles.up()
    client, server = await roles.pair()
    client.writer.transport.pause_reading()
    server.writer.write(bytes(32 * 1024 * 1024))
    await until(lambda: roles.remote.describe().unread_bytes > 0)
    (listed,) = roles.remote.iterate_clients()
    assert listed.bytes_down > 0
