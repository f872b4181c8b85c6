"""The access log of the installed program: its file, its formats, and rotation."""

from __future__ import annotations

import json
import re
import signal
import stat
import time

import pytest

from testkit.programs import PATIENCE, logged

ONE_ENGINE = True

BOTH_ROLES = pytest.mark.parametrize("which", ["remote", "origin"])


def exchange(tunnel) -> None:
    """Let a client send four bytes, get three, and end in order."""
    client, server = tunnel.pair()
    client.send(b"ping")
    assert server.receive(4) == b"ping"
    server.send(b"yes")
    server.send_eof()
    client.send_eof()
    assert client.receive_all() == b"yes"
    assert server.receive_all() == b""


def wait_for_lines(file, count: int) -> list[str]:
    """Return the lines of a file, once there are as many."""
    deadline = time.monotonic() + PATIENCE
    while True:
        lines = file.read_text().splitlines() if file.exists() else []
        if len(lines) >= count:
            assert len(lines) == count
            return lines
        assert time.monotonic() < deadline, lines
        time.sleep(0.01)


@BOTH_ROLES
def test_a_client_has_one_line_and_leaves_the_log(tunnel, tmp_path, which):
    file = tmp_path / "access"
    tunnel.up(**{which: ("--access-log", file, "--log-level", "debug")})
    exchange(tunnel)
    (line,) = wait_for_lines(file, 1)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z client=127\.0\.0\.1:\d+ service=default "
        + (r"origin=\S+ " if which == "remote" else "")
        + r"bytes_up=4 bytes_down=3 duration=[\d.]+ ending=eof id=[0-9a-f]+ "
        r'reason="ended in order"',
        line,
    )
    assert not stat.S_IMODE(file.stat().st_mode) & 0o137
    program = getattr(tunnel, which)
    program.stop()
    assert "client accepted" not in program.stderr
    assert "client closed" not in program.stderr


def test_both_ends_have_the_same_id(tunnel, tmp_path):
    files = [tmp_path / "remote", tmp_path / "origin"]
    tunnel.up(
        **{file.name: ("--access-log", file, "--access-log-format", "json") for file in files}
    )
    exchange(tunnel)
    entries = [json.loads(wait_for_lines(file, 1)[0]) for file in files]
    for key in ("id", "client", "service", "bytes_up", "bytes_down", "ending"):
        assert entries[0][key] == entries[1][key]


def test_a_rejected_client_has_a_line_and_a_warning(tunnel, tmp_path):
    file = tmp_path / "access"
    config = tmp_path / "remote.toml"
    config.write_text('access-log-format = "combined"\n[policy.default]\nallow = "192.0.2.0/24"\n')
    tunnel.up(remote=("--config", config, "--access-log", file))
    assert tunnel.resets_client()
    (line,) = wait_for_lines(file, 1)
    assert line.startswith("127.0.0.1 - - [")
    assert line.endswith('] "TCP -" 403 0 "-" "-" - - 0 0.000 policy')
    tunnel.remote.wait_for_log(logged("client rejected"))


def test_standard_output_has_the_lines_among_the_others(tunnel):
    tunnel.up(remote=("--access-log", "-", "--access-log-format", "json"))
    exchange(tunnel)
    line = tunnel.remote.wait_for(r"(?m)^(\{.*\})$")[1]
    assert json.loads(line)["bytes_up"] == 4
    assert "ready: " in tunnel.remote.stdout


def test_a_signal_opens_a_new_file(tunnel, tmp_path):
    file = tmp_path / "access"
    tunnel.up(remote=("--access-log", file))
    exchange(tunnel)
    wait_for_lines(file, 1)
    file.rename(tmp_path / "access.1")
    tunnel.remote.signal(signal.SIGUSR1)
    deadline = time.monotonic() + PATIENCE
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    exchange(tunnel)
    wait_for_lines(file, 1)
    wait_for_lines(tmp_path / "access.1", 1)


def test_a_rotation_without_a_signal_is_noticed(tunnel, tmp_path):
    file = tmp_path / "access"
    tunnel.up(origin=("--access-log", file))
    exchange(tunnel)
    wait_for_lines(file, 1)
    file.unlink()
    deadline = time.monotonic() + PATIENCE
    while not file.exists():  # the first lines may still go to the removed file
        assert time.monotonic() < deadline
        exchange(tunnel)
        time.sleep(0.2)


@BOTH_ROLES
def test_the_signal_does_nothing_without_an_access_log(tunnel, which):
    tunnel.up()
    program = getattr(tunnel, which)
    program.signal(signal.SIGUSR1)
    exchange(tunnel)
    assert program.wait_for_log("client closed")
    program.signal(signal.SIGTERM)
    assert program.wait() == 0


def test_a_full_disk_ends_nothing(tunnel):
    tunnel.up(remote=("--access-log", "/dev/full"))
    exchange(tunnel)
    tunnel.remote.wait_for_log(
        logged("access log lines lost", file="/dev/full", count="1")
        + '.*reason="no space left on device"'
    )
    tunnel.remote.wait_for("warning: the access log /dev/full lacks 1 line: no space left")
    exchange(tunnel)


def test_a_change_of_the_file_needs_a_restart(tunnel, tmp_path):
    config = tmp_path / "remote.toml"
    config.write_text(f'access-log = "{tmp_path / "one"}"\n')
    tunnel.up(remote=("--config", config))
    config.write_text(f'access-log = "{tmp_path / "two"}"\n')
    tunnel.remote.wait_for("reloaded: .*; restart to apply access-log")
    exchange(tunnel)
    wait_for_lines(tmp_path / "one", 1)
