"""Connections of an HTTP proxy to the Unix socket of a host name: header, policies, waiting."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from role_doubles import FakeTcp, House, Tunnel, of_type

from quictunnel.config.networks import NetworkSet
from quictunnel.config.policy import Policy
from quictunnel.events import ClientAccepted, ClientClosed, ClientRejected
from quictunnel.remote.pending_client import HEADER_TIMEOUT, SOCKET_REQUIRES
from testkit.clock import seconds, settle, virtual_time

V1 = b"PROXY TCP4 203.0.113.9 0.0.0.0 0 0\r\n"
UNKNOWN = b"PROXY UNKNOWN\r\n"
REQUEST = b"GET / HTTP/1.1\r\nHost: www.test\r\n\r\n"


def connect(house: House) -> FakeTcp:
    """Return a connection, which has no addresses, as of a Unix socket."""
    route = house.routes.routes["www"]
    route.host = "www.test"
    return FakeTcp(peer=None).connect(house.admission.new_local_proxy(route))


def rejections(house: House) -> list[tuple[str, str]]:
    return [(event.peer, event.reason) for event in of_type(house.events, ClientRejected)]


@virtual_time
async def test_the_header_names_the_client_and_the_rest_reaches_the_origin_server():
    house = House("www")
    tunnel = await Tunnel(house, "www").up()
    client = connect(house)
    client.send(V1 + REQUEST)
    await settle()
    assert tunnel.upstream.connections[-1].written == REQUEST
    (accepted,) = of_type(house.events, ClientAccepted)
    assert (accepted.client, accepted.service) == ("203.0.113.9:0", "www")


@virtual_time
async def test_a_header_without_addresses_makes_the_proxy_the_client():
    house = House("www")
    await Tunnel(house, "www").up()
    connect(house).send(UNKNOWN)
    await settle()
    (accepted,) = of_type(house.events, ClientAccepted)
    assert accepted.client == "127.0.0.1:0"


@virtual_time
async def test_a_connection_without_a_header_is_reset_whatever_the_settings_of_other_proxies():
    house = House("www")
    await Tunnel(house, "www").up()
    client = connect(house)
    client.send(REQUEST)
    assert client.was_reset
    ((peer, reason),) = rejections(house)
    assert peer == "127.0.0.1:0"
    assert reason.startswith(f"no valid PROXY header, {SOCKET_REQUIRES}")


@virtual_time
async def test_a_header_that_does_not_come_in_time_ends_the_connection():
    house = House("www")
    client = connect(house)
    await seconds(HEADER_TIMEOUT - 0.1)
    assert not client.is_over
    await seconds(0.2)
    assert client.was_reset
    assert rejections(house) == [("127.0.0.1:0", f"no PROXY header in time, {SOCKET_REQUIRES}")]
    assert house.admission.pending == 0


@pytest.mark.parametrize(("denied", "is_reset"), [("203.0.113.0/24", True), ("127.0.0.1", False)])
@virtual_time
async def test_the_policy_applies_to_the_client_not_to_the_proxy(denied, is_reset):
    policies = {"www.test": Policy(deny=NetworkSet([ip_network(denied)]))}
    house = House("www", policies=policies)
    await Tunnel(house, "www").up()
    client = connect(house)
    client.send(V1)
    await settle()
    assert client.was_reset == is_reset


@virtual_time
async def test_a_client_waits_for_an_origin():
    house = House("www")
    client = connect(house)
    client.send(V1 + REQUEST)
    await seconds(9)
    assert not client.is_over
    tunnel = await Tunnel(house, "www").up()
    await settle()
    assert tunnel.upstream.connections[-1].written == REQUEST


@virtual_time
async def test_a_client_that_has_waited_in_vain_gets_a_response():
    house = House("www")
    client = connect(house)
    client.send(V1 + REQUEST)
    await seconds(11)
    assert client.written.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert client.written.endswith(b"the server of this site is not connected right now\n")
    assert client.eof_written
    assert [event.reason for event in of_type(house.events, ClientClosed)] == [
        "no origin connected in time"
    ]
