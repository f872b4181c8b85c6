"""The command that a remote gives to its user."""

from __future__ import annotations

import shlex

import pytest

from quictunnel.cli.origin_command import (
    is_private,
    origin_command,
    own_host,
    print_origin_command,
)
from quictunnel.config.addresses import HostPort
from quictunnel.config.grants import Grant
from quictunnel.config.ports import PortRange
from quictunnel.config.tokens import Token


def test_the_command_survives_a_shell():
    command = origin_command(HostPort("2001:db8::1", 9001), Token.new())
    assert shlex.split(command)[3:5] == ["--remote", "[2001:db8::1]:9001"]


@pytest.mark.parametrize(
    ("grant", "service"),
    [
        (Grant(), "localhost:8000"),
        (Grant(ports=()), "localhost:8000"),
        (Grant(ports=(PortRange(2222, 2222),)), "2222=localhost:8000"),
        (Grant(ports=(PortRange(5000, 5009), PortRange(80, 80))), "5000=localhost:8000"),
        (Grant(hosts=("*.example.com", "*")), "*.example.com=localhost:8000"),
        (Grant(ports=(), hosts=()), "localhost:8000"),
        (Grant(outside=False), "auto=localhost:8000"),
    ],
)
def test_the_command_asks_for_what_the_token_may_have(grant, service):
    words = shlex.split(origin_command(HostPort("vps", 9001), Token.new(), grant))
    assert words[words.index("--origin") + 1] == service


def test_a_remote_at_one_address_is_reached_there():
    assert own_host("9.9.9.9") == "9.9.9.9"


@pytest.mark.parametrize("host", ["::", "0.0.0.0"])
def test_a_remote_at_every_address_has_one_or_none(host):
    assert own_host(host) not in ("::", "0.0.0.0")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("10.0.0.5", True),
        ("192.168.1.5", True),
        ("100.64.0.1", True),
        ("fd00::1", True),
        ("fe80::1", True),
        ("127.0.0.1", False),
        ("::1", False),
        ("9.9.9.9", False),
        ("2620:fe::fe", False),
        ("vps.example.com", False),
    ],
)
def test_which_addresses_are_private(host, expected):
    assert is_private(host) is expected


@pytest.mark.parametrize(
    ("own", "shown", "advice"),
    [
        ("9.9.9.9", "9.9.9.9:7", None),
        (
            "10.0.0.5",
            "YOUR-VPS:7",
            "Replace YOUR-VPS with the public address or name of this machine; its own address, "
            "10.0.0.5, is private.",
        ),
        ("", "YOUR-VPS:7", "Replace YOUR-VPS with the public address or name of this machine."),
    ],
)
def test_a_private_address_is_not_printed_in_the_command(monkeypatch, capsys, own, shown, advice):
    monkeypatch.setattr("quictunnel.cli.origin_command.own_host", lambda _: own)
    print_origin_command("origin: ", HostPort("::", 7), Token.new())
    command, *others = capsys.readouterr().out.splitlines()
    assert command.endswith(f" quictunnel origin --remote {shown} --origin localhost:8000")
    assert others == ([] if advice is None else [advice])
