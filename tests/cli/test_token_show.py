"""`quictunnel token show`."""

from __future__ import annotations

import pytest
from state_directory import HEAD, SECRET, STATE, add, write


def test_its_own_token_and_the_command(run, own):
    first, second = run("token", "show", "--remote", "example.com")
    assert first == f"token: {own.reveal()}"
    assert second == f"origin: {HEAD} localhost:8000 --token {own.reveal()}"


def test_nothing_is_made_by_showing(fail):
    sentence = "'quictunnel remote' creates one when it starts without --token"
    assert sentence in fail("token", "show")
    assert not STATE.exists()


def test_a_remote_without_a_token_of_its_own_may_have_others(fail):
    add()
    assert "'quictunnel token list' shows the others" in fail("token", "show")


def test_a_token_by_its_id(run, own):
    token = add(ports=["2222"])
    first, second = run("token", "show", "nas", "--remote", "example.com", "--listen", ":9005")
    assert first == f"token: {token.reveal()}"
    assert "--remote example.com:9005 --origin 2222=localhost:8000 " in second


@pytest.mark.parametrize("token_id", ["phone", "box"])
def test_a_token_of_a_file(run, config, token_id):
    words = ("--config", config, "--remote", "example.com")
    assert run("token", "show", token_id, *words)[0] == f"token: {token_id}.{SECRET}"


def test_the_port_in_the_command_is_that_of_the_file(run, own):
    file = write("r.toml", "listen = '127.0.0.1:9005'")
    _, command = run("token", "show", "--config", file)
    assert "--remote 127.0.0.1:9005 " in command
    _, command = run("token", "show", "--config", file, "--listen", "127.0.0.1:9006")
    assert "--remote 127.0.0.1:9006 " in command


def test_an_unknown_id_is_an_error_with_a_suggestion(fail, own):
    add("laptop")
    assert "no token has the id 'labtop'; did you mean 'laptop'?" in fail("token", "show", "labtop")
    assert "'quictunnel token list' shows the tokens" in fail("token", "show", "??")
    assert "write only the part of the token before" in fail("token", "show", f"nas.{SECRET}")


def test_a_mistake_in_the_file_names_its_key(fail, own):
    file = write("r.toml", "listen = 'x'")
    assert fail("token", "show", "--config", file).startswith("quictunnel: r.toml: listen: 'x'")
    file = write("r.toml", "lisen = 'x'")
    assert "unknown key 'lisen'; did you mean 'listen'?" in fail("token", "show", "--config", file)
