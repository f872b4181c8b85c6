"""The `ready` lines of an origin: the address of each service, and what is printed again."""

from __future__ import annotations

import pytest

from quictunnel.cli.ready_lines import MAX_REPEATED, ReadyLines
from quictunnel.config.services import parse_services
from quictunnel.events import GrantedService, ServicesGranted


def event(services, *, is_first=True):
    return ServicesGranted("192.0.2.1:9001", tuple(services), is_first)


def lines(*granted, remote="example.com", origins=("8000",)):
    return ReadyLines(remote, parse_services(origins))(event(granted))


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("127.0.0.1:9000", "127.0.0.1:9000"),
        ("[2001:db8::1]:9000", "[2001:db8::1]:9000"),
        ("[::]:9000", "example.com:9000"),
        ("0.0.0.0:80", "example.com:80"),
        ("0.0.0.0", "0.0.0.0"),
        (None, "default"),
        ("www.example.com:443,80", "www.example.com:443,80"),
        ("*:80", "*:80"),
    ],
)
def test_where_clients_connect(address, shown):
    expected = f"ready: {shown} at the remote -> localhost:8000"
    assert lines(GrantedService("default", address)) == [expected]


def test_an_ipv6_remote_stands_in_brackets():
    service = GrantedService("default", "[::]:9000")
    (line,) = lines(service, remote="2001:db8::9")
    assert line.startswith("ready: [2001:db8::9]:9000 at")


def test_no_service_is_not_ready():
    assert lines() == []


def test_a_unix_socket():
    service = GrantedService("default", "192.0.2.1:9")
    (line,) = lines(service, origins=["unix:/run/web"])
    assert line.endswith("-> unix:/run/web")


def test_each_granted_service_leads_to_its_own_server():
    granted = (
        GrantedService("2222", "[::]:2222"),
        GrantedService("5000-5009", "[::]:5000-5009"),
        GrantedService("a service that was not asked for", "[::]:1"),
    )
    origins = ["8000", "2222=box:22", "5000-5009=box:6000-6009"]
    assert lines(*granted, origins=origins) == [
        "ready: example.com:2222 at the remote -> box:22",
        "ready: example.com:5000-5009 at the remote -> box:6000-6009",
    ]


class ManyServices:
    """The services of an origin at ports from 1 on, and the lines for those that are granted."""

    def __init__(self, count):
        self.services = list(parse_services([f"{port}=box:80" for port in range(1, count + 1)]))
        self.lines = ReadyLines("vps", self.services)

    def grant(self, *ports, is_first=False):
        services = [GrantedService(str(port), f"[::]:{port}") for port in ports]
        return self.lines(event(services, is_first=is_first))


def line(port, server="box:80"):
    return f"ready: vps:{port} at the remote -> {server}"


def test_after_a_change_only_new_services_are_printed():
    many = ManyServices(3)
    assert many.grant(1, 2, is_first=True) == [line(1), line(2)]
    assert many.grant(1, 2, 3) == [line(3)]
    assert many.grant(1, 2) == []
    assert many.grant(1, 2, 3) == [line(3)]


def test_a_service_with_another_server_is_printed_again():
    many = ManyServices(2)
    many.grant(1, 2, is_first=True)
    many.services[:] = parse_services(["1=box:80", "2=other:80"])
    assert many.grant(1, 2) == [line(2, "other:80")]


def test_a_few_services_are_printed_again_for_a_new_link():
    many, ports = ManyServices(MAX_REPEATED), range(1, MAX_REPEATED + 1)
    every = [line(port) for port in ports]
    assert many.grant(*ports, is_first=True) == every
    assert many.grant(*ports, is_first=True) == every


def test_many_services_are_counted_for_a_new_link():
    many = ManyServices(1000)
    assert len(many.grant(*range(1, 1000), is_first=True)) == 999
    assert many.grant(*range(2, 1001), is_first=True) == [
        line(1000),
        "ready: 998 services at the remote, as before",
    ]
