"""Sets of networks, and the files that list them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quictunnel.config.files import MAX_BYTES
from quictunnel.config.networks import NetworkSet, read_networks
from quictunnel.errors import SettingsError


def networks(*texts: str) -> NetworkSet:
    return NetworkSet(map(ip_network, texts))


@pytest.mark.parametrize(
    ("address", "is_in"),
    [
        ("10.0.0.0", True),
        ("10.255.255.255", True),
        ("11.0.0.0", False),
        ("9.255.255.255", False),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("2001:db8::1", True),
        ("2001:db9::", False),
        ("::a00:1", False),  # the number of 10.0.0.1, in the other family
        ("255.255.255.255", False),
    ],
)
def test_an_address_is_in_a_network_or_not(address, is_in):
    found = networks("10.0.0.0/8", "10.1.0.0/16", "192.0.2.7", "2001:db8::/32")
    assert (ip_address(address) in found) == is_in


def test_an_empty_set_has_no_address():
    assert not NetworkSet()
    assert ip_address("192.0.2.7") not in NetworkSet()
    assert networks("2001:db8::/32")


def test_equal_addresses_are_an_equal_set():
    halves = networks("10.0.0.0/9", "10.128.0.0/9")
    assert halves == networks("10.0.0.0/8")
    assert hash(halves) == hash(networks("10.0.0.0/8"))
    assert halves != networks("10.0.0.0/9")
    assert halves != 1


@given(
    st.lists(st.ip_addresses(network="198.51.100.0/24"), max_size=20),
    st.integers(min_value=24, max_value=32),
    st.ip_addresses(network="198.51.100.0/24"),
)
def test_it_finds_what_a_search_of_all_networks_finds(hosts, prefix, address):
    given = [ip_network((host, prefix), strict=False) for host in hosts]
    assert (address in NetworkSet(given)) == any(address in network for network in given)


def test_ten_thousand_networks_are_searched_by_bisection():
    numbers = range(0, 10_000 * 512, 512)
    many = NetworkSet(ip_network((number, 24)) for number in numbers)
    assert all(IPv4Address(number) in many for number in numbers)
    assert not any(IPv4Address(number + 256) in many for number in numbers)
    assert IPv6Address(1) not in many
    firsts, _ = many._ranges[4]
    assert len(firsts) == 10_000


def test_a_file_has_a_network_in_each_line(tmp_path):
    path = tmp_path / "list"
    path.write_text(
        "# offenders\n\n 192.0.2.7\n10.0.0.0/8  # all of them\r\n2001:db8::/32\n", encoding="utf-8"
    )
    assert read_networks(path) == [
        ip_network("192.0.2.7"),
        ip_network("10.0.0.0/8"),
        ip_network("2001:db8::/32"),
    ]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"10.0.0.0/8\n\nhere\n", "list', line 3: 'here' is not a network"),
        (b"10.0.0.1/8", "list', line 1: '10.0.0.1/8' has bits set beyond its mask"),
        (b"1.1.1.1 2.2.2.2", "list', line 1: '1.1.1.1 2.2.2.2' is not a network"),
        (b"x" * 100_000, "list', line 1: the line is too long for a network; write one a line$"),
        (b"\xff\xfe", "list' is not a text file"),
        (b"#" * (MAX_BYTES + 1), "list' is larger than 1 MiB"),
    ],
)
def test_a_file_that_is_no_list_is_an_error_of_one_sentence(tmp_path, content, sentence):
    path = tmp_path / "list"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=sentence) as caught:
        read_networks(path)
    assert len(str(caught.value)) < 300


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(SettingsError, match=r"the list of networks '.*' cannot be read: no such"):
        read_networks(tmp_path / "missing")
