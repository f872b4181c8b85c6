"""requirements.lock has everything that pyproject.toml names, with hashes, and nothing private."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
GROUPS = PROJECT["dependency-groups"]


def locked():
    """Return the locked versions by name, and the number of their hashes."""
    found = {}
    for entry in re.split(r"\n(?=\S)", LOCK):
        if match := re.match(r"([a-z0-9-]+)(?:\[[^]]*])?==(\S+)", entry):
            hashes = len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", entry))
            found.setdefault(match[1], []).append((match[2], hashes))
    return found


def wanted():
    """Return all requirements of the program and of its dependency groups."""
    groups = [word for group in GROUPS.values() for word in group if isinstance(word, str)]
    return [Requirement(word) for word in [*PROJECT["project"]["dependencies"], *groups]]


@pytest.mark.parametrize("requirement", wanted(), ids=str)
def test_every_requirement_is_locked(requirement):
    versions = [version for version, _ in locked()[canonicalize_name(requirement.name)]]
    assert any(version in requirement.specifier for version in versions), "run `make lock`"


def test_every_locked_version_has_a_hash():
    assert all(count for entries in locked().values() for _, count in entries)


def test_only_names_versions_and_hashes_are_locked():
    assert "://" not in LOCK
    assert not re.search(r"^ *--(?!hash=)", LOCK, re.MULTILINE)


def test_all_dependency_groups_are_locked():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    named = re.search(r"^GROUPS +:= (.*)", makefile, re.MULTILINE)
    assert sorted(named[1].split()) == sorted(GROUPS)
