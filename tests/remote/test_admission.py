"""Clients come, wait for an origin or not for long, and are joined to a stream."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from role_doubles import TOKEN, FakeTcp, House, Tunnel, a_tunnel, of_type

from quictunnel.config.grants import Grant
from quictunnel.config.networks import NetworkSet
from quictunnel.config.policy import Policy
from quictunnel.config.ports import PortRange
from quictunnel.events import ClientAccepted, ClientClosed, ClientLimitReached, ClientRejected
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code
from quictunnel.protocol.preamble import Preamble, encode_v2
from quictunnel.remote import admission, pending_client
from quictunnel.remote.admission import Admission
from quictunnel.remote.routes import CLOSED, Route
from testkit.clock import seconds, settle, virtual_time

V1 = b"PROXY TCP4 203.0.113.9 198.51.100.7 40000 443\r\n"


class Proxied:
    """An admission behind a proxy on loopback, and one origin."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.house = House()
        self.house.admission = Admission(
            self.house.registry.find,
            client_wait=10.0,
            proxies=[ip_network("127.0.0.0/8")],
            policies={} if policy is None else {None: policy},
            max_clients=1000,
            emit=self.house.events.append,
        )

    async def up(self) -> Proxied:
        self.tunnel = await Tunnel(self.house, proxy_protocol="v1").up()
        return self

    def client(self, host: str = "127.0.0.1") -> FakeTcp:
        return FakeTcp((host, 5555)).connect(
            self.house.admission.new_client(self.house.routes.routes["default"])
        )

    @property
    def server(self) -> FakeTcp:
        return self.tunnel.upstream.connections[-1]


@virtual_time
async def test_a_client_talks_to_the_origin_server():
    tunnel = await a_tunnel()
    client = tunnel.house.client()
    await settle()
    client.send(b"question")
    await settle()
    (server,) = tunnel.upstream.connections
    assert server.written == b"question"
    server.send(b"answer")
    await settle()
    assert client.written == b"answer"


@virtual_time
async def test_nothing_of_a_waiting_client_is_read():
    client = House().client()
    await settle()
    assert not client.is_reading()


@virtual_time
async def test_what_was_read_all_the_same_is_not_lost():
    """Some releases of asyncio read once more, whatever was paused."""
    house = House()
    client = house.client()
    tunnel = Tunnel(house)
    client.protocol.data_received(b"hel")
    client.protocol.data_received(b"lo")
    await tunnel.up()
    await settle()
    assert tunnel.upstream.connections[0].written == b"hello"


@virtual_time
async def test_a_waiting_client_is_served_as_soon_as_an_origin_comes():
    house = House()
    clients = [house.client(peer=("192.0.2.7", port)) for port in range(3)]
    await seconds(9)
    tunnel = await Tunnel(house).up()
    assert len(tunnel.upstream.connections) == 3
    await seconds(10)
    assert not any(client.is_over for client in clients)
    assert house.admission.pending == 0


@virtual_time
async def test_a_client_that_nobody_serves_is_reset():
    house = House(client_wait=10.0)
    client = house.client()
    await seconds(9.9)
    assert not client.is_over
    await seconds(0.2)
    assert client.was_reset
    assert house.admission.pending == 0


@virtual_time
async def test_a_client_waits_while_the_link_is_silent():
    tunnel = await a_tunnel()
    tunnel.far.go_silent()
    client = tunnel.house.client()
    await seconds(5)
    assert tunnel.upstream.connections == []
    tunnel.far.come_back()
    await settle()
    assert len(tunnel.upstream.connections) == 1
    assert not client.is_over


@virtual_time
async def test_clients_wait_for_their_own_service_only():
    house = House("web", "ssh")
    house.client("web")
    house.client("ssh")
    tunnel = await Tunnel(house, "ssh").up()
    assert len(tunnel.upstream.connections) == 1
    assert house.admission.pending == 1


@virtual_time
async def test_a_client_that_leaves_while_it_waits_is_forgotten():
    house = House()
    client = house.client()
    client.fail(ConnectionResetError("gone"))
    assert house.admission.pending == 0
    tunnel = await Tunnel(house).up()
    await seconds(20)
    assert tunnel.upstream.connections == []


@virtual_time
async def test_waiting_clients_are_bounded(monkeypatch):
    monkeypatch.setattr(admission, "MAX_WAITING", 2)
    house = House()
    waiting = [house.client(), house.client()]
    third = house.client()
    await settle()
    assert third.was_reset
    assert not any(client.is_over for client in waiting)


@virtual_time
async def test_clients_are_bounded_and_room_comes_back():
    house = House()
    house.admission._max_clients = 1
    tunnel = await Tunnel(house).up()
    first = house.client()
    second = house.client()
    await settle()
    assert second.was_reset
    first.fail(ConnectionResetError("gone"))
    await settle()
    third = house.client()
    await settle()
    assert not third.is_over
    assert len(tunnel.upstream.connections) == 2


@virtual_time
async def test_when_it_closes_those_who_wait_are_turned_away():
    house = House()
    waiting = house.client()
    house.admission.close("the end")
    late = house.client()
    await settle()
    assert waiting.was_reset
    assert late.was_reset
    assert house.admission.pending == 0


@virtual_time
async def test_a_client_gone_before_it_was_accepted_is_forgotten():
    house = House()
    client = house.client(peer=None)
    await settle()
    assert client.was_reset
    assert house.admission.pending == 0


# Behind a proxy


@virtual_time
async def test_a_trusted_proxy_tells_who_the_client_is():
    preamble = Preamble(client=Address("203.0.113.9", 40000), outside=Address("198.51.100.7", 443))
    for header in (V1, encode_v2(preamble)):
        proxied = await Proxied().up()
        client = proxied.client()
        client.send(header + b"hello")
        await settle()
        assert proxied.server.written == V1 + b"hello"


@virtual_time
async def test_the_header_may_come_in_pieces():
    proxied = await Proxied().up()
    client = proxied.client()
    for byte in V1:
        client.send(bytes([byte]))
    await settle()
    assert proxied.server.written == V1


@virtual_time
async def test_what_came_behind_the_header_waits_with_the_client():
    proxied = Proxied()
    client = proxied.client()
    client.send(V1 + b"hello")
    await settle()
    assert not client.is_reading()
    await seconds(9)
    await proxied.up()
    assert proxied.server.written == V1 + b"hello"


@virtual_time
async def test_a_proxy_that_speaks_for_itself_is_the_client():
    proxied = await Proxied().up()
    proxied.client().send(b"PROXY UNKNOWN\r\n")
    await settle()
    assert proxied.server.written == b"PROXY TCP4 127.0.0.1 198.51.100.1 5555 9000\r\n"


@virtual_time
async def test_nobody_else_is_believed():
    proxied = await Proxied().up()
    client = proxied.client("192.0.2.66")
    await settle()
    client.send(V1)
    await settle()
    assert proxied.server.written == b"PROXY TCP4 192.0.2.66 198.51.100.1 5555 9000\r\n" + V1


@virtual_time
async def test_a_trusted_proxy_without_a_header_is_turned_away():
    proxied = await Proxied().up()
    client = proxied.client()
    client.send(b"GET / HTTP/1.1\r\n\r\n")
    await settle()
    assert client.was_reset


@virtual_time
async def test_a_trusted_proxy_has_five_seconds():
    proxied = await Proxied().up()
    client = proxied.client()
    client.send(V1[:10])
    await seconds(4.9)
    assert not client.is_over
    await seconds(0.2)
    assert client.was_reset


@virtual_time
async def test_a_proxy_that_ends_within_the_header_is_forgotten():
    proxied = await Proxied().up()
    client = proxied.client()
    client.send(V1[:10])
    assert not client.protocol.eof_received()  # which closes the connection
    client.close()
    await settle()
    assert proxied.house.admission.pending == 0


# Events


@virtual_time
async def test_a_client_is_reported_twice_at_both_ends():
    tunnel = await a_tunnel()
    client = tunnel.house.client()
    await settle()
    client.send(b"12345")
    client.send_eof()
    await seconds(2)
    (server,) = tunnel.upstream.connections
    server.send(b"123")
    server.send_eof()
    await settle()
    ids = set()
    for events in (tunnel.events, tunnel.house.events):
        (accepted,) = of_type(events, ClientAccepted)
        (closed,) = of_type(events, ClientClosed)
        assert accepted.client == closed.client == "192.0.2.7:5555"
        assert (closed.bytes_up, closed.bytes_down) == (5, 3)
        assert closed.reason == "ended in order"
        assert closed.duration == pytest.approx(2, abs=0.01)
        ids |= {accepted.id, closed.id}
    assert len(ids) == 1


@virtual_time
async def test_a_client_that_finds_no_origin_is_reported_as_closed():
    house = House(client_wait=3)
    house.client()
    await seconds(4)
    (closed,) = of_type(house.events, ClientClosed)
    assert (closed.ending, closed.reason) == admission.NO_ORIGIN
    assert closed.duration == pytest.approx(3)


@virtual_time
async def test_each_flood_is_reported_once(monkeypatch):
    monkeypatch.setattr(admission, "MAX_WAITING", 1)
    house = House()
    for _ in range(2):
        waiting, *_ = [house.client() for _ in range(10)]
        waiting.fail(ConnectionResetError("gone"))
        await settle()
    assert of_type(house.events, ClientLimitReached) == [ClientLimitReached(1, 1)] * 2


@virtual_time
async def test_a_bad_header_is_reported_with_its_sender():
    proxied = await Proxied().up()
    proxied.client().send(b"nonsense")
    (rejected,) = of_type(proxied.house.events, ClientRejected)
    assert rejected.peer == "127.0.0.1:5555"
    assert rejected.reason.startswith(f"no valid PROXY header, {pending_client.HEADER_REQUIRED}: ")


# Policies


@virtual_time
async def test_a_client_that_the_policy_rejects_costs_no_stream():
    house = House(policies={None: Policy(deny=NetworkSet([ip_network("192.0.2.7")]))})
    tunnel = await Tunnel(house).up()
    rejected, accepted = house.client(), house.client(peer=("192.0.2.8", 1))
    await settle()
    assert (rejected.was_reset, accepted.was_reset) == (True, False)
    assert len(tunnel.upstream.connections) == 1
    (event,) = of_type(house.events, ClientRejected)
    assert (event.peer, event.reason) == (
        "192.0.2.7:5555",
        "the policy of the outside address does not allow the address",
    )
    assert len(of_type(house.events, ClientAccepted)) == 1


@virtual_time
async def test_a_limit_counts_waiting_and_forwarded_clients_until_they_leave():
    house = House(policies={None: Policy(max_clients_per_address=2)})
    waiting = [house.client() for _ in range(3)]
    await settle()
    assert [client.was_reset for client in waiting] == [False, False, True]
    waiting[0].fail(ConnectionResetError())
    await settle()
    waiting.append(house.client())
    await Tunnel(house).up()
    assert house.client().was_reset
    waiting[1].abort()
    await settle()
    assert not house.client().was_reset


@virtual_time
async def test_behind_a_proxy_the_clients_address_counts():
    behind = await Proxied(Policy(allow=NetworkSet([ip_network("203.0.113.9")]))).up()
    accepted, rejected = behind.client(), behind.client()
    accepted.send(V1)
    rejected.send(V1.replace(b"203.0.113.9", b"203.0.113.8"))
    await settle()
    assert (accepted.was_reset, rejected.was_reset) == (False, True)
    (event,) = of_type(behind.house.events, ClientRejected)
    assert event.peer == "203.0.113.8:40000"


@virtual_time
async def test_a_policy_is_for_ports_whatever_the_origin_calls_its_service():
    ssh, near = PortRange(2222, 2222), PortRange(2000, 2999)
    house = House("web", "x", policies={ssh: Policy(max_clients=1), near: Policy(max_clients=2)})
    house.routes.routes["x"].ports = ssh
    house.routes.routes["y"] = Route("y", "y", "", PortRange(2223, 2223))
    ports = {"web": 9000, "x": 2222, "y": 2223}
    clients = [
        house.client(service, port=ports[service])
        for service in ("web", "web", "x", "x", "y", "y", "y")
    ]
    await settle()
    reset = [client.was_reset for client in clients]
    assert reset == [False, False, False, True, False, False, True]
    house.admission.apply(client_wait=10.0, proxies=(), policies={near: Policy(max_clients=2)})
    assert not house.client("x", port=2222).was_reset
    house.admission.apply(client_wait=10.0, proxies=(), policies={})
    assert not house.client("x", port=2222).was_reset


@pytest.mark.parametrize("header", [b"", V1])
@virtual_time
async def test_a_range_does_not_avoid_the_policy_of_a_port(header):
    """The header of a proxy names the port of the proxy, which is another one."""
    policies = {
        PortRange(2222, 2222): Policy(max_clients=1),
        PortRange(2224, 2299): Policy(max_clients=2),
    }
    house = House("x", policies=policies)
    house.routes.routes["x"].ports = PortRange(2221, 2230)
    if header:
        proxies = [ip_network("192.0.2.7")]
        house.admission.apply(client_wait=10.0, proxies=proxies, policies=policies)
    ports = (2222, 2222, 2221, 2221, 2221, 2224, 2230, 2224)
    clients = [house.client("x", port=port) for port in ports]
    if header:
        for client in clients:
            client.send(header)
    await settle()
    reset = [client.was_reset for client in clients]
    assert reset == [False, True, False, False, False, False, False, True]


@virtual_time
async def test_each_service_in_a_range_has_limits_of_its_own():
    house = House("x", "y", policies={PortRange(2000, 2999): Policy(max_clients=1)})
    for port, name in ((2222, "x"), (2223, "y")):
        house.routes.routes[name].ports = PortRange(port, port)
    asked = (("x", 2222), ("x", 2222), ("y", 2223), ("y", 2223))
    clients = [house.client(name, port=port) for name, port in asked]
    await settle()
    assert [client.was_reset for client in clients] == [False, True, False, True]


@virtual_time
async def test_a_place_that_is_closed_and_opened_again_keeps_its_count():
    house = House("x", policies={PortRange(2222, 2222): Policy(max_clients_per_address=1)})
    house.routes.routes["x"].ports = PortRange(2222, 2222)
    await Tunnel(house, "x").up()
    client = house.client("x", port=2222)
    await settle()
    for _ in range(3):
        house.admission.reject_waiting("x", "closed")
        assert house.client("x", port=2222).was_reset
    assert not client.is_over
    client.fail(ConnectionResetError())
    await settle()
    assert not house.client("x", port=2222).was_reset


@virtual_time
async def test_nothing_is_kept_of_a_closed_place():
    house = House("x", policies={None: Policy(max_clients=5)})
    house.admission.apply(
        client_wait=10.0, proxies=[ip_network("192.0.2.8")], policies={None: Policy(max_clients=5)}
    )
    for number in range(10):
        route = house.routes.routes["x"] = Route(f"x{number}", "x", "")
        waiting, left = house.client("x"), house.client("x")
        left.fail(ConnectionResetError())
        late = house.client("x", peer=("192.0.2.8", 1))
        route.is_closed = True
        house.admission.reject_waiting(route.key, "closed")
        late.send(V1)
        early = house.client("x")
        assert [client.was_reset for client in (waiting, late, early)] == [True] * 3
    await settle()
    assert house.admission.pending == 0
    assert (len(house.admission._gates), house.admission._waiting) == (0, {})
    rejected = of_type(house.events, ClientRejected)
    assert {event.reason for event in rejected} == {CLOSED}


@virtual_time
async def test_no_empty_list_of_waiting_clients_is_kept():
    house = House("x", "y")
    for service in ("x", "y"):
        house.client(service)
    house.client("x").fail(ConnectionResetError())
    await Tunnel(house, "x").up()
    await seconds(11)
    assert house.admission._waiting == {}


@virtual_time
async def test_a_client_is_limited_by_itself_its_place_and_its_token():
    policy = Policy(rate_per_client=1000, rate=5000)
    house = House(policies={None: policy}, grants={TOKEN.id: Grant(rate=8000)})
    await Tunnel(house).up()
    one, other = (house.client().protocol.throttle._buckets for _ in range(2))
    assert [bucket._rate for bucket in one] == [1000, 5000, 8000]
    assert one[0] is not other[0]
    assert one[1:] == other[1:]


@virtual_time
async def test_a_place_without_a_policy_is_limited_by_the_token_alone():
    house = House(grants={TOKEN.id: Grant(rate=8000)})
    await Tunnel(house).up()
    (bucket,) = house.client().protocol.throttle._buckets
    assert bucket._rate == 8000


@virtual_time
async def test_an_idle_client_is_reset_at_both_ends():
    house = House(policies={None: Policy(idle_timeout=60)})
    tunnel = await Tunnel(house).up()
    client = house.client()
    await seconds(50)
    client.send(b"x")
    await seconds(50)
    assert not client.is_over
    await seconds(20)
    assert client.was_reset
    assert tunnel.upstream.connections[0].was_reset
    for events in (house.events, tunnel.events):
        assert of_type(events, ClientClosed)[0].reason == Code.IDLE_TIMEOUT.word
