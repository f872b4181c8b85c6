"""The workflows of GitHub Actions do their work with targets of the Makefile."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_command_is_a_target(path):
    for command in re.findall(r"\brun: (.*)", path.read_text("utf-8")):
        program, target, *_ = command.split()
        assert program == "make"
        assert target in TARGETS


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_has_an_exact_version_or_is_a_commit(path):
    for action in re.findall(r"\buses: (.*)", path.read_text("utf-8")):
        exact = re.search(r"@(v\d+\.\d+\.\d+|[0-9a-f]{40}) *(#|$)", action)
        assert action.startswith("./") or exact, action


def test_the_python_versions_are_those_of_the_package():
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    supported = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)
    tested = (ROOT / ".github" / "workflows" / "test.yml").read_text("utf-8")
    assert re.findall(r'"(3\.\d+)"', tested.partition("include:")[0]) == supported
