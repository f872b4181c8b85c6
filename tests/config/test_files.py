"""Files of a user: whether others can read a secret."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from unittest.mock import ANY

import pytest

from quictunnel.config.certificates import CertificateFiles, format_pin
from quictunnel.config.files import make_directory, warn_if_exposed
from quictunnel.config.reset_key import load_or_make_reset_key, load_reset_key
from quictunnel.errors import SettingsError
from quictunnel.events import CertificateRenewed, SecretExposed

ROOT, SOMEBODY = 0, 1000


@pytest.mark.parametrize(
    ("mode", "owner", "command"),
    [
        (0o600, SOMEBODY, None),
        (0o400, SOMEBODY, None),
        (0o640, SOMEBODY, "chmod go="),
        (0o604, SOMEBODY, "chmod go="),
        (0o600, ROOT, None),
        (0o640, ROOT, None),
        (0o660, ROOT, "chmod g-wx,o="),
        (0o644, ROOT, "chmod g-wx,o="),
    ],
)
def test_who_may_read_a_secret(tmp_path, monkeypatch, mode, owner, command):
    path = tmp_path / "my secret"
    path.touch()
    path.chmod(mode)
    status = list(path.stat())
    status[4] = owner
    monkeypatch.setattr(Path, "stat", lambda _: os.stat_result(status))
    events = []
    warn_if_exposed(path, events.append)
    exposed = SecretExposed(str(path), f"{mode:04o}", f"{command} '{path}'")
    assert events == [exposed] * (command is not None)


def test_a_directory_or_a_missing_file_is_not_exposed(tmp_path):
    events = []
    warn_if_exposed(tmp_path, events.append)
    warn_if_exposed(tmp_path / "gone", events.append)
    assert not events


def test_an_exposed_key_is_used_with_a_warning(write_pair):
    events = []
    cert, key = write_pair()
    key.chmod(0o644)
    files = CertificateFiles(cert, key, events.append)
    exposed = SecretExposed(str(key), "0644", ANY)
    assert events == [exposed]
    write_pair()
    assert files.reload_if_changed()
    assert events[1] == exposed
    pair = files.current
    assert events[2] == CertificateRenewed(str(cert), format_pin(pair.fingerprint), pair.expires)


def test_an_exposed_reset_key_is_used_with_a_warning(tmp_path):
    events = []
    key = load_or_make_reset_key(tmp_path, events.append)
    assert not events
    (tmp_path / "reset.key").chmod(0o644)
    assert load_reset_key(tmp_path, events.append) == key
    assert events == [SecretExposed(str(tmp_path / "reset.key"), "0644", ANY)]


def test_only_the_owner_may_enter_directories_that_are_made(tmp_path):
    make_directory(tmp_path / "a" / "b" / "c", "it")
    make_directory(tmp_path / "a" / "b" / "c", "it")
    for name in ("a", "a/b", "a/b/c"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o700


def test_a_file_in_the_place_of_a_directory(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"it '.*file' cannot be created: file exists"):
        make_directory(tmp_path / "file", "it")
