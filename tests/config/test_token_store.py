"""The tokens that commands add to a state directory."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from unittest.mock import ANY

import pytest

from quictunnel.config import files
from quictunnel.config.grants import DEFAULT_GRANT, Grant
from quictunnel.config.ports import PortRange
from quictunnel.config.token_store import TokenStore
from quictunnel.config.tokens import Token
from quictunnel.errors import SettingsError
from quictunnel.events import SecretExposed

SECRET = "s" * 32
TABLE = f'[token.a]\nsecret = "{SECRET}"\n'


@pytest.fixture
def store(tmp_path):
    return TokenStore(tmp_path / "deep" / "state")


@pytest.fixture
def write(store):
    """Writes the file by hand."""

    def write(text: str) -> TokenStore:
        store.path.parent.mkdir(parents=True, exist_ok=True)
        store.path.touch(mode=0o600)
        store.path.write_text(text)
        return store

    return write


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_without_a_file_there_are_no_tokens(store):
    assert store.load() == ((), {})
    assert store.tables() == {}
    assert not store.remove("a")
    assert not store.path.parent.exists()


def test_an_added_token_has_its_rights(store):
    first, second = Token.new(), Token.new()
    store.add(first, {})
    rights = {"ports": ["2222"], "expires": date(2999, 1, 31), "max-clients": 5, "comment": "nas"}
    store.add(second, rights)
    tokens, grants = store.load()
    assert tokens == (first, second)
    assert grants[first.id] == DEFAULT_GRANT
    assert grants[second.id].ports == (PortRange(2222, 2222),)
    assert grants[second.id].max_clients == 5
    assert not grants[second.id].has_expired
    assert store.tables()[second.id]["comment"] == "nas"


def test_additions_at_the_same_time_lose_no_token(store):
    tokens = [Token.new() for _ in range(20)]
    with ThreadPoolExecutor(len(tokens)) as threads:
        list(threads.map(lambda token: store.add(token, {}), tokens))
    assert set(store.load()[0]) == set(tokens)


def test_only_the_owner_can_read_the_file(store):
    store.add(Token.new(), {})
    assert mode(store.path) == 0o600
    assert mode(store.path.parent) == 0o700
    assert os.listdir(store.path.parent) == ["tokens.toml"]


def test_a_removed_token_is_gone_and_the_others_stay_as_they_are(write):
    other = '[token.b]\nsecret = "{}"\nexpires = 2999-01-31T12:00:00+02:00\nports = [1, "2-3"]\n'
    store = write(TABLE + other.format(SECRET))
    _, before = store.load()
    assert store.remove("a")
    assert not store.remove("a")
    tokens, grants = store.load()
    assert tokens == (Token("b", SECRET),)
    assert grants == {"b": before["b"]}
    assert "expires = 2999-01-31T12:00:00+02:00" in store.path.read_text()


def test_an_id_is_added_once(write):
    store = write(TABLE)
    with pytest.raises(SettingsError, match=r"a token with the id a is in .*tokens\.toml already"):
        store.add(Token("a", "t" * 32), {})
    assert store.load()[0] == (Token("a", SECRET),)


def test_a_right_that_is_invalid_changes_nothing(store):
    token = Token.new()
    with pytest.raises(SettingsError) as caught:
        store.add(token, {"ports": ["x"]})
    assert str(caught.value).startswith(f"{store.place(token.id)}.ports: 'x' is not a port")
    assert not store.path.parent.exists()


def test_rights_can_be_checked_before(store):
    assert store.check(Token.new(), {"outside": False, "ports": []}) == Grant(
        outside=False, ports=()
    )
    assert not store.path.parent.exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("token =", "not TOML: "),
        ("hold = 5", "unknown key 'hold'; the file has only tables [token.ID]"),
        ("[policy.80]", "unknown key 'policy'; the file has only tables [token.ID]"),
        ("token = 'x'", "token: expected tables [token.ID], found a string"),
        ("[token.a]\nport = 1", "unknown key 'token.a.port'; did you mean 'token.a.ports'?"),
        ("[token.a]\nports = 1", "token.a: 'secret' is missing"),
        ("[token.a]\nsecret-file = 'x'", "token.a: 'secret' is missing"),
        ("[token.a]\nsecret = 'short'", "token.a: the token looks cut off"),
        (f"{TABLE}comment = '{'x' * 201}'", "token.a.comment: a comment is one line of at most"),
        (f'{TABLE}comment = "a\\nb"', "token.a.comment: a comment is one line of at most"),
    ],
)
def test_a_damaged_file_is_reported_and_left_alone(write, text, sentence):
    store = write(text)
    for act in (store.load, store.tables, lambda: store.remove("a"), lambda: add(store)):
        with pytest.raises(SettingsError) as caught:
            act()
        assert str(caught.value).startswith(f"{store.path}: {sentence}")
    assert store.path.read_text() == text


def add(store):
    store.add(Token.new(), {})


def test_a_file_that_others_can_read_is_a_warning(write):
    store = write(TABLE)
    store.path.chmod(0o644)
    events = []
    store.load(events.append)
    assert events == [SecretExposed(str(store.path), "0644", ANY)]


def test_a_file_that_is_full_takes_no_more(write, monkeypatch):
    store = write(TABLE)
    monkeypatch.setattr(files, "MAX_BYTES", len(TABLE) + 150)
    with pytest.raises(SettingsError, match="is full; revoke some tokens"):
        add(store)
    assert store.path.read_text() == TABLE


def test_a_directory_that_cannot_be_created(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"the state directory .* cannot be created: not a dir"):
        add(TokenStore(tmp_path / "file" / "state"))


def test_a_directory_that_cannot_be_written(store, monkeypatch):
    add(store)
    before, opened = store.path.read_text(), os.open

    def refuse(path, flags, *mode):
        if flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied")
        return opened(path, flags, *mode)

    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(SettingsError, match="cannot be written: permission denied"):
        add(store)
    assert store.path.read_text() == before


def test_a_file_that_root_writes_belongs_to_the_owner_of_the_directory(store, monkeypatch):
    add(store)
    owners = []
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("os.fchown", lambda _, *owner: owners.append(owner))
    add(store)
    status = store.path.parent.stat()
    assert owners == [(status.st_uid, status.st_gid)]
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    add(store)
    assert len(owners) == 1
