"""The lines of standard output that follow from events."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from quictunnel.cli import status_lines
from quictunnel.cli.output import print_if_writable
from quictunnel.cli.status_lines import ORIGIN_LINES, REMOTE_LINES, StatusLines
from quictunnel.events import (
    DrainStarted,
    HelloTimedOut,
    LinkDropped,
    LinkEnding,
    LinkMoved,
    LinkRecovered,
    LinkSilent,
    OriginServerMissing,
    PathKind,
    PathReason,
    ServiceHealthy,
    ServicesLeftOut,
    ServiceUnhealthy,
    UnhealthyReasonChanged,
    WebSocketNotOpened,
)

SILENT = LinkSilent("box", "t1", "192.0.2.7", 42.0, 17, 858.04, is_reminder=False, link="ab12")
BACK = LinkRecovered("box", "t1", "192.0.2.7", "198.51.100.3", 61.2, 17, "ab12")
MOVED = LinkMoved(
    *("box", "t1", "192.0.2.7", None, 17, "ab12"),
    *(PathKind.WEBSOCKET, PathKind.UDP, PathReason.UDP_SILENT),
)
LOST = LinkDropped(
    "box", "t1", "192.0.2.7", "the remote was stopped", None, LinkEnding.GOODBYE, "ab12"
)


@pytest.fixture
def output(monkeypatch):
    """Returns a sink, and the lists of what it prints and what it logs."""

    def make(formats=REMOTE_LINES, log_level=None, *, on_terminal=True):
        printed, logged = [], []
        monkeypatch.setattr(status_lines, "print_if_writable", printed.append)
        monkeypatch.setattr(status_lines, "EventLog", lambda *_: logged.append)
        for stream in ("stdout", "stderr"):
            monkeypatch.setattr(f"sys.{stream}.isatty", lambda: on_terminal)
        return StatusLines("quictunnel.remote", formats, log_level), printed, logged

    return make


@pytest.fixture
def lines_of(output):
    """Returns the lines that a terminal shows for an event."""

    def lines_of(formats, event):
        emit, printed, _ = output(formats)
        emit(event)
        return printed

    return lines_of


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (SILENT, "silent: link silent for 42 s, 17 connections held for up to 14m18s"),
        (
            replace(SILENT, silent_for=2.1, clients=1, hold_left=0.0),
            "silent: link silent for 2 s, 1 connection held for up to 0s",
        ),
        (replace(SILENT, is_reminder=True), None),
        (
            BACK,
            "back: link back after 61 s on 192.0.2.7 (was 198.51.100.3), 17 connections kept",
        ),
        (
            replace(BACK, silent_for=3661.4, previous_address=None, clients=0),
            "back: link back after 1h1m1s on 192.0.2.7, 0 connections kept",
        ),
        (LOST, "lost: the remote was stopped; reconnecting"),
        (
            replace(LOST, reason="silent for longer than the hold", silent_for=900.0),
            "lost: silent for longer than the hold (after 15m of silence); reconnecting",
        ),
        (
            OriginServerMissing("localhost:8000"),
            "warning: nothing listens at localhost:8000 yet; start your server there",
        ),
        (LinkMoved("box", "t1", "192.0.2.7", "198.51.100.3", 1, "ab12"), None),
        (
            MOVED,
            "moved: link continues over a WebSocket, 17 connections kept: UDP does not answer",
        ),
        (
            replace(MOVED, path=PathKind.UDP, previous_path=PathKind.WEBSOCKET, path_reason=None),
            "moved: link continues over UDP, 17 connections kept",
        ),
        (
            replace(BACK, path=PathKind.WEBSOCKET, previous_path=PathKind.UDP),
            "back: link back after 61 s on 192.0.2.7 over a WebSocket (was 198.51.100.3), "
            "17 connections kept",
        ),
        (
            WebSocketNotOpened("the proxy 192.0.2.1:3128 asks for a password"),
            "warning: the proxy 192.0.2.1:3128 asks for a password; trying again",
        ),
    ],
)
def test_the_lines_of_an_origin(lines_of, event, line):
    assert lines_of(ORIGIN_LINES, event) == ([line] if line else [])


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            SILENT,
            "silent: link of origin box silent for 42 s, 17 connections held for up to 14m18s",
        ),
        (
            replace(BACK, previous_address=None, clients=1),
            "back: link of origin box back after 61 s on 192.0.2.7, 1 connection kept",
        ),
        (LOST, None),
        (
            replace(LOST, reason="origin laptop2 has taken over", silent_for=19.0),
            "lost: origin box after 19 s of silence: origin laptop2 has taken over",
        ),
    ],
)
def test_the_lines_of_a_remote(lines_of, event, line):
    assert lines_of(REMOTE_LINES, event) == ([line] if line else [])


@pytest.mark.parametrize(
    ("clients", "grace", "line"),
    [
        (0, 30.0, None),
        (
            1,
            30.0,
            "stopping: 1 client may finish within 30 s; press Ctrl-C again to stop at once",
        ),
        (
            2,
            3600.0,
            "stopping: 2 clients may finish within 1h; press Ctrl-C again to stop at once",
        ),
    ],
)
@pytest.mark.parametrize("formats", [ORIGIN_LINES, REMOTE_LINES])
def test_a_drain_with_clients(lines_of, formats, clients, grace, line):
    assert lines_of(formats, DrainStarted(clients, grace)) == ([line] if line else [])


@pytest.mark.parametrize(
    ("log_level", "on_terminal", "is_logged"),
    [(None, True, False), ("info", True, True), (None, False, True)],
)
def test_on_a_terminal_an_event_appears_once(output, log_level, on_terminal, is_logged):
    lines, printed, logged = output(REMOTE_LINES, log_level, on_terminal=on_terminal)
    lines(SILENT)
    lines(HelloTimedOut("192.0.2.7:1"))
    assert len(printed) == 1
    assert logged == [SILENT] * is_logged + [HelloTimedOut("192.0.2.7:1")]


@pytest.mark.parametrize("on_terminal", [True, False])
def test_a_missing_server_has_a_line_only_on_a_terminal(output, on_terminal):
    lines, printed, logged = output(ORIGIN_LINES, on_terminal=on_terminal)
    lines(OriginServerMissing("localhost:8000"))
    assert (len(printed), len(logged)) == ((1, 0) if on_terminal else (0, 1))


def test_a_peers_text_is_escaped(output):
    lines, printed, _ = output()
    lines(replace(SILENT, origin="box\x1b[2J"))
    assert printed[0].startswith("silent: link of origin box\\x1b[2J silent")


def test_a_reader_that_does_not_read_holds_nobody_up(monkeypatch):
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream, os.fdopen(reader, "rb") as lines:
        monkeypatch.setattr("sys.stdout", stream)
        for _ in range(2000):
            print_if_writable("x" * 100)
        os.set_blocking(reader, False)
        assert 0 < len(lines.read()) < 2000 * 100


def test_a_reader_that_is_gone_is_no_failure(monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        print_if_writable("without a reader")
        print_if_writable("nor now")


@pytest.mark.parametrize(
    ("count", "services"), [(1, "service s128"), (872, "service s128 and 871 more")]
)
def test_services_that_an_older_remote_cannot_take_are_one_line(output, count, services):
    emit, printed, _ = output(ORIGIN_LINES)
    emit(ServicesLeftOut("192.0.2.1:9001", "s128", count, 128))
    assert printed == [f"refused: {services}: the remote is older and accepts 128 services"]


def test_a_service_is_withdrawn_and_offered_again(output):
    emit, printed, _ = output(ORIGIN_LINES)
    emit(ServiceUnhealthy("web", "connection refused"))
    emit(UnhealthyReasonChanged("web", "HTTP status 503"))
    emit(ServiceHealthy("web", 3725.0))
    assert printed == [
        "unhealthy: service web: connection refused; withdrawn until the check succeeds",
        "unhealthy: service web: HTTP status 503; withdrawn until the check succeeds",
        "healthy: service web: offered again after 1h2m5s",
    ]
