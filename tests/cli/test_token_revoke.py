"""`quictunnel token revoke`."""

from __future__ import annotations

from pathlib import Path

import pytest
from state_directory import CONFIG, SECRET, STATE, add, write

from quictunnel.cli.main import invoke
from quictunnel.config.state import load_token
from quictunnel.config.token_store import TokenStore

TABLES = f"""
# laptop and phone
listen = 9005
state-dir = "state"

[token.laptop]
secret = "{SECRET}"
expires = 2020-01-31
"""


def test_an_added_token_is_removed(run, own):
    add()
    add("laptop")
    assert run("token", "revoke", "nas") == [
        "revoked: nas; a running remote ends its links within a second"
    ]
    assert [*TokenStore(STATE).tables()] == ["laptop"]
    assert load_token(STATE) == own


def test_the_remotes_own_token_is_removed(run, own):
    first, second = run("token", "revoke", own.id)
    assert first.startswith(f"revoked: {own.id}, the token that the remote has created; a ")
    assert second == (
        "At its next start, the remote creates a new one, unless it is given a token."
    )
    assert load_token(STATE) is None


def test_the_remotes_own_token_is_not_created_again_beside_others(run, own):
    add()
    _, second = run("token", "revoke", own.id)
    assert second == "The remote creates no new one, because it has other tokens."


@pytest.mark.parametrize(
    ("token_id", "sentence"),
    [
        ("phone", "the token phone is in r.toml, line 2; remove it from 'token' there, and "),
        ("box", "the token box is in tokens, line 3; remove the line, and "),
    ],
)
def test_a_token_of_a_file_stays_there(fail, config, token_id, sentence):
    assert fail("token", "revoke", token_id, "--config", config).startswith(
        f"quictunnel: {sentence}a running remote ends its links within a second"
    )
    assert Path(config).read_text() == CONFIG


def test_a_table_of_a_file_stays_there(fail):
    file = write("r.toml", TABLES)
    assert fail("token", "revoke", "laptop", "--config", file).startswith(
        "quictunnel: the token laptop is in r.toml, line 6; remove the table [token.laptop]"
    )
    write("r.toml", f'token = {{laptop = {{secret = "{SECRET}"}}}}')
    assert "is in r.toml, line 1; " in fail("token", "revoke", "laptop", "--config", file)
    write("r.toml", f'[token."l\\u0061ptop"]\nsecret = "{SECRET}"')
    assert "is in r.toml; " in fail("token", "revoke", "laptop", "--config", file)


def test_an_id_that_is_in_both_is_removed_from_the_state_directory(capsys):
    add("laptop")
    file = write("r.toml", TABLES)
    assert invoke(["token", "revoke", "laptop", "--config", file]) == 2
    out, err = capsys.readouterr()
    assert out.startswith("revoked: laptop; ")
    assert "remove the table [token.laptop] there" in err
    assert not TokenStore(STATE).tables()


def test_an_unknown_id_is_an_error_with_a_suggestion(fail):
    add("laptop")
    assert "no token has the id 'Laptop'; did you mean 'laptop'?" in fail(
        "token", "revoke", "Laptop"
    )
    assert "no token has the id 'lap'" in fail("token", "revoke", "lap")
    assert len(TokenStore(STATE).tables()) == 1
