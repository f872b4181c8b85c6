"""`quictunnel token` and the command that a remote gives to its user."""

from __future__ import annotations

import shlex

import pytest

from quictunnel.cli.main import invoke
from quictunnel.cli.token import guess_remote, origin_command
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
    assert guess_remote(HostPort("192.0.2.7", 1)) == HostPort("192.0.2.7", 1)


@pytest.mark.parametrize("host", ["::", "0.0.0.0"])
def test_a_remote_at_every_address_is_reached_at_one(host):
    guess = guess_remote(HostPort(host, 7))
    assert guess.port == 7
    assert guess.host not in ("::", "0.0.0.0", "")
