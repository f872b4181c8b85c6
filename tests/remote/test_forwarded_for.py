"""The address of a peer behind HTTP proxies."""

from __future__ import annotations

import pytest

from quictunnel.config.addresses import parse_network
from quictunnel.config.networks import NetworkSet
from quictunnel.protocol.address import Address
from quictunnel.remote.forwarded_for import forwarded_peer

PROXIES = NetworkSet(map(parse_network, ["127.0.0.0/8", "::1", "10.0.0.0/8"]))
PROXY = Address("127.0.0.1", 40000)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (["192.0.2.7"], Address("192.0.2.7", PROXY.port)),
        ([" 192.0.2.7 "], Address("192.0.2.7", PROXY.port)),
        (["192.0.2.7:0"], Address("192.0.2.7", 0)),
        (["192.0.2.7:5000"], Address("192.0.2.7", 5000)),
        (["2001:db8::7"], Address("2001:db8::7", PROXY.port)),
        (["[2001:db8::7]"], Address("2001:db8::7", PROXY.port)),
        (["[2001:db8::7]:5000"], Address("2001:db8::7", 5000)),
        (["::ffff:192.0.2.7"], Address("192.0.2.7", PROXY.port)),
        (["198.51.100.1, 192.0.2.7"], Address("192.0.2.7", PROXY.port)),
        (["198.51.100.1", "192.0.2.7"], Address("192.0.2.7", PROXY.port)),
        (["192.0.2.7, 10.1.2.3"], Address("192.0.2.7", PROXY.port)),
        (["198.51.100.1,192.0.2.7", "10.1.2.3,127.0.0.1"], Address("192.0.2.7", PROXY.port)),
    ],
)
def test_it_is_the_last_one_that_is_no_proxy(headers, expected):
    assert forwarded_peer(PROXY, headers, PROXIES) == expected


@pytest.mark.parametrize(
    "headers",
    [[], [""], ["unknown"], ["192.0.2.7, _secret"], ["192.0.2.7,"], ["192.0.2.300"], ["1:2"]],
)
@pytest.mark.parametrize("junk", ["", "a:b:c", "192.0.2.7:70000", "[::1%2]", "fe80::1%2"])
def test_without_an_address_from_the_proxy_it_is_the_proxy(headers, junk):
    headers = [*headers, junk] if junk else headers
    assert forwarded_peer(PROXY, headers, PROXIES) == PROXY


def test_a_list_of_proxies_alone_means_the_first_of_them():
    assert forwarded_peer(PROXY, ["10.1.2.3, 10.0.0.1"], PROXIES) == Address("10.1.2.3", PROXY.port)


def test_the_header_of_any_other_peer_is_not_believed():
    peer = Address("192.0.2.7", 40000)
    assert forwarded_peer(peer, ["198.51.100.1"], PROXIES) == peer
    assert forwarded_peer(PROXY, ["198.51.100.1"], NetworkSet()) == PROXY
