"""The URLs of services, as the remote knows them."""

from __future__ import annotations

import pytest

from quictunnel.config.ports import PortRange
from quictunnel.protocol.address import Address
from quictunnel.remote.routes import Route
from quictunnel.remote.service_urls import service_urls

SPECIFIC, EVERY = Address("203.0.113.7", 9000), Address("::", 9000)
TLS, HTTP = Address("::", 443), Address("::", 8080)


def urls(route: Route, *, outside=EVERY, has_sockets=False, **named) -> tuple[str, ...]:
    return service_urls(route, outside=outside, named=named, has_sockets=has_sockets)


def at(**place) -> Route:
    return Route("key", "web", "anywhere", **place)


def test_a_site_has_the_urls_of_the_listeners():
    assert urls(at(host="www.test"), tls=TLS, http=HTTP) == (
        "https://www.test/",
        "http://www.test:8080/",
    )
    assert urls(at(host="www.test", protocol="http"), tls=TLS, http=HTTP) == (
        "http://www.test:8080/",
    )


def test_a_site_behind_a_proxy_has_its_url():
    assert urls(at(host="www.test"), has_sockets=True) == ("https://www.test/",)
    assert urls(at(host="www.test"), has_sockets=True, tls=TLS) == ("https://www.test/",)
    assert urls(at(host="www.test", protocol="tls"), has_sockets=True) == ()


@pytest.mark.parametrize("host", ["*", "*.example.com"])
def test_a_wildcard_has_none(host):
    assert urls(at(host=host), tls=TLS, has_sockets=True) == ()


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        (None, ("tcp://203.0.113.7:9000",)),
        (PortRange(2222, 2222), ("tcp://203.0.113.7:2222",)),
        (PortRange(5000, 5009), ()),
    ],
)
def test_a_port_has_one_if_the_address_is_specific(ports, expected):
    assert urls(at(ports=ports), outside=SPECIFIC) == expected
    assert urls(at(ports=ports), outside=EVERY) == ()
