"""A remote describes its clients, services and links."""

from __future__ import annotations

import pytest
from role_doubles import FakeTcp, House, Tunnel, a_tunnel, of_type

from quictunnel.config.policy import Policy
from quictunnel.events import ClientClosed, ClientEnding, ClientRejected, OriginConnected
from quictunnel.remote.name_readers import HttpNameReader
from quictunnel.remote.observation import (
    close_remote_client,
    remote_client_snapshots,
    service_snapshots,
)
from quictunnel.session.observation import link_snapshots, unread_bytes
from testkit.clock import seconds, settle, virtual_time


def clients_of(house: House, *tunnels: Tunnel):
    sessions = [tunnel.remote for tunnel in tunnels]
    clients = remote_client_snapshots(sessions, house.admission.pending_clients)
    return sorted(clients, key=lambda client: client.age, reverse=True)


def services_of(house: House, *tunnels: Tunnel):
    sessions = [tunnel.remote for tunnel in tunnels]
    return list(
        service_snapshots(sessions, house.admission, lambda route: (f"tcp://{route.name}",))
    )


def close(house: House, key: str, *tunnels: Tunnel) -> bool:
    sessions = [tunnel.remote for tunnel in tunnels]
    return close_remote_client(sessions, house.admission.pending_clients, key)


@virtual_time
async def test_a_client_waits_is_forwarded_and_ends():
    house = House()
    client = house.client()
    await seconds(3)
    (waiting,) = clients_of(house)
    assert (waiting.state, waiting.service, waiting.origin, waiting.link) == (
        "waiting",
        "default",
        None,
        None,
    )
    assert (waiting.address, waiting.age) == ("192.0.2.7:5555", 3)
    tunnel = await Tunnel(house).up()
    client.send(b"question")
    await settle()
    tunnel.upstream.connections[0].send(b"answer!")
    await seconds(1)
    (open_,) = clients_of(house, tunnel)
    assert (open_.id, open_.state, open_.origin) == (waiting.id, "open", "box")
    assert (open_.link, open_.age) == (tunnel.origin.link_id, 4)
    assert (open_.bytes_up, open_.bytes_down) == (8, 7)
    client.send_eof()
    await settle()
    assert [each.state for each in clients_of(house, tunnel)] == ["closing"]
    tunnel.upstream.connections[0].send_eof()
    await settle()
    assert clients_of(house, tunnel) == []
    (closed,) = of_type(house.events, ClientClosed)
    assert (closed.id, closed.ending) == (waiting.id, ClientEnding.EOF)


@virtual_time
async def test_the_duration_and_the_first_byte_count_from_the_accept():
    house = House()
    house.client()
    await seconds(3)
    tunnel = await Tunnel(house).up()
    await seconds(2)
    (server,) = tunnel.upstream.connections
    server.send(b"late")
    await seconds(1)
    server.fail(ConnectionResetError())
    await settle()
    (closed,) = of_type(house.events, ClientClosed)
    assert (closed.first_byte, closed.duration) == (pytest.approx(5), pytest.approx(6))
    assert closed.ending is ClientEnding.RESET_BY_SERVER
    (at_origin,) = of_type(tunnel.events, ClientClosed)
    assert (at_origin.first_byte, at_origin.connect_time) == (pytest.approx(2), 0)


@virtual_time
async def test_a_client_without_an_answer_has_no_first_byte():
    tunnel = await a_tunnel()
    client = tunnel.house.client()
    await settle()
    client.fail(ConnectionResetError())
    await settle()
    (closed,) = of_type(tunnel.house.events, ClientClosed)
    assert closed.first_byte is closed.connect_time is None
    assert closed.ending is ClientEnding.RESET_BY_CLIENT


@virtual_time
async def test_clients_are_listed_the_oldest_first():
    house = House()
    first = await Tunnel(house).up()
    for _ in range(3):
        house.client()
        await seconds(1)
    first.far.go_silent()
    house.client()
    await seconds(1)
    assert [each.age for each in clients_of(house, first)] == [4, 3, 2, 1]


@virtual_time
async def test_clients_may_come_and_leave_while_they_are_listed():
    house = House()
    tunnel = await Tunnel(house).up()
    clients = [house.client() for _ in range(3)]
    clients[2].send(b"more")
    await settle()
    found = remote_client_snapshots([tunnel.remote], house.admission.pending_clients)
    first = next(found)
    house.client()
    for client in clients[1:]:
        client.fail(ConnectionResetError())
    await settle()
    second, third = found
    assert (first.state, second.state, third.state) == ("open", "closing", "closing")
    assert third.bytes_up == 4


@virtual_time
async def test_a_client_that_has_not_named_its_host_is_listed():
    house = House()
    FakeTcp().connect(house.admission.new_named_client(HttpNameReader(lambda _: None)))
    (client,) = clients_of(house)
    assert (client.service, client.state) == ("", "waiting")


@virtual_time
async def test_the_last_answer_of_a_client_is_on_its_way():
    house = House()
    client = FakeTcp().connect(house.admission.new_named_client(HttpNameReader(lambda _: None)))
    client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
    (listed,) = clients_of(house)
    assert listed.state == "closing"
    assert close(house, listed.id)
    assert clients_of(house) == []
    (rejected,) = of_type(house.events, ClientRejected)
    assert rejected.kind is ClientEnding.UNKNOWN_HOST


@virtual_time
async def test_an_administrator_closes_a_client_at_both_ends():
    tunnel = await a_tunnel()
    client, other = tunnel.house.client(), tunnel.house.client()
    await settle()
    first, _ = clients_of(tunnel.house, tunnel)
    assert close(tunnel.house, first.id, tunnel)
    await settle()
    assert client.was_reset
    assert not other.is_over
    assert [each.is_over for each in tunnel.upstream.connections] == [True, False]
    (closed,) = of_type(tunnel.house.events, ClientClosed)
    assert (closed.ending, closed.reason) == (ClientEnding.CLOSED, "closed by the administrator")
    (at_origin,) = of_type(tunnel.events, ClientClosed)
    assert (at_origin.id, at_origin.ending) == (first.id, ClientEnding.CUT_SHORT)
    assert not close(tunnel.house, first.id, tunnel)


@virtual_time
async def test_an_administrator_closes_a_client_that_waits():
    house = House()
    client = house.client()
    (waiting,) = clients_of(house)
    assert close(house, waiting.id)
    await settle()
    assert client.was_reset
    (closed,) = of_type(house.events, ClientClosed)
    assert (closed.id, closed.ending) == (waiting.id, ClientEnding.CLOSED)
    assert house.admission.count == house.admission.pending == 0


@virtual_time
async def test_a_client_that_could_move_is_closed_for_good():
    house = House()
    tunnels = [await Tunnel(house, name=name, share="failover").up() for name in ("a", "b")]
    client = house.client()
    client.send(b"question")
    await settle()
    (listed,) = clients_of(house, *tunnels)
    assert close(house, listed.id, *tunnels)
    await settle()
    assert client.was_reset
    assert clients_of(house, *tunnels) == []


@virtual_time
async def test_a_service_is_up_silent_and_gone():
    house = House(client_wait=60)
    tunnel = await Tunnel(house).up()
    house.client()
    await settle()
    (up,) = services_of(house, tunnel)
    assert (up.name, up.places, up.urls) == (
        "default",
        ("198.51.100.1:9000",),
        ("tcp://default",),
    )
    assert (up.state, up.reason, up.origins, up.clients) == ("up", None, ("box",), 1)
    tunnel.far.go_silent()
    await seconds(42)
    house.client()
    (silent,) = services_of(house, tunnel)
    assert (silent.state, silent.clients) == ("silent", 2)
    assert silent.reason == "its origin has not answered for 42 s"
    tunnel.far.die()
    await settle()
    assert services_of(house, tunnel) == []


@virtual_time
async def test_a_service_that_is_not_granted_is_listed_with_the_reason():
    house = House("web")
    tunnel = await Tunnel(house, "web", "ssh").up()
    granted, refused = services_of(house, tunnel)
    assert (granted.name, granted.state) == ("web", "up")
    assert (refused.name, refused.state, refused.origins) == ("ssh", "refused", ("box",))
    assert (refused.reason, refused.places) == ("no place for ssh", ())


@virtual_time
async def test_a_shared_service_is_listed_once():
    house = House()
    tunnels = [await Tunnel(house, name=name, share="balance").up() for name in ("b", "a")]
    for _ in range(4):
        house.client()
    tunnels[0].far.go_silent()
    (service,) = services_of(house, *tunnels)
    assert (service.origins, service.state, service.clients) == (("a", "b"), "up", 4)


@virtual_time
async def test_links_are_described_from_the_proof_to_the_end():
    house = House()
    early = house.session()
    tunnel = Tunnel(house)
    sessions = [(early, ()), (tunnel.remote, ("default",))]
    assert link_snapshots(sessions) == []
    await tunnel.up()
    await seconds(5)
    (link,) = link_snapshots(sessions)
    (connected,) = of_type(house.events, OriginConnected)
    assert (link.id, link.agent) == (connected.link, connected.agent) != ("", "")
    assert link.id == tunnel.origin.link_id
    assert (link.origin, link.token, link.path) == ("box", "laptop", "udp")
    assert (link.local, link.peer) == ("127.0.0.1:1002", "192.0.2.1:1002")
    assert (link.age, link.hold, link.silent_for, link.is_draining) == (5, 900, None, False)
    assert (link.services, link.clients, link.rtt) == (("default",), 0, 0.02)
    figures = (link.congestion_window, link.mtu, link.bytes_sent, link.bytes_received)
    assert figures == (60_000, 1350, 5000, 4000)
    assert (link.packets_sent, link.packets_lost, link.bytes_lost) == (40, 3, 3600)
    house.client()
    await settle()
    tunnel.far.go_silent(7.5)
    tunnel.remote.say_goodbye("drain", 30)
    (link,) = link_snapshots(sessions)
    assert (link.silent_for, link.is_draining, link.clients) == (7.5, True, 1)
    tunnel.far.die()
    await settle()
    assert link_snapshots(sessions) == []


@virtual_time
async def test_bytes_in_full_buffers_are_counted(monkeypatch):
    tunnel = await a_tunnel()
    client = tunnel.house.client()
    await settle()
    assert unread_bytes([tunnel.remote, tunnel.origin]) == 0
    monkeypatch.setattr(client, "get_write_buffer_size", lambda: 4321)
    assert unread_bytes([tunnel.remote, tunnel.origin]) == 0
    client.protocol.pause_writing()
    assert unread_bytes([tunnel.remote, tunnel.origin]) == 4321


@virtual_time
async def test_the_limit_of_clients_counts_those_that_wait():
    house = House(policies={None: Policy(max_clients=1)})
    house.client()
    house.client()
    await settle()
    (rejected,) = of_type(house.events, ClientRejected)
    assert rejected.kind is ClientEnding.LIMIT
    assert (house.admission.count, house.admission.is_full) == (1, False)
