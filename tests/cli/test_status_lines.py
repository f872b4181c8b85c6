"""The lines of standard output that tell what has become of a link."""

from __future__ import annotations

import os

import pytest

from quictunnel.cli.output import tell
from quictunnel.cli.status_lines import state_line, tell_state
from quictunnel.events import LinkDropped, LinkRecovered, LinkSilent


def silent(silent_for: float, clients: int, hold_left: float, origin: str = "box") -> LinkSilent:
    return LinkSilent(origin, None, "::1", silent_for, clients, hold_left, is_reminder=False)


def recovered(silent_for: float, address: str, previous: str | None, clients: int) -> LinkRecovered:
    return LinkRecovered("box", None, address, previous, silent_for, clients)


def dropped(reason: str, silent_for: float | None) -> LinkDropped:
    return LinkDropped("box", None, "::1", reason, silent_for)


@pytest.mark.parametrize(
    ("state", "line"),
    [
        (
            silent(42.0, 17, 858.04),
            "silent: link silent for 42 s, 17 streams held for up to 14m18s",
        ),
        (silent(2.1, 1, 0.0), "silent: link silent for 2 s, 1 stream held for up to 0s"),
        (
            recovered(61.2, "192.0.2.7", "198.51.100.3", 17),
            "back: link back after 61 s on 192.0.2.7 (was 198.51.100.3), 17 streams kept",
        ),
        (recovered(3661.4, "::1", None, 0), "back: link back after 1h1m1s on ::1, 0 streams kept"),
        (dropped("taken over", None), "lost: link lost: taken over"),
        (
            dropped("silent for longer than the hold", 900.0),
            "lost: link lost after 15m of silence: silent for longer than the hold",
        ),
    ],
)
def test_what_it_says(state, line):
    assert state_line(state, "link") == line


def test_the_remote_says_whose_link_it_is(monkeypatch):
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream, os.fdopen(reader) as lines:
        monkeypatch.setattr("sys.stdout", stream)
        tell_state(silent(2.0, 3, 60.0), "box\x1b[2J")
        assert lines.readline() == (
            "silent: link of origin box\\x1b[2J silent for 2 s, 3 streams held for up to 1m\n"
        )


def test_a_reader_that_does_not_read_holds_nobody_up(monkeypatch):
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream, os.fdopen(reader, "rb") as lines:
        monkeypatch.setattr("sys.stdout", stream)
        for _ in range(2000):
            tell("x" * 100)
        os.set_blocking(reader, False)
        assert 0 < len(lines.read()) < 2000 * 100


def test_a_reader_that_is_gone_is_no_failure(monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        tell("to nobody")
        tell("nor now")
