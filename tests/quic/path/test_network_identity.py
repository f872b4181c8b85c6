"""The identity of a network, as read from the tables of the Linux kernel."""

from __future__ import annotations

import sys

import pytest

from quictunnel.quic.path.network_identity import (
    Gateway,
    default_gateway,
    hardware_address,
    network_identity,
    wifi_name,
)

ROUTE_TITLES = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT"

ARP_TITLES = "IP address       HW type     Flags       HW address            Mask     Device"

ANY = "0.0.0.0"

HOME = Gateway("eth0", "192.0.2.1")


def route(interface, gateway, *, destination=ANY, flags=3, metric=0, mask=ANY) -> str:
    """Return a line of the table of routes."""
    numbers = [number(each) for each in (destination, gateway)]
    fields = (interface, *numbers, f"{flags:04X}", 0, 0, metric, number(mask), 0, 0, 0)
    return "\t".join(map(str, fields))


def number(address: str) -> str:
    """Return an address as the kernel writes it."""
    return f"{int.from_bytes(bytes(map(int, address.split('.'))), sys.byteorder):08X}"


def routes(*lines: str) -> str:
    return "\n".join([ROUTE_TITLES, *lines, ""])


def neighbours(*lines: tuple[str, str, str]) -> str:
    """Return the table of neighbours, with addresses, hardware addresses and interfaces."""
    rows = [f"{ip}  0x1  0x2  {hardware}  *  {interface}" for ip, hardware, interface in lines]
    return "\n".join([ARP_TITLES, *rows, ""])


@pytest.fixture
def identify(tmp_path):
    """Returns the identity that follows from the tables, given the name of the Wi-Fi network."""

    def identify(route_table: str, arp_table: str, ssid: str | None = None) -> str | None:
        (tmp_path / "route").write_text(route_table)
        (tmp_path / "arp").write_text(arp_table)
        return network_identity(tmp_path, {"eth0": ssid}.get)

    return identify


def test_the_gateway_is_that_of_the_default_route_with_the_least_metric():
    table = routes(
        route("eth0", "0.0.0.0", destination="192.0.2.0", flags=1, mask="255.255.255.0"),
        route("wlan0", "198.51.100.1", metric=600),
        route("eth0", "192.0.2.1", metric=100),
    )
    assert default_gateway(table) == HOME


@pytest.mark.parametrize(
    "table",
    [
        "",
        routes(),
        routes(route("ppp0", "0.0.0.0", flags=1)),
        routes(route("eth0", "192.0.2.1", destination="10.0.0.0", mask="255.0.0.0")),
        routes("eth0 gibberish", "a b c d e f g h i", "\x00"),
        routes("eth0\t00000000\t1FFFFFFFFF\t0003"),
    ],
)
def test_without_a_default_route_to_a_gateway_there_is_none(table):
    assert default_gateway(table) is None


def test_the_hardware_address_is_that_of_the_gateway_on_its_interface():
    table = neighbours(
        ("192.0.2.1", "02:00:00:00:00:01", "eth1"),
        ("192.0.2.1", "02:00:00:00:00:AB", "eth0"),
        ("192.0.2.9", "02:00:00:00:00:03", "eth0"),
    )
    assert hardware_address(table, HOME) == "02:00:00:00:00:ab"
    assert hardware_address(neighbours(), HOME) is None
    assert hardware_address("one line\nof something else", HOME) is None


def test_networks_with_the_same_gateway_address_differ_by_hardware_address(identify):
    table = routes(route("eth0", "192.0.2.1"))
    found = [
        identify(table, neighbours(("192.0.2.1", f"02:00:00:00:00:0{last}", "eth0")), "café")
        for last in "12"
    ]
    assert found == ["192.0.2.1 at 02:00:00:00:00:01", "192.0.2.1 at 02:00:00:00:00:02"]


def test_the_wifi_name_stands_in_for_a_hardware_address_that_is_not_known_yet(identify):
    table = routes(route("eth0", "192.0.2.1"))
    unknown = neighbours(("192.0.2.1", "00:00:00:00:00:00", "eth0"))
    assert identify(table, unknown, "café") == "192.0.2.1 in café"
    assert identify(table, neighbours(), "café") == "192.0.2.1 in café"
    assert identify(table, unknown) is None


def test_a_machine_without_a_gateway_or_without_these_tables_has_no_identity(identify, tmp_path):
    assert identify(routes(), neighbours()) is None
    assert network_identity(tmp_path / "missing") is None


@pytest.mark.parametrize("interface", ["lo", "no such interface", "", "x" * 40])
def test_an_interface_that_is_not_wireless_has_no_wifi_name(interface):
    assert wifi_name(interface) is None
