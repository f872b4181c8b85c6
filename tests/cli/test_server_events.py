"""Server-sent events, as the HTML standard describes them."""

from __future__ import annotations

import pytest

from quictunnel.cli import server_events
from quictunnel.cli.server_events import ServerEvent, parse_events
from quictunnel.errors import ProtocolError


def parse(text: str) -> list[ServerEvent]:
    return [*parse_events(text.encode().splitlines(keepends=True))]


def test_events_and_comments_in_their_order():
    text = ": hello\n\nid: 7\nevent: link-lost\ndata: {}\n\nid: 8\ndata:x\n\n"
    assert parse(text) == [
        ServerEvent("", "", "hello"),
        ServerEvent("7", "link-lost", "{}"),
        ServerEvent("8", "message", "x"),
    ]


def test_an_event_keeps_the_last_id():
    assert [event.id for event in parse("id: 7\ndata: a\n\ndata: b\n\n")] == ["7", "7"]


def test_lines_of_data_are_joined():
    assert parse("data: a\r\ndata:  b\r\n\r\n")[0].data == "a\n b"


def test_an_event_without_data_and_an_unknown_field_are_ignored():
    assert parse("event: a\n\nretry: 5\nwhat\ndata: b\n\n") == [ServerEvent("", "message", "b")]


def test_an_incomplete_event_at_the_end_is_dropped():
    assert parse("data: a\n\ndata: b\n") == parse("data: a\n\ndata: b") == parse("data: a\n\n")


def test_a_line_and_an_event_are_bounded(monkeypatch):
    monkeypatch.setattr(server_events, "MAX_LINE", 20)
    with pytest.raises(ProtocolError, match="line"):
        [*parse_events([b"data: " + b"x" * 14])]
    monkeypatch.setattr(server_events, "MAX_DATA", 20)
    with pytest.raises(ProtocolError, match="event"):
        parse("data: 0123456789\ndata: 0123456789x\n\n")
    with pytest.raises(ProtocolError, match="event"):
        parse("data:\n" * 21)
    assert len(parse("data: 0123456789\n\n" * 3)) == 3
