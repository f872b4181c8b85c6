"""Keys of a terminal."""

from __future__ import annotations

import os
import pty
import time

import pytest

from quictunnel.cli.terminal_keys import END_OF_INPUT, TerminalKeys, parse_keys


@pytest.mark.parametrize(
    ("typed", "keys"),
    [
        ("q", ["q"]),
        ("\x1b[A\x1b[B\x1bOC\x1bOD", ["up", "down", "right", "left"]),
        ("\x1b[5~\x1b[6~\x1b[H\x1b[1~", ["page up", "page down", "home", "home"]),
        ("\x1b[11~x\x1b[1;5A\x1b", ["x"]),
        ("\x1b\x1b[Aé", ["up", "é"]),
        ("", []),
    ],
)
def test_what_a_terminal_sends(typed, keys):
    assert parse_keys(typed) == keys


def test_without_a_terminal_there_are_no_keys(monkeypatch):
    with open(os.devnull) as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        start = time.monotonic()
        with TerminalKeys() as keys:
            assert not keys.are_there
            assert keys.wait(0.01) == []
        assert time.monotonic() - start >= 0.01


def test_a_terminal_that_is_closed(monkeypatch):
    master, terminal = pty.openpty()
    with open(terminal) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        with TerminalKeys() as keys:
            assert keys.are_there
            assert keys.wait(0) == []
            os.write(master, b"q")
            assert keys.wait(5) == ["q"]
            os.close(master)
            assert keys.wait(5) == [END_OF_INPUT]
