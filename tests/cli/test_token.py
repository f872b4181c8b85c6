"""`quictunnel token` and the command that a remote gives to its user."""

from __future__ import annotations

import shlex

import pytest

from quictunnel.cli.main import invoke
from quictunnel.cli.token import is_private, origin_command, own_host, print_origin_command
from quictunnel.config.addresses import HostPort
from quictunnel.config.state import load_or_make_token
from quictunnel.config.tokens import Token


def test_a_new_token_is_all_that_is_printed(capsys):
    assert invoke(["token", "new"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert Token.parse(line).reveal() == line


def test_the_kept_token_is_shown_with_the_command(tmp_path, capsys):
    token, _ = load_or_make_token(tmp_path / "kept")
    arguments = ["--state-dir", str(tmp_path / "kept"), "--remote", "example.com"]
    assert invoke(["token", "show", *arguments]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"token: {token.reveal()}"
    assert second == (
        "origin: quictunnel origin --remote example.com:9001 --origin localhost:8000 "
        f"--token {token.reveal()}"
    )


def test_nothing_is_made_by_showing(tmp_path):
    assert invoke(["token", "show"]) == 2
    assert not (tmp_path / "state").exists()


def test_the_command_survives_a_shell():
    command = origin_command(HostPort("2001:db8::1", 9001), Token.new())
    assert shlex.split(command)[2:4] == ["--remote", "[2001:db8::1]:9001"]


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
    monkeypatch.setattr("quictunnel.cli.token.own_host", lambda _: own)
    print_origin_command("origin: ", HostPort("::", 7), Token.new())
    command, *others = capsys.readouterr().out.splitlines()
    assert command.startswith(f"origin: quictunnel origin --remote {shown} --origin ")
    assert others == ([] if advice is None else [advice])
