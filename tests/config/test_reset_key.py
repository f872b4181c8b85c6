"""The key of stateless resets: made once, never overwritten, and each remote's own."""

from __future__ import annotations

import contextlib
import errno
import os
import stat

import pytest

from quictunnel.config import reset_key
from quictunnel.config.addresses import HostPort
from quictunnel.config.reset_key import (
    derive_reset_key,
    load_or_make_reset_key,
    load_reset_key,
    locked_reset_key,
)
from quictunnel.errors import SettingsError
from quictunnel.events import ResetKeyNotSaved, ResetKeyNotUsed

ANYWHERE = HostPort("::", 9001)


def test_a_reset_key_is_made_once_and_kept(tmp_path):
    directory = tmp_path / "deep" / "state"
    assert load_reset_key(directory) is None
    key = load_or_make_reset_key(directory)
    assert len(key) == 32
    assert load_or_make_reset_key(directory) == key
    assert load_reset_key(directory) == key
    assert stat.S_IMODE((directory / "reset.key").stat().st_mode) == 0o600
    assert load_or_make_reset_key(tmp_path) != key


def test_of_two_remotes_at_once_the_first_ones_reset_key_counts(tmp_path, monkeypatch):
    theirs = load_or_make_reset_key(tmp_path)
    answers = iter([None, theirs])
    monkeypatch.setattr(reset_key, "load_reset_key", lambda *_: next(answers))
    assert load_or_make_reset_key(tmp_path) == theirs


@pytest.mark.parametrize(
    "content",
    [b"", b"garbage", b"ab" * 31, b"ab" * 33, b"ab" * 32 + b"\n" + b"cd" * 32, b"\xff" * 32],
)
def test_a_damaged_reset_key_is_reported_and_left_alone(tmp_path, content):
    path = tmp_path / "reset.key"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match="the reset key") as caught:
        load_or_make_reset_key(tmp_path)
    assert path.read_bytes() == content
    assert "abab" not in str(caught.value)


def test_where_nothing_can_be_written_there_is_no_reset_key(tmp_path):
    events = []
    (tmp_path / "file").touch()
    directory = tmp_path / "file" / "state"
    assert load_or_make_reset_key(directory, events.append) is None
    with locked_reset_key(directory, ANYWHERE, events.append) as key:
        assert key is None
    assert [type(event) for event in events] == [ResetKeyNotSaved] * 2


def test_a_remote_has_the_same_key_after_a_restart(tmp_path):
    events = []
    keys = set()
    for listen in (ANYWHERE, HostPort("0:0::0", 9001)):
        with locked_reset_key(tmp_path, listen, events.append) as key:
            keys.add(key)
    assert keys == {derive_reset_key(load_reset_key(tmp_path), ANYWHERE)}
    assert not events


def test_remotes_that_share_a_directory_have_different_keys(tmp_path):
    others = [HostPort("::", 9002), HostPort("127.0.0.1", 9001), HostPort("vps.test", 9001)]
    with contextlib.ExitStack() as held:
        keys = {
            held.enter_context(locked_reset_key(tmp_path, listen)) for listen in (ANYWHERE, *others)
        }
    assert len(keys | {load_reset_key(tmp_path)}) == 5
    assert {len(key) for key in keys} == {32}


def test_two_remotes_at_one_address_do_not_share_a_key(tmp_path):
    events = []
    with locked_reset_key(tmp_path, ANYWHERE) as first:
        with locked_reset_key(tmp_path, ANYWHERE, events.append) as second:
            assert second is None
        assert events == [ResetKeyNotUsed(f"another remote at [::]:9001 uses '{tmp_path}'")]
    with locked_reset_key(tmp_path, ANYWHERE) as third:
        assert third == first


def test_without_a_fixed_port_a_key_ends_with_its_remote(tmp_path):
    with locked_reset_key(tmp_path, HostPort("::", 0)) as key:
        assert key is None
    assert load_reset_key(tmp_path)


@pytest.fixture
def read_only(monkeypatch):
    """Return a function that lets no lock file be opened any more."""
    real = os.open

    def set_error(number):
        def refuse(path, flags, *rest, **named):
            if str(path).endswith(".lock"):
                raise OSError(number, os.strerror(number))
            return real(path, flags, *rest, **named)

        monkeypatch.setattr("os.open", refuse)

    return set_error


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_a_remote_that_cannot_write_uses_the_key_too(tmp_path, read_only, number):
    events = []
    secret = load_or_make_reset_key(tmp_path)
    read_only(number)
    with locked_reset_key(tmp_path, ANYWHERE, events.append) as key:
        assert key == derive_reset_key(secret, ANYWHERE)
        assert not events
        with locked_reset_key(tmp_path, HostPort("::", 9002), events.append) as second:
            assert second is None
    reason = f"another remote uses '{tmp_path}', and this one cannot write it"
    assert events == [ResetKeyNotUsed(reason)]


def test_a_remote_that_cannot_write_excludes_those_that_can(tmp_path, read_only, monkeypatch):
    events = []
    load_or_make_reset_key(tmp_path)
    with contextlib.ExitStack() as held:
        read_only(errno.EROFS)
        assert held.enter_context(locked_reset_key(tmp_path, ANYWHERE))
        monkeypatch.undo()
        with locked_reset_key(tmp_path, ANYWHERE, events.append) as key:
            assert key is None
    assert events == [ResetKeyNotUsed(f"another remote, which cannot write it, uses '{tmp_path}'")]
    with locked_reset_key(tmp_path, ANYWHERE) as key:
        assert key
        read_only(errno.EROFS)
        with locked_reset_key(tmp_path, ANYWHERE) as second:
            assert second is None


def test_a_key_that_cannot_be_locked_is_not_used(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    events = []
    monkeypatch.setattr("fcntl.flock", refuse)
    with locked_reset_key(tmp_path, ANYWHERE, events.append) as key:
        assert key is None
    assert [event.reason.partition(" cannot ")[2] for event in events] == [
        "be locked: no locks available"
    ]
