"""The state directory of remotes: who may change it, and remotes that share it."""

from __future__ import annotations

import os
import re
import socket
import stat

import pytest

from testkit.programs import (
    DIRECTORY_WRITABLE,
    READY_REMOTE,
    RESET_KEY_NOT_USED,
    free_port,
    logged,
)

ONE_ENGINE = (
    "test_a_directory_that_everyone_can_change_is_refused",
    "test_a_directory_that_a_group_can_change_is_a_warning",
    "test_parents_are_for_the_owner_only",
)

UNKNOWN_LINK = bytes([0x4A]) + bytes(range(60))
"""A packet with a short header, for a connection that no remote has (RFC 9000, 17.3.1)."""

RESET_TOKEN = 16
"""Bytes at the end of a stateless reset (RFC 9000, 10.3)."""


@pytest.fixture
def start(programs, tmp_path, engines):
    """Starts a remote with the state directory of the test, and waits until it is ready."""

    def start(host: str, port: int):
        words = ("--listen", f"{host}:{port}", "--outside", "127.0.0.1:0", "--engine", engines[1])
        remote = programs.quictunnel("remote", *words, "--state-dir", tmp_path / "state")
        remote.wait_for(READY_REMOTE)
        return remote

    return start


def reset_token(host: str, port: int) -> bytes:
    """Return the token with which a remote resets a connection that it does not know."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.settimeout(20)
        sock.connect((host, port))
        sock.send(UNKNOWN_LINK)
        return sock.recv(2048)[-RESET_TOKEN:]


def test_remotes_that_share_a_directory_do_not_reset_each_others_links(start):
    port = free_port()
    hosts = ("127.0.0.1", "127.0.0.2")
    remotes = [start(host, port) for host in hosts]
    tokens = [reset_token(host, port) for host in hosts]
    assert tokens[0] != tokens[1]
    for remote in remotes:
        remote.end()
        assert RESET_KEY_NOT_USED not in remote.stderr
    start(hosts[0], port)
    assert reset_token(hosts[0], port) == tokens[0]


def test_a_directory_that_everyone_can_change_is_refused(programs, tmp_path):
    state = tmp_path / "my state"
    state.mkdir()
    state.chmod(0o777)
    (tmp_path / "r.toml").write_text("state-dir = 'my state'\n")
    commands = [
        ("remote", "--state-dir", state),
        ("check", tmp_path / "r.toml"),
        ("token", "list", "--state-dir", state),
        ("token", "new", "--add", "--state-dir", state),
    ]
    for words in commands:
        program = programs.quictunnel(*words)
        assert program.wait() == 2
        assert program.stderr == (
            f"quictunnel: the state directory, '{state}', can be changed by every user of this "
            f"machine; take that right away: chmod 700 '{state}'; or, in a container, use a "
            f"directory in it: --state-dir '{state}/quictunnel'\n"
        )
        assert program.stdout == ""
    assert not [*state.iterdir()]


def test_a_directory_that_a_group_can_change_is_a_warning(start, tmp_path, programs):
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o770)
    try:
        os.chown(state, -1, 54_321)
    except PermissionError:
        pytest.skip("this gives a directory to a group, so it must run as root")
    pattern = logged(DIRECTORY_WRITABLE, directory=str(state), group="54321") + (
        f' .*command="{re.escape(f"chmod g-w {state}")}"'
    )
    start("127.0.0.1", free_port()).wait_for_log(pattern)
    (tmp_path / "r.toml").write_text("state-dir = 'state'\n")
    check = programs.quictunnel("check", tmp_path / "r.toml")
    assert check.wait() == 0
    check.wait_for_log(pattern)


def test_parents_are_for_the_owner_only(programs, tmp_path):
    state = tmp_path / "new" / "deep" / "state"
    words = ("--listen", "127.0.0.1:0", "--outside", "127.0.0.1:0", "--state-dir", state)
    programs.quictunnel("remote", *words).wait_for(READY_REMOTE)
    for folder in (state, *state.parents[:2]):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
