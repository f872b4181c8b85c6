"""The sources of peers, and how they are written."""

from __future__ import annotations

import pytest

from quictunnel.protocol.address import Address
from quictunnel.protocol.source import format_source, site_of, source_of


def source(host: str):
    return source_of(Address(host, 5555))


def test_an_ipv4_peer_is_its_address_whatever_its_port():
    assert source_of(Address("192.0.2.7", 1)) == source_of(Address("::ffff:192.0.2.7", 2))
    assert source("192.0.2.7") == "192.0.2.7"
    assert source("192.0.2.7") != source("192.0.2.8")


def test_an_ipv6_peer_is_its_network_of_64_bits():
    assert source("2001:db8::1") == source("2001:db8::ffff:1")
    assert source("2001:db8::1") != source("2001:db8:0:1::1")


def test_a_site_is_an_ipv6_network_of_48_bits_or_an_ipv4_address():
    assert site_of(source("2001:db8:1::1")) == site_of(source("2001:db8:1:2::1"))
    assert site_of(source("2001:db8:1::1")) != site_of(source("2001:db8:2::1"))
    assert site_of(source("192.0.2.7")) == source("192.0.2.7")


def test_clients_without_an_address_are_one_source():
    assert source_of(None) == ""


@pytest.mark.parametrize(
    ("host", "written"),
    [("192.0.2.7", "192.0.2.7"), ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"), ("::1", "::/64")],
)
def test_a_source_is_written_as_an_address_or_a_network(host, written):
    assert format_source(source(host)) == written
