"""Each test of the command line begins with no settings in the environment, and leaves no logs."""

from __future__ import annotations

import logging
import os

import pytest
from fake_role import FakeRole
from state_directory import CONFIG, SECRET, STATE, write

from quictunnel.cli.main import invoke
from quictunnel.config.reset_key import load_or_make_reset_key
from quictunnel.config.state import load_or_make_token


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    for name in os.environ:
        if name.startswith("QUICTUNNEL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def logs_as_before():
    root, ours = logging.getLogger(), logging.getLogger("quictunnel")
    before = (root.handlers[:], root.level, ours.level, logging.raiseExceptions)
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])
    logging.raiseExceptions = before[3]


@pytest.fixture
def run(capsys):
    """Runs a command that succeeds, and returns the lines that it prints."""

    def run(*words) -> list[str]:
        assert invoke([*words]) == 0
        out, err = capsys.readouterr()
        assert not err
        return out.splitlines()

    return run


@pytest.fixture
def fail(capsys):
    """Runs a command that ends with exit code 2, and returns its sentence."""

    def fail(*words) -> str:
        assert invoke([*words]) == 2
        out, err = capsys.readouterr()
        assert not out
        assert err.count("\n") == 1
        assert SECRET not in err
        return err

    return fail


@pytest.fixture
def own():
    """The token that the remote has created."""
    load_or_make_reset_key(STATE)
    return load_or_make_token(STATE)[0]


@pytest.fixture
def config():
    """A file with tokens in a list and in another file."""
    write("tokens", f"# box\n\nbox.{SECRET}  # mine\n")
    return write("r.toml", CONFIG)


@pytest.fixture
def role_socket(tmp_path):
    """The path of the admin socket of `role`."""
    return tmp_path / "role.sock"


@pytest.fixture
def role(role_socket):
    """The admin interface of a role whose answers the test decides."""
    role = FakeRole(role_socket)
    yield role
    role.close()
