"""Files of a user: whether others can read a secret."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quictunnel.config.certificates import CertificateFiles
from quictunnel.config.files import warn_if_exposed
from quictunnel.config.state import load_or_make_reset_key, load_reset_key
from quictunnel.events import CertificateRenewed, SecretExposed

ROOT, SOMEBODY = 0, 1000


@pytest.mark.parametrize(
    ("mode", "owner", "is_open"),
    [
        (0o600, SOMEBODY, False),
        (0o400, SOMEBODY, False),
        (0o640, SOMEBODY, True),
        (0o604, SOMEBODY, True),
        (0o600, ROOT, False),
        (0o640, ROOT, False),
        (0o660, ROOT, True),
        (0o644, ROOT, True),
    ],
)
def test_who_may_read_a_secret(tmp_path, monkeypatch, mode, owner, is_open):
    path = tmp_path / "secret"
    path.touch()
    path.chmod(mode)
    status = list(path.stat())
    status[4] = owner
    monkeypatch.setattr(Path, "stat", lambda _: os.stat_result(status))
    events = []
    warn_if_exposed(path, events.append)
    assert events == is_open * [SecretExposed(str(path), f"{mode:04o}")]


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
    exposed = SecretExposed(str(key), "0644")
    assert events == [exposed]
    write_pair()
    assert files.reload_if_changed()
    assert events[1] == exposed
    assert isinstance(events[2], CertificateRenewed)


def test_an_exposed_reset_key_is_used_with_a_warning(tmp_path):
    events = []
    key = load_or_make_reset_key(tmp_path, events.append)
    assert not events
    (tmp_path / "reset.key").chmod(0o644)
    assert load_reset_key(tmp_path, events.append) == key
    assert events == [SecretExposed(str(tmp_path / "reset.key"), "0644")]
