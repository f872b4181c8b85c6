"""An event as the members of a JSON object, for programs and for the live page."""

from __future__ import annotations

import re

from quictunnel.observe.event_history import NumberedEvent
from quictunnel.observe.event_log import event_kinds, make_record
from quictunnel.observe.log_format import json_value, timestamp

EVENT_NAMES = {
    kind: re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower() for kind in event_kinds()
}
"""The names of all kinds of events, such as `client-closed`."""


def event_members(entry: NumberedEvent) -> dict[str, object]:
    """Return the members: number, time (RFC 3339), event, level, message and the event's fields.

    Fields that are None are left out, as in the log.
    """
    record = make_record("", entry.event)
    members: dict[str, object] = {
        "number": entry.number,
        "time": timestamp(entry.time),
        "event": EVENT_NAMES[type(entry.event)],
        "level": record.levelname.lower(),
        "message": record.summary,
    }
    for name, value in record.fields:
        members.setdefault(name, json_value(value))
    return members
