"""The URLs of services, as the origin knows them."""

from __future__ import annotations

import pytest

from quictunnel.config.services import parse_services
from quictunnel.origin.service_urls import service_urls


@pytest.mark.parametrize(
    ("service", "address", "urls"),
    [
        ("2222=22", "[::]:2222", ["tcp://vps.test:2222"]),
        ("2222=22", "0.0.0.0:2222", ["tcp://vps.test:2222"]),
        ("2222=22", "203.0.113.7:2222", ["tcp://203.0.113.7:2222"]),
        ("2222=22", "[2001:db8::7]:2222", ["tcp://[2001:db8::7]:2222"]),
        ("2222=22", "127.0.0.1:2222", []),
        ("2222=22", None, []),
        ("2222=22", "a text of the remote", []),
        ("2222=22", "[::]:99999", []),
        ("2222=22", "box:2222", []),
        ("8000", "[::]:9000", ["tcp://vps.test:9000"]),
        ("5000-5009=localhost:5000-5009", "[::]:5000-5009", []),
        ("www.test=8000", "www.test:443,80", ["https://www.test/", "http://www.test/"]),
        ("www.test=8000", "www.test:8443,80", ["http://www.test/"]),
        ("www.test=8000", "www.test", ["https://www.test/"]),
        ("www.test=8000", "other.test:443", []),
        ("www.test=8000", "www.test:443,x", ["https://www.test/"]),
        ("*.test=8000", "*.test:443", []),
        ("*=8000", "*:443", []),
    ],
)
def test_only_certain_urls_are_shown(service, address, urls):
    (settings,) = parse_services([service])
    assert service_urls(settings, address, "vps.test") == tuple(urls)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_a_loopback_address_is_shown_if_the_remote_is_on_this_machine(host):
    (settings,) = parse_services(["2222=22"])
    assert service_urls(settings, "127.0.0.1:2222", host) == ("tcp://127.0.0.1:2222",)
