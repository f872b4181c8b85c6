"""How origins share a route, and which one gets a new client."""

from __future__ import annotations

from collections import Counter

import pytest

from quictunnel.errors import Refused
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code
from quictunnel.protocol.messages import Service
from quictunnel.remote.sharing import ALONE, BALANCE, FAILOVER, SharedRoute, Sharing, sharing_of

STICKY = Sharing(BALANCE, is_sticky=True)


class Origin:
    """A session that counts the clients of one route."""

    def __init__(self) -> None:
        self.is_usable = True
        self.clients = 0

    def clients_at(self, route: str) -> int:
        assert route == "web"
        return self.clients


def shared(sharing: Sharing, count: int = 3) -> tuple[SharedRoute[Origin], list[Origin]]:
    route = SharedRoute[Origin]("web", "t")
    origins = [Origin() for _ in range(count)]
    for number, origin in enumerate(origins):
        route.add(origin, f"origin{number}", sharing)
    return route, origins


def clients(count: int) -> list[Address]:
    return [Address(f"192.0.2.{number % 250}", 1000 + number) for number in range(count)]


@pytest.mark.parametrize(
    ("service", "sharing"),
    [
        (Service(name="a"), ALONE),
        (Service(name="a", sticky=True), ALONE),
        (Service(name="a", share="failover"), Sharing(FAILOVER)),
        (Service(name="a", share="failover", sticky=True), Sharing(FAILOVER)),
        (Service(name="a", port=22, share="balance"), Sharing(BALANCE)),
        (Service(name="a", ports="1-2", share="balance", sticky=True), STICKY),
    ],
)
def test_what_an_origin_asks_for(service, sharing):
    assert sharing_of(service) == sharing


@pytest.mark.parametrize(
    ("service", "sentence"),
    [
        (Service(name="a", share="single"), "the remote does not know the share 'single'; it"),
        (Service(name="a", share=""), "the remote does not know the share ''"),
        (Service(name="a", share="balance", port=0), "a free port cannot be shared"),
    ],
)
def test_what_no_origin_gets(service, sentence):
    with pytest.raises(Refused, match=sentence) as caught:
        sharing_of(service)
    assert caught.value.code == Code.NOT_ALLOWED


def test_origins_of_one_token_that_share_in_the_same_way_can_join():
    route, _ = shared(Sharing(BALANCE))
    assert route.admits("t", STICKY)
    assert not route.admits("u", Sharing(BALANCE))
    assert not route.admits("t", Sharing(FAILOVER))
    assert not route.admits("t", ALONE)
    assert not shared(ALONE, 1)[0].admits("t", ALONE)


@pytest.mark.parametrize("sharing", [ALONE, Sharing(FAILOVER)])
def test_the_first_usable_origin_serves(sharing):
    route, origins = shared(sharing)
    for origin in origins:
        assert route.select(None) is origin
        origin.is_usable = False
    assert route.select(None) is None
    origins[1].is_usable = True
    assert route.select(None) is origins[1]


def test_an_origin_that_joins_again_comes_last():
    route, (first, second, third) = shared(Sharing(FAILOVER))
    route.add(first, "origin0", Sharing(FAILOVER))
    assert list(route) == [first, second, third]
    route.discard(first)
    route.discard(first)
    route.add(first, "origin0", Sharing(FAILOVER))
    assert list(route) == [second, third, first]


def test_the_origin_with_the_fewest_clients_serves():
    route, origins = shared(Sharing(BALANCE))
    origins[0].clients, origins[1].clients, origins[2].clients = 7, 3, 5
    for _ in range(7):
        selected = route.select(None)
        assert selected.clients == min(origin.clients for origin in origins)
        selected.clients += 1
    assert sorted(origin.clients for origin in origins) == [7, 7, 8]
    origins[0].clients = 0
    origins[0].is_usable = False
    assert route.select(None) is not origins[0]


def test_origins_without_clients_take_turns():
    route, origins = shared(Sharing(BALANCE))
    selected = [route.select(client) for client in clients(9)]
    assert Counter(selected) == dict.fromkeys(origins, 3)
    origins[1].is_usable = False
    selected = [route.select(client) for client in clients(8)]
    assert Counter(selected) == {origins[0]: 4, origins[2]: 4}


def test_a_sticky_address_selects_the_origin():
    route, origins = shared(STICKY)
    before = {client.host: route.select(client) for client in clients(250)}
    assert {route.select(Address(host, 5)) for host in before} == set(origins)
    assert all(count > 50 for count in Counter(before.values()).values())
    assert all(route.select(Address(host, 9)) is origin for host, origin in before.items())
    origins[0].is_usable = False
    for host, origin in before.items():
        if origin is not origins[0]:
            assert route.select(Address(host, 9)) is origin
    origins[0].is_usable = True
    assert all(route.select(Address(host, 9)) is origin for host, origin in before.items())


def test_the_selection_survives_a_new_link():
    route, origins = shared(STICKY)
    before = {client: origins.index(route.select(client)) for client in clients(50)}
    other, others = shared(STICKY)
    assert before == {client: others.index(other.select(client)) for client in clients(50)}


def test_an_ipv6_network_is_one_address():
    route, _ = shared(STICKY, 10)
    selected = {route.select(Address(f"2001:db8::{number:x}", 1)) for number in range(1, 50)}
    assert len(selected) == 1
    others = {route.select(Address(f"2001:db8:0:{number:x}::1", 1)) for number in range(1, 50)}
    assert len(others) > 5


def test_clients_without_an_address_take_turns():
    route, origins = shared(STICKY)
    assert {route.select(None) for _ in origins} == set(origins)


def test_the_origin_that_joined_last_decides_whether_addresses_are_sticky():
    route, origins = shared(Sharing(BALANCE))
    client = Address("192.0.2.1", 1)
    route.add(origins[0], "origin0", STICKY)
    assert len({route.select(client) for _ in range(9)}) == 1
    route.add(origins[1], "origin1", Sharing(BALANCE))
    assert len({route.select(client) for _ in range(9)}) == 3
