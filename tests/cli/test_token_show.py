"""`quictunnel token show`."""

from __future__ import annotations

import pytest
from state_directory import OTHER_USER, SECRET, STATE, add, head, write


def test_its_own_token_and_the_command(run, own):
    first, second = run("token", "show", "--remote", "example.com")
    assert first == f"token: {own.reveal()}"
    assert second == f"origin: {head(own)} localhost:8000"


def test_nothing_is_made_by_showing(fail):
    sentence = "'quictunnel remote' creates one when it starts without a token"
    assert f"{sentence}{OTHER_USER}" in fail("token", "show")
    assert not STATE.exists()


def test_the_only_added_token_is_printed_if_the_remote_has_created_none(run):
    token = add()
    assert run("token", "show")[0] == f"token: {token.reveal()}"


def test_one_of_several_added_tokens_has_to_be_named(fail):
    for number in range(12):
        add(f"t{number}")
    assert fail("token", "show") == (
        "quictunnel: the remote accepts several tokens: t0, t1, t2, t3, t4, t5, t6, t7, t8, t9 "
        "and 2 more; name one: 'quictunnel token show ID'\n"
    )


def test_the_token_that_the_remote_has_created_comes_before_added_ones(run, own):
    add()
    assert run("token", "show")[0] == f"token: {own.reveal()}"


def test_the_only_token_of_a_file_replaces_the_one_that_the_remote_has_created(run, own):
    file = write("r.toml", f"[token.phone]\nsecret = '{SECRET}'\nports = 2222\noutside = false")
    first, command, *_ = run("token", "show", "--config", file, "--remote", "example.com")
    assert first == f"token: phone.{SECRET}"
    assert command.endswith(" --origin 2222=localhost:8000")


def test_one_of_several_tokens_of_a_file_and_the_state_has_to_be_named(fail, own, config):
    add()
    assert "the remote accepts several tokens: nas, phone, box; name one" in fail(
        "token", "show", "--config", config
    )


def test_a_named_token_that_the_remote_does_not_accept_is_a_warning(run, own, config):
    words = ("--config", config, "--remote", "example.com")
    first, _, warning = run("token", "show", own.id, *words)
    assert first == f"token: {own.reveal()}"
    assert warning == (
        "warning: a remote with r.toml does not accept this token, because the file has others"
    )


def test_rights_in_a_file_do_not_replace_the_token_that_the_remote_has_created(run, own):
    file = write("r.toml", f"[token.{own.id}]\nports = 2222")
    assert run("token", "show", "--config", file)[0] == f"token: {own.reveal()}"


def test_a_token_by_its_id(run, own):
    token = add(ports=["2222"])
    first, second = run("token", "show", "nas", "--remote", "example.com", "--listen", ":9005")
    assert first == f"token: {token.reveal()}"
    assert second.endswith(" --remote example.com:9005 --origin 2222=localhost:8000")


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
