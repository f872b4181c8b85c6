"""The state directory: made once, kept, never overwritten."""

from __future__ import annotations

import stat

import pytest

from quictunnel.config import state
from quictunnel.config.certificates import load_pair
from quictunnel.config.tokens import Token
from quictunnel.errors import SettingsError


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_token_is_made_once_and_kept(tmp_path):
    directory = tmp_path / "deep" / "state"
    assert state.load_token(directory) is None
    token, made = state.load_or_make_token(directory)
    assert made
    assert state.load_or_make_token(directory) == (token, False)
    assert state.load_token(directory) == token
    assert mode(directory / "token") == 0o600
    assert mode(directory) == 0o700
    assert [path.name for path in directory.iterdir()] == ["token"]


def test_of_two_remotes_at_once_the_first_ones_token_counts(tmp_path, monkeypatch):
    theirs, _ = state.load_or_make_token(tmp_path)
    answers = iter([None, theirs])
    monkeypatch.setattr(state, "load_token", lambda *_: next(answers))
    assert state.load_or_make_token(tmp_path) == (theirs, False)


@pytest.mark.parametrize("content", ["", "garbage", f"a.{'x' * 30}\nb.{'x' * 30}"])
def test_a_damaged_token_is_reported_and_left_alone(tmp_path, content):
    path = tmp_path / "token"
    path.write_text(content)
    with pytest.raises(SettingsError, match="token"):
        state.load_or_make_token(tmp_path)
    assert path.read_text() == content


def test_a_certificate_is_made_once_and_kept(tmp_path):
    cert, key = state.load_or_make_certificate(tmp_path)
    first = load_pair(cert, key)
    assert state.load_or_make_certificate(tmp_path) == (cert, key)
    assert load_pair(cert, key).fingerprint == first.fingerprint
    assert mode(key) == 0o600


def test_a_key_whose_certificate_was_never_written_gets_one(tmp_path):
    cert, key = state.load_or_make_certificate(tmp_path)
    before = key.read_bytes()
    cert.unlink()
    state.load_or_make_certificate(tmp_path)
    assert key.read_bytes() == before


def test_a_certificate_without_its_key_is_reported(tmp_path):
    _, key = state.load_or_make_certificate(tmp_path)
    key.unlink()
    with pytest.raises(SettingsError, match=r"without server\.key"):
        state.load_or_make_certificate(tmp_path)


def test_a_damaged_certificate_is_reported_and_left_alone(tmp_path):
    cert, _ = state.load_or_make_certificate(tmp_path)
    cert.write_text("garbage")
    with pytest.raises(SettingsError, match="certificate"):
        state.load_or_make_certificate(tmp_path)
    assert cert.read_text() == "garbage"


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"the state directory .*not a directory"):
        state.load_or_make_token(tmp_path / "file" / "state")


def test_where_hard_links_are_not_possible_a_token_is_made_all_the_same(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    token, made = state.load_or_make_token(tmp_path)
    assert made
    assert state.load_token(tmp_path) == token


def test_systemd_says_where_the_state_is(monkeypatch, tmp_path):
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}:/elsewhere")
    assert state.default_state_dir() == tmp_path
    monkeypatch.delenv("STATE_DIRECTORY")
    assert state.default_state_dir().name == "quictunnel"


def test_a_user_without_a_home_is_asked_for_a_place(monkeypatch):
    def unknown(_):
        raise KeyError("getpwuid(): uid not found: 54321")

    for name in ("STATE_DIRECTORY", "XDG_STATE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    with pytest.raises(SettingsError, match=r"no home directory .*--state-dir"):
        state.default_state_dir()


def test_a_host_name_that_fits_in_no_certificate_is_left_out(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "my laptop")
    assert state.machine_names()[0] == "localhost"


def test_the_secret_is_not_in_the_error_of_a_damaged_file(tmp_path):
    secret = Token.new().secret
    (tmp_path / "token").write_text(secret)
    with pytest.raises(SettingsError) as caught:
        state.load_token(tmp_path)
    assert secret not in str(caught.value)


def test_a_token_is_removed_by_its_id(tmp_path):
    token, _ = state.load_or_make_token(tmp_path)
    assert not state.remove_token(tmp_path, "other")
    assert state.load_token(tmp_path) == token
    assert state.remove_token(tmp_path, token.id)
    assert state.load_token(tmp_path) is None
    assert not state.remove_token(tmp_path, token.id)


def test_a_token_that_cannot_be_removed(tmp_path, monkeypatch):
    token, _ = state.load_or_make_token(tmp_path)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    with pytest.raises(SettingsError, match=r"the token .* cannot be removed: permission denied"):
        state.remove_token(tmp_path, token.id)


def test_a_directory_that_this_user_may_not_read_is_reported(tmp_path, monkeypatch):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.lstat", refuse)
    with pytest.raises(SettingsError, match=r"the token .* cannot be read: permission denied"):
        state.load_token(tmp_path)
