"""Whether a service that runs as another user can read a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quictunnel.cli.services.readability import why_unreadable


@pytest.fixture
def folder(tmp_path):
    """A folder that everyone may look into, as far as its own mode is concerned."""
    for each in (tmp_path, *tmp_path.parents):
        if each.stat().st_uid == os.getuid() and each != Path("/"):
            each.chmod(each.stat().st_mode | 0o011)
    return tmp_path


def test_a_file_that_everyone_may_read(folder):
    path = folder / "file"
    path.touch(0o644)
    assert why_unreadable(path) is None
    assert why_unreadable(folder) is None


def test_a_file_of_one_user(folder):
    path = folder / "file"
    path.touch(0o600)
    assert why_unreadable(path) == "only some users may read it"
    assert why_unreadable(path, user=os.getuid()) is None


def test_a_folder_of_one_user(folder):
    path = folder / "private" / "file"
    path.parent.mkdir(0o700)
    path.touch(0o644)
    assert why_unreadable(path) == f"only some users may look into {path.parent}"


def test_a_folder_that_services_do_not_see(folder):
    home = folder / "home"
    home.mkdir()
    path = home / "file"
    path.touch(0o644)
    link = folder / "link"
    link.symlink_to(path)
    for each in (path, link):
        assert why_unreadable(each, [home]) == f"services do not see {home}"


def test_a_file_that_is_missing(folder):
    assert why_unreadable(folder / "missing") == "only some users may read it"
