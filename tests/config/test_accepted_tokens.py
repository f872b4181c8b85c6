"""Which tokens a remote accepts: given ones, its own, and those that commands have added."""

from __future__ import annotations

from pathlib import Path

import pytest

from quictunnel.config.accepted_tokens import (
    StateTokens,
    accept_tokens,
    check_grants,
    load_state_tokens,
)
from quictunnel.config.grants import Grant
from quictunnel.config.settings import RemoteSettings
from quictunnel.config.state import load_or_make_token
from quictunnel.config.token_store import TokenStore
from quictunnel.config.tokens import Token
from quictunnel.errors import SettingsError

GIVEN, OWN, ADDED = (Token(name, "s" * 32) for name in ("given", "own", "added"))
PAST = Grant(expires_at=1.0)
STATE = StateTokens(Path("state"), OWN, (ADDED,), {"added": PAST})


def test_its_own_and_the_added_tokens_are_accepted():
    accepted = accept_tokens(RemoteSettings(grants={"own": Grant(outside=False)}), STATE)
    assert accepted.tokens == (OWN, ADDED)
    assert accepted.grants == {"own": Grant(outside=False), "added": PAST}
    assert accepted.expired == ["added"]


def test_given_tokens_replace_its_own_but_not_the_added_ones():
    accepted = accept_tokens(RemoteSettings(tokens=(GIVEN,)), STATE)
    assert accepted.tokens == (GIVEN, ADDED)


SECOND = "'quictunnel token revoke added' removes the first"


@pytest.mark.parametrize(
    ("settings", "own", "place"),
    [
        ({"tokens": (ADDED,)}, OWN, "an option or the configuration file"),
        ({"tokens": (GIVEN,), "grants": {"added": Grant()}}, OWN, "an option or the config"),
        ({"grants": {"added": Grant()}}, OWN, "an option or the configuration file"),
        ({}, Token("added", "t" * 32), "token"),
    ],
)
def test_an_id_that_is_there_twice_is_an_error(settings, own, place):
    state = StateTokens(Path("state"), own, (ADDED,), {"added": PAST})
    with pytest.raises(SettingsError) as caught:
        accept_tokens(RemoteSettings(**settings), state)
    sentence = str(caught.value)
    assert sentence.startswith(
        f"two tokens have the id added: one is in state/tokens.toml, the other in {place}"
    )
    assert sentence.endswith(SECOND)


def test_rights_need_a_token():
    check_grants(Path("remote.toml"), {"own": Grant()}, (OWN,))
    with pytest.raises(SettingsError, match=r"^remote.toml: token.x: no token has this id; set 's"):
        check_grants(Path("remote.toml"), {"own": Grant(), "x": Grant()}, (OWN,))


def test_a_state_directory_is_read_and_not_made(tmp_path):
    directory = tmp_path / "state"
    assert load_state_tokens(directory) == StateTokens(directory)
    assert not directory.exists()
    own, _ = load_or_make_token(directory)
    TokenStore(directory).add(ADDED, {"max-clients": 1})
    grants = {"added": Grant(max_clients=1)}
    assert load_state_tokens(directory) == StateTokens(directory, own, (ADDED,), grants)
    (directory / "token").write_text("garbage")
    without = load_state_tokens(directory, with_own=False)
    assert without == StateTokens(directory, None, (ADDED,), grants)
