"""What `quictunnel origin` prints when clients can come."""

from __future__ import annotations

import pytest

from quictunnel.cli.origin import ready_line
from quictunnel.config.addresses import parse_origin, parse_target
from quictunnel.config.settings import OriginSettings
from quictunnel.protocol.messages import Service


def line(*services, remote="example.com", origin="8000"):
    settings = OriginSettings(remote=parse_target(remote, 9001), origin=parse_origin(origin))
    return ready_line(settings, services)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("127.0.0.1:9000", "127.0.0.1:9000"),
        ("[2001:db8::1]:9000", "[2001:db8::1]:9000"),
        ("[::]:9000", "example.com:9000"),
        ("0.0.0.0:80", "example.com:80"),
        ("0.0.0.0", "0.0.0.0"),
        (None, "web"),
    ],
)
def test_where_clients_come(address, shown):
    expected = f"ready: {shown} at the remote -> localhost:8000"
    assert line(Service(name="web", address=address)) == expected


def test_an_ipv6_remote_stands_in_brackets():
    assert "[2001:db8::9]:9000 at" in line(
        Service(name="web", address="[::]:9000"), remote="[2001:db8::9]"
    )


def test_a_unix_socket():
    assert line(Service(name="web", address="192.0.2.1:9"), origin="unix:/run/web").endswith(
        "-> unix:/run/web"
    )


def test_several_services():
    services = (Service(name="a", address="1.2.3.4:1"), Service(name="b", address="1.2.3.4:2"))
    assert line(*services).count("->") == 2


def test_a_hostile_remote_does_not_reach_the_terminal():
    assert "\x1b" not in line(Service(name="web", address="\x1b[2J:9"))
