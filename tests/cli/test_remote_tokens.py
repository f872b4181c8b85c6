"""The tokens of a running remote, while its configuration and its state directory change."""

from __future__ import annotations

import shutil
from pathlib import Path
from unittest.mock import ANY

import pytest
from state_directory import SECRET

from quictunnel.cli.remote_tokens import RemoteTokens
from quictunnel.config.grants import Grant
from quictunnel.config.policy import Policy
from quictunnel.config.ports import PortRange
from quictunnel.config.settings import RemoteSettings
from quictunnel.config.state import load_token, remove_token
from quictunnel.config.token_store import TokenStore
from quictunnel.config.tokens import Token
from quictunnel.errors import SettingsError
from quictunnel.events import (
    AddedTokensLoaded,
    PolicyUnused,
    SecretExposed,
    SecretWeak,
    TokenExpired,
    TokenLoaded,
)

GIVEN, NAS, LAPTOP = (Token(name, SECRET) for name in ("given", "nas", "laptop"))
PAST = Grant(expires_at=1.0)


class Remote:
    """The tokens of a remote that has started, its state directory, and its events."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = TokenStore(directory)
        self.events = []

    def start(self, **changes) -> RemoteTokens:
        self.tokens = RemoteTokens(self.settings(**changes), Path("r.toml"), self.events.append)
        self.tokens.load()
        return self.tokens

    def settings(self, **changes) -> RemoteSettings:
        return RemoteSettings(state_dir=self.directory, **changes)

    @property
    def ids(self) -> list[str]:
        return [token.id for token in self.tokens.accepted]


@pytest.fixture
def remote(tmp_path):
    return Remote(tmp_path / "state")


def test_the_first_start_creates_a_token_and_the_second_one_reads_it(remote):
    assert remote.start().created
    own = load_token(remote.directory)
    assert remote.tokens.accepted == (own,)
    assert remote.tokens.own_is_accepted
    assert not remote.start().created
    assert remote.tokens.accepted == (own,)
    directory = str(remote.directory)
    assert remote.events == [
        TokenLoaded(own.id, directory, created=True),
        TokenLoaded(own.id, directory, created=False),
    ]


@pytest.mark.parametrize("tokens", [(), (GIVEN,)])
def test_no_token_is_created_beside_others(remote, tokens):
    remote.store.add(NAS, {})
    remote.start(tokens=tokens)
    assert remote.tokens.accepted == (*tokens, NAS)
    assert not remote.tokens.own_is_accepted
    assert load_token(remote.directory) is None


def test_its_own_token_is_not_read_if_others_are_given(remote):
    remote.directory.mkdir()
    (remote.directory / "token").write_text("garbage")
    assert remote.start(tokens=(GIVEN,)).accepted == (GIVEN,)


def test_an_added_token_is_accepted_with_its_rights_until_it_is_revoked(remote):
    remote.start(tokens=(GIVEN,), grants={"given": PAST})
    remote.store.add(NAS, {"max-clients": 5})
    assert remote.tokens.reload() == remote.store.path
    assert remote.ids == ["given", "nas"]
    assert remote.tokens.settings.grants == {"given": PAST, "nas": Grant(max_clients=5)}
    assert remote.tokens.settings.tokens == (GIVEN,)
    assert remote.tokens.reload() is None
    remote.store.remove("nas")
    assert remote.tokens.reload() == remote.store.path
    assert remote.ids == ["given"]
    file = str(remote.store.path)
    assert remote.events == [
        TokenExpired("given"),
        AddedTokensLoaded(1, file),
        AddedTokensLoaded(0, file),
    ]


def test_its_own_token_is_revoked_and_not_created_again_before_the_next_start(remote):
    own = remote.start().accepted[0]
    grants = {own.id: Grant(outside=False)}
    remote.tokens.configure(remote.settings(grants=grants))
    remove_token(remote.directory, own.id)
    assert remote.tokens.reload() == remote.directory / "token"
    assert remote.ids == []
    remote.tokens.configure(remote.settings())
    assert remote.ids == []
    remote.start()
    assert len(remote.ids) == 1
    assert remote.ids != [own.id]


def test_a_configuration_that_gives_no_token_any_more_gets_one(remote):
    remote.start(tokens=(GIVEN,))
    remote.tokens.configure(remote.settings())
    assert remote.tokens.accepted == (load_token(remote.directory),)


def test_a_bad_state_changes_nothing(remote):
    remote.store.add(NAS, {})
    remote.start()
    remote.store.path.write_text("[token.x]")
    with pytest.raises(SettingsError, match=r"token\.x: 'secret' is missing"):
        remote.tokens.reload()
    assert remote.ids == ["nas"]
    remote.tokens.configure(remote.settings(tokens=(GIVEN,)))
    assert remote.ids == ["given", "nas"]


def test_a_directory_that_has_gone_revokes_nothing(remote):
    remote.store.add(NAS, {})
    remote.start()
    shutil.rmtree(remote.directory)
    with pytest.raises(SettingsError, match=r"the state directory .* is missing"):
        remote.tokens.reload()
    remote.tokens.configure(remote.settings(client_wait=1.0))
    assert remote.ids == ["nas"]


def test_an_id_that_is_there_twice_is_rejected_until_one_of_the_two_goes(remote):
    remote.start(tokens=(GIVEN,))
    remote.store.add(GIVEN, {})
    with pytest.raises(SettingsError, match="two tokens have the id given"):
        remote.tokens.reload()
    assert remote.ids == ["given"]
    remote.tokens.configure(remote.settings(tokens=(LAPTOP,)))
    assert remote.ids == ["laptop", "given"]
    with pytest.raises(SettingsError, match="two tokens have the id given"):
        remote.tokens.configure(remote.settings(tokens=(GIVEN,)))
    assert remote.ids == ["laptop", "given"]


def test_an_id_that_is_there_twice_prevents_the_start(remote):
    remote.store.add(NAS, {})
    with pytest.raises(SettingsError, match="two tokens have the id nas"):
        remote.start(tokens=(NAS,))


def test_rights_without_a_token_are_an_error_of_the_configuration(remote):
    sentence = r"r\.toml: token\.x: no token has this id"
    with pytest.raises(SettingsError, match=sentence):
        remote.start(grants={"x": Grant()})
    remote.start()
    with pytest.raises(SettingsError, match=sentence):
        remote.tokens.configure(remote.settings(grants={"x": Grant()}))
    assert remote.tokens.settings.grants == {}


def test_a_secret_that_is_easy_to_guess_is_reported_once(remote):
    weak = Token("weak", "password" * 3)
    remote.start(tokens=(GIVEN, weak))
    remote.tokens.configure(remote.settings(tokens=(GIVEN, weak), client_wait=1.0))
    assert remote.events == [SecretWeak("weak", 42)]
    remote.store.add(Token("nas", "1" * 32), {})
    remote.tokens.reload()
    assert remote.events[1:] == [AddedTokensLoaded(1, ANY), SecretWeak("nas", 6)]


def test_an_expired_token_is_reported_once(remote):
    remote.start(tokens=(GIVEN,), grants={"given": PAST})
    remote.tokens.configure(remote.settings(tokens=(GIVEN,), grants={"given": PAST}))
    assert remote.events == [TokenExpired("given")]
    remote.tokens.configure(remote.settings(tokens=(GIVEN,)))
    remote.tokens.configure(remote.settings(tokens=(GIVEN,), grants={"given": PAST}))
    assert remote.events == [TokenExpired("given")] * 2


def test_a_policy_for_no_place_is_reported_once_and_when_a_token_no_longer_allows_the_place(remote):
    port = PortRange(2222, 2222)
    unused = PolicyUnused("2222", "neither 'ports' nor a token allows port 2222")
    settings = {"tokens": (GIVEN,), "policies": {port: Policy(max_clients=1)}}
    remote.start(**settings)
    remote.tokens.configure(remote.settings(**settings, client_wait=1.0))
    assert remote.events == [unused]
    remote.store.add(NAS, {"ports": ["2222"]})
    remote.tokens.reload()
    remote.store.remove("nas")
    remote.tokens.reload()
    assert [event for event in remote.events if isinstance(event, PolicyUnused)] == [unused] * 2


def test_a_file_that_others_can_read_is_a_warning(remote):
    remote.store.add(NAS, {})
    remote.store.path.chmod(0o644)
    remote.start()
    assert remote.events[0] == SecretExposed(str(remote.store.path), "0644", ANY)
