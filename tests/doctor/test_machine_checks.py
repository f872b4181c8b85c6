"""The checks of the machine, of clocks, versions and port holders, without a network."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from quictunnel.doctor import machine
from quictunnel.doctor.clock import Clock, compare_clocks
from quictunnel.doctor.finding import Level
from quictunnel.doctor.machine import Descriptors, Engines, Offloads, SocketBuffers
from quictunnel.doctor.port_holders import holder_of
from quictunnel.doctor.versions import compare_versions
from quictunnel.errors import SettingsError
from quictunnel.quic.engines.selection import EngineKind, EngineMissingError
from quictunnel.quic.path.udp import BUFFER_SIZE

QUINN = EngineKind("quinn", "1.2", None, None)
AIOQUIC = EngineKind("aioquic", "3.4", None, None)
MISSING = EngineMissingError("the quinn engine is not installed")
BROKEN = SettingsError("the quinn engine does not work")


def test_small_buffers_are_a_warning_with_the_command_that_helps(monkeypatch):
    monkeypatch.setattr(machine, "granted_buffers", lambda _: (212_992, BUFFER_SIZE))
    (finding,) = SocketBuffers().examine()
    assert finding.level is Level.WARNING
    assert "208 KiB for receiving" in finding.sentence
    assert "sysctl -w" in finding.advice


@pytest.mark.parametrize(
    ("supported", "level", "words"),
    [((True, True), Level.OK, "GSO, GRO"), ((True, False), Level.WARNING, "lacks GRO")],
)
def test_offloads(monkeypatch, supported, level, words):
    monkeypatch.setattr(machine, "offloads", lambda _: supported)
    monkeypatch.setattr(machine.sys, "platform", "linux")
    (finding,) = Offloads().examine()
    assert finding.level is level
    assert words in finding.sentence


@pytest.mark.parametrize(
    ("clients", "level"),
    [(1, Level.FAILED), (15, Level.FAILED), (192, Level.WARNING), (960, Level.OK)],
)
def test_descriptors(clients, level):
    (finding,) = Descriptors(clients).examine()
    assert finding.level is level


@pytest.mark.parametrize(
    ("found", "wanted", "level", "words"),
    [
        ({"quinn": QUINN, "aioquic": AIOQUIC}, "auto", Level.OK, "quinn 1.2 is used"),
        ({"quinn": MISSING, "aioquic": AIOQUIC}, "auto", Level.OK, "aioquic 3.4 is used"),
        ({"quinn": BROKEN, "aioquic": AIOQUIC}, "auto", Level.WARNING, "does not work"),
        ({"quinn": MISSING, "aioquic": AIOQUIC}, "quinn", Level.FAILED, "not installed"),
        ({"quinn": QUINN, "aioquic": BROKEN}, "quinn", Level.OK, "quinn 1.2 is used"),
        ({"quinn": MISSING, "aioquic": BROKEN}, "auto", Level.FAILED, "no engine works"),
    ],
)
def test_engines(monkeypatch, found, wanted, level, words):
    monkeypatch.setattr(machine, "installed", lambda: found)
    (finding,) = Engines(wanted).examine()
    assert finding.level is level
    assert words in finding.sentence


@pytest.mark.parametrize(
    ("now", "level"),
    [(0.0, Level.FAILED), (1.8e9, Level.OK), (4e9, Level.FAILED), (1e20, Level.FAILED)],
)
def test_clock(now, level):
    (finding,) = Clock(lambda: now).examine()
    assert finding.level is level


@pytest.mark.parametrize(
    ("here", "level", "words"),
    [
        (1000.0, Level.OK, "agree"),
        (1050.0, Level.OK, "agree"),
        (1000.0 + 3600, Level.WARNING, "1h ahead of"),
        (1000.0 - 120, Level.WARNING, "2m behind"),
        (1000.0 + 90_000, Level.FAILED, "ahead of"),
    ],
)
def test_clocks_of_both_ends(here, level, words):
    finding = compare_clocks(here=here, remote=1000.0)
    assert finding.level is level
    assert words in finding.sentence


@pytest.mark.parametrize(
    ("agent", "level", "words"),
    [
        ("quictunnel/1.10.0", Level.OK, "both ends have version 1.10.0"),
        ("quictunnel/1.9.9", Level.WARNING, "older than 1.10.0"),
        ("quictunnel/2.0.0rc1", Level.WARNING, "newer than 1.10.0"),
        ("", Level.WARNING, "does not say its version"),
        ("another/1", Level.OK, "says another/1"),
        ("quictunnel/9999999999.0.0", Level.OK, "says quictunnel/9999999999.0.0"),
    ],
)
def test_versions(agent, level, words):
    finding = compare_versions("1.10.0", agent)
    assert finding.level is level
    assert words in finding.sentence


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="this needs Linux")
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["tcp", "udp"])
def test_the_holder_of_a_port(kind):
    protocol = "tcp" if kind is socket.SOCK_STREAM else "udp"
    with socket.socket(type=kind) as sock:
        sock.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            sock.listen()
        port = sock.getsockname()[1]
        holder = holder_of(protocol, port)
        assert holder is not None
        assert holder.pid == os.getpid()
        assert not holder.is_remote
    assert holder_of(protocol, port) is None


@pytest.mark.parametrize(
    ("words", "shown", "is_remote"),
    [
        (
            ("/usr/bin/python3", "/opt/q/bin/quictunnel", "remote"),
            "python3 quictunnel remote",
            True,
        ),
        (("python3", "-m", "quictunnel", "remote", "--token", "s"), "python3 quictunnel", True),
        (("quictunnel", "origin", "8000"), "quictunnel origin 8000", False),
        (("x" * 100,), "x" * 60, False),
        ((), "unknown", False),
    ],
)
def test_the_command_of_a_holder_shows_no_secrets(tmp_path, words, shown, is_remote):
    (tmp_path / "net").mkdir()
    row = "   0: 00000000:2329 00000000:0000 0A 0:0 00:0 0 0 0 4242 1 0"
    (tmp_path / "net" / "tcp").write_text(f"header\n{row}\n")
    descriptors = tmp_path / "77" / "fd"
    descriptors.mkdir(parents=True)
    (descriptors / "3").symlink_to("socket:[4242]")
    (tmp_path / "77" / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in words))
    holder = holder_of("tcp", 0x2329, tmp_path)
    assert str(holder) == f"process 77 ({shown})"
    assert holder.is_remote is is_remote
