"""Events as JSON objects, for the admin interface."""

from __future__ import annotations

import json

from quictunnel.escaping import escape
from quictunnel.events import (
    ClientEnding,
    ClientRejected,
    GrantedService,
    InternalErrorOccurred,
    ServicesGranted,
)
from quictunnel.observe.event_history import NumberedEvent
from quictunnel.observe.event_json import EVENT_NAMES, event_members

HOSTILE = "a\x1b[2J\r\nb\ud800"


def members(event, time: float = 1_795_999_576.25) -> dict:
    found = event_members(NumberedEvent(7, time, event))
    return json.loads(json.dumps(found))


def test_an_event_has_its_name_level_message_time_and_fields():
    event = ClientRejected("192.0.2.7:1", "not allowed", ClientEnding.POLICY)
    assert members(event) == {
        "number": 7,
        "time": "2026-11-30T00:46:16.250Z",
        "event": "client-rejected",
        "level": "warning",
        "message": "client rejected",
        "peer": "192.0.2.7:1",
        "reason": "not allowed",
        "kind": "policy",
        "suppressed": 0,
    }


def test_lists_and_values_of_peers_are_escaped():
    event = ServicesGranted(HOSTILE, (GrantedService(HOSTILE, None),), is_first=True)
    found = members(event)
    assert found["remote"] == found["services"][0]["name"] == escape(HOSTILE)
    assert found["remote"].isprintable()


def test_the_exception_of_an_internal_error_is_left_out():
    error = ZeroDivisionError("a secret")
    assert "secret" not in str(members(InternalErrorOccurred("dividing", error, None)))


def test_names_are_unique_words_with_hyphens():
    assert len(set(EVENT_NAMES.values())) == len(EVENT_NAMES)
    assert all(name == name.lower() and "--" not in name for name in EVENT_NAMES.values())
