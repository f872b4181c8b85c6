"""One process at a time changes a directory."""

from __future__ import annotations

import threading

import pytest

from quictunnel.config import directory_lock
from quictunnel.config.directory_lock import locked
from quictunnel.errors import SettingsError

WHAT = "the state directory"


def test_another_one_waits_for_the_lock(tmp_path):
    holds, order = threading.Event(), []

    def other():
        holds.wait()
        with locked(tmp_path, WHAT):
            order.append("other")

    thread = threading.Thread(target=other)
    thread.start()
    with locked(tmp_path, WHAT):
        holds.set()
        thread.join(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "other"]


def test_the_wait_has_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(directory_lock, "LOCK_TIMEOUT", 0)
    in_use = r"another command has the state directory .* in use"
    with locked(tmp_path, WHAT), pytest.raises(SettingsError, match=in_use):
        locked(tmp_path, WHAT).__enter__()
    with locked(tmp_path, WHAT):
        pass


def test_a_failure_releases_the_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(directory_lock, "LOCK_TIMEOUT", 0)
    with pytest.raises(ZeroDivisionError), locked(tmp_path, WHAT):
        raise ZeroDivisionError
    with locked(tmp_path, WHAT):
        pass


@pytest.mark.parametrize(("name", "reason"), [("none", "no such file"), ("file", "not a dir")])
def test_what_is_no_directory_is_an_error(tmp_path, name, reason):
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=f"the state directory .* cannot be read: {reason}"):
        locked(tmp_path / name, WHAT).__enter__()


def test_a_file_system_without_locks_is_an_error(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", fail)
    with pytest.raises(SettingsError, match="cannot be locked: function not implemented"):
        locked(tmp_path, WHAT).__enter__()
