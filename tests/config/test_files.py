"""Files of a user: whether others can read a secret."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quictunnel.config.certificates import CertificateFiles
from quictunnel.config.files import warn_if_open
from quictunnel.config.state import load_or_make_reset_key, load_reset_key

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
def test_who_may_read_a_secret(tmp_path, caplog, monkeypatch, mode, owner, is_open):
    path = tmp_path / "secret"
    path.touch()
    path.chmod(mode)
    status = list(path.stat())
    status[4] = owner
    monkeypatch.setattr(Path, "stat", lambda _: os.stat_result(status))
    warn_if_open(path)
    assert [record.getMessage() for record in caplog.records] == is_open * [
        "others can read this secret"
    ]


def test_a_directory_or_nothing_is_no_secret(tmp_path, caplog):
    warn_if_open(tmp_path)
    warn_if_open(tmp_path / "gone")
    assert not caplog.records


def test_a_key_that_others_can_read_is_taken_with_a_warning(write_pair, caplog):
    cert, key = write_pair()
    key.chmod(0o644)
    files = CertificateFiles(cert, key)
    assert [record.quictunnel_facts["file"] for record in caplog.records] == [key]
    caplog.clear()
    write_pair()
    assert files.reload_if_changed()
    assert "others can read this secret" in [record.getMessage() for record in caplog.records]


def test_a_reset_key_that_others_can_read_is_taken_with_a_warning(tmp_path, caplog):
    key = load_or_make_reset_key(tmp_path)
    assert not caplog.records
    (tmp_path / "reset.key").chmod(0o644)
    assert load_reset_key(tmp_path) == key
    assert [record.quictunnel_facts["mode"] for record in caplog.records] == ["0644"]
