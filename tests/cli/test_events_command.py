"""`quictunnel events`."""

from __future__ import annotations

import io
import json
import re

import pytest
from fake_role import EVENT, stream

from quictunnel.cli.main import invoke

LINE = "2026-11-22T14:50:06.123Z WARN  link silent  origin=laptop silent_for=7.5 is_reminder=false"


@pytest.fixture
def events(role, role_socket, capsys):
    """Runs the command, and returns its exit code, its lines and its complaint."""

    def events(*words: str) -> tuple[int, list[str], str]:
        code = invoke(["events", "--socket", str(role_socket), *words])
        out, err = capsys.readouterr()
        return code, out.splitlines(), err

    return events


def queries(role) -> list[str]:
    return [
        request.partition("?")[2]
        for request in role.requests
        if request.startswith("GET /api/v1/events")
    ]


def test_the_last_events_are_lines_of_the_log(events, role):
    # The third event is newer than the command.
    role.streams = [stream("events", EVENT, EVENT, EVENT)]
    assert events() == (0, [LINE, LINE], "")
    assert queries(role) == ["recent=20"]


def test_a_number_of_events(events, role):
    role.streams = [stream(EVENT, EVENT)]
    assert events("--recent", "1") == (0, [LINE], "")
    assert events("--recent", "0") == (0, [], "")
    assert queries(role) == ["recent=1"]


def test_json_is_one_object_per_line(events, role):
    role.streams = [stream(EVENT, EVENT)]
    code, lines, _ = events("--json")
    assert code == 0
    assert [json.loads(line) for line in lines] == [EVENT, EVENT]


def test_values_are_as_in_the_log(events, role):
    event = EVENT | {
        "level": "info",
        "number": 7,
        "services": ["a", "b"],
        "granted": [{"name": "a", "address": "[::]:1"}, {"name": "b", "address": None}],
        "reason": "it's \x1b late",
        "link": None,
    }
    role.streams = [stream(event)]
    _, (line,), _ = events("--recent", "1")
    assert line == (
        "2026-11-22T14:50:06.123Z INFO  link silent  origin=laptop silent_for=7.5 "
        'is_reminder=false services=a,b granted="a=[::]:1,b" reason="it\'s \\x1b late"'
    )


def test_names_of_fields_are_escaped(events, role):
    role.streams = [stream(EVENT | {"\x1b[31m": 1})]
    _, (line,), _ = events("--recent", "1")
    assert line.endswith(" \\x1b[31m=1")


def test_data_that_is_nested_without_end_is_shown_as_text(events, role):
    role.streams = [b"id: 9\nevent: odd\ndata: " + b"[" * 100_000 + b"\n\n"]
    code, (line,), _ = events()
    assert code == 0
    assert "[[[" in line


def test_a_role_without_that_many_events(events, role):
    role.streams = [stream("events", EVENT | {"number": 1}, "no event", "no event")]
    assert len(events()[1]) == 1


def test_data_that_is_no_object_is_shown_escaped(events, role):
    role.streams = [b"id: 9\nevent: odd\ndata: \x1b[31m\n\n"]
    _, (line,), _ = events()
    assert line.split(None, 1)[1] == "\\x1b[31m"


def test_following_goes_on_where_a_stream_ends(events, role):
    role.streams = [stream(EVENT, "no event", EVENT), stream(EVENT, first=3), b""]
    code, lines, complaint = events("--follow", "--recent", "5")
    assert code == 3
    assert lines == [LINE, LINE, LINE]
    assert queries(role) == ["recent=5", "since=2", "since=3"]
    assert re.fullmatch(r"quictunnel: the connection to the role at .* was lost: .*\n", complaint)


def test_following_ends_with_its_reader(events, role, monkeypatch):
    class Gone(io.StringIO):
        def write(self, _text):
            raise BrokenPipeError(32, "Broken pipe")

    role.streams = [stream(EVENT, EVENT)]
    monkeypatch.setattr("sys.stdout", Gone())
    assert events("--follow")[0] == 0


def test_following_ends_with_ctrl_c(events, role, monkeypatch):
    def interrupt(_line):
        raise KeyboardInterrupt

    role.streams = [stream(EVENT)]
    monkeypatch.setattr("quictunnel.cli.events.print_line", interrupt)
    assert events("--follow")[0] == 0


def test_a_terminal_has_colours(events, role, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    role.streams = [stream(EVENT)]
    _, (line,), _ = events("--recent", "1")
    assert "\x1b[33mWARN" in line
    assert re.sub(r"\x1b\[[0-9;]*m", "", line) == LINE


def test_the_number_is_bounded(fail):
    assert "--recent" in fail("events", "--recent", "1001")
