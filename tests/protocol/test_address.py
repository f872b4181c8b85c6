from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quictunnel.protocol.address import Address, literal, sockaddr_of


@pytest.mark.parametrize(
    ("host", "text"),
    [("192.0.2.1", "192.0.2.1:80"), ("2001:db8::1", "[2001:db8::1]:80"), ("::", "[::]:80")],
)
def test_its_text_has_brackets_for_ipv6(host, text):
    assert str(Address(host, 80)) == text


def test_one_place_has_one_spelling():
    assert Address("2001:DB8:0::0001", 80) == Address("2001:db8::1", 80)
    assert Address("2001:DB8:0::0001", 80).host == "2001:db8::1"


@pytest.mark.parametrize("host", ["::ffff:192.0.2.1", "::FFFF:c000:201"])
def test_an_ipv6_address_that_stands_for_ipv4_is_ipv4(host):
    assert Address(host, 80) == Address("192.0.2.1", 80)
    assert not Address(host, 80).is_ipv6


@pytest.mark.parametrize(
    "host", ["", "localhost", "192.0.2", "192.0.2.01", "[::1]", "::1%lo", "fe80::1%1", "1::2::3"]
)
def test_what_is_no_plain_ip_address_is_a_value_error(host):
    with pytest.raises(ValueError, match=r".+"):
        Address(host, 80)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_out_of_range_is_a_value_error(port):
    with pytest.raises(ValueError, match="port"):
        Address("::1", port)


@pytest.mark.parametrize(
    ("sockaddr", "text"),
    [
        (("192.0.2.1", 80), "192.0.2.1:80"),
        (("2001:db8::1", 80, 0, 0), "[2001:db8::1]:80"),
        (("::ffff:192.0.2.1", 80, 0, 0), "192.0.2.1:80"),
        (("fe80::1%eth0", 80, 0, 3), "[fe80::1]:80"),
    ],
)
def test_it_is_made_from_what_a_socket_gives(sockaddr, text):
    assert str(Address.of(sockaddr)) == text


@pytest.mark.parametrize(
    ("sockaddr", "host"),
    [
        (("192.0.2.1", 80), "192.0.2.1"),
        (("2001:db8::1", 80, 0, 0), "2001:db8::1"),
        (("fe80::1", 80, 0, 3), "fe80::1%3"),
    ],
)
def test_a_literal_keeps_the_scope_that_sockets_need(sockaddr, host):
    assert literal(sockaddr) == host
    assert sockaddr_of(host, 80) in (sockaddr, sockaddr[:2])
    assert str(Address.of((host, 80))) == str(Address.of(sockaddr))


def test_an_ipv4_address_can_be_packed_as_ipv6():
    assert Address("192.0.2.1", 80).packed.hex() == "c0000201"
    assert Address("192.0.2.1", 80).packed_ipv6.hex() == "00000000000000000000ffffc0000201"
    assert Address("::1", 80).packed_ipv6 == Address("::1", 80).packed


@given(st.ip_addresses(), st.integers(0, 65535))
def test_packing_and_unpacking_is_the_identity(ip, port):
    address = Address(str(ip), port)
    assert Address.unpack(address.packed, port) == address
    assert Address.unpack(address.packed_ipv6, port) == address
