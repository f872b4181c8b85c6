"""The lines of the access log, in its three formats."""

from __future__ import annotations

import json
import re

import pytest
from access_events import closed, rejected

from quictunnel.events import ClientEnding
from quictunnel.observe.access_log_format import (
    FORMATS,
    STATUS,
    combined_line,
    json_line,
    text_line,
)

AT = 1795359006.125  # 2026-11-22 14:50:06.125 UTC

HOSTILE = 'a" 200 1 "-" "-"\n192.0.2.9 - - x\x1b[2J\u202e'
"""A text that tries to end a field and a line, and to control a terminal."""

COMBINED = re.compile(
    r'(\S+) - - \[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000)\] "TCP (\S+)" (\d{3}) (\d+) '
    r'"-" "-" (\S+) (\S+) (\d+) (\d+\.\d{3}) ([a-z-]+)'
)


def test_a_line_of_text():
    assert text_line(AT, closed()) == (
        "2026-11-22T14:50:06.125Z client=192.0.2.7:5555 service=web origin=nas bytes_up=78 "
        "bytes_down=1234 duration=0.457 ending=eof id=4f2a9c01d7e8b365 "
        'reason="ended in order"'
    )


def test_a_line_of_json():
    assert json.loads(json_line(AT, closed())) == {
        "time": "2026-11-22T14:50:06.125Z",
        "client": "192.0.2.7:5555",
        "service": "web",
        "origin": "nas",
        "bytes_up": 78,
        "bytes_down": 1234,
        "duration": 0.457,
        "ending": "eof",
        "id": "4f2a9c01d7e8b365",
        "reason": "ended in order",
    }


def test_a_combined_line():
    assert combined_line(AT, closed()) == (
        '192.0.2.7 - - [22/Nov/2026:14:50:06 +0000] "TCP web" 200 1234 "-" "-" '
        "nas 4f2a9c01d7e8b365 78 0.457 eof"
    )


def test_lines_of_a_rejected_client():
    event = rejected(suppressed=4)
    assert text_line(AT, event) == (
        "2026-11-22T14:50:06.125Z client=[2001:db8::7]:5555 ending=policy "
        'reason="the policy does not allow this address" suppressed=4'
    )
    assert json.loads(json_line(AT, event))["suppressed"] == 4
    assert combined_line(AT, event) == (
        '2001:db8::7 - - [22/Nov/2026:14:50:06 +0000] "TCP -" 403 0 "-" "-" - - 0 0.000 policy'
    )


def test_missing_values_are_left_out():
    event = closed(client=None, id=None, origin=None)
    assert text_line(AT, event).startswith("2026-11-22T14:50:06.125Z service=web bytes_up=78")
    assert not {"client", "id", "origin"} & set(json.loads(json_line(AT, event)))
    assert combined_line(AT, event).startswith("- - - [")
    assert '"-" "-" - - 78' in combined_line(AT, event)
    assert "suppressed" not in text_line(AT, rejected())


@pytest.mark.parametrize("ending", ClientEnding)
def test_each_ending_has_a_status(ending):
    assert 200 <= STATUS[ending] < 600
    assert f'" {STATUS[ending]} 1234 "' in combined_line(AT, closed(ending=ending))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("event", [closed(), rejected()], ids=["closed", "rejected"])
def test_no_peer_can_forge_a_line_or_a_field(name, event):
    fields = ("service", "origin", "id", "reason") if event == closed() else ("peer", "reason")
    line = FORMATS[name](AT, type(event)(**{**_values(event), **dict.fromkeys(fields, HOSTILE)}))
    assert line.isprintable()
    assert "\u202e" not in line
    if name == "json":
        assert json.loads(line)["ending"] in ("eof", "policy")
    elif name == "combined":
        assert COMBINED.fullmatch(line)
    else:
        assert line.count(" ending=") == 1


@pytest.mark.parametrize(
    ("client", "host"),
    [
        ("192.0.2.7:1", "192.0.2.7"),
        ("[2001:db8::7]:1", "2001:db8::7"),
        (None, "-"),
        ("unknown", "-"),
    ],
)
def test_the_host_is_an_address_without_a_port(client, host):
    assert combined_line(AT, closed(client=client)).split()[0] == host


def _values(event) -> dict:
    return {name: getattr(event, name) for name in event.__slots__}
