"""Parses server-sent events, as the WHATWG's HTML standard describes them (section 9.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from quictunnel.errors import ProtocolError

MAX_LINE = 1 << 20
"""Bytes of the longest line. An event can name a thousand services."""

MAX_DATA = 4 << 20
"""Bytes of the data of one event."""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event, or one comment, of a stream."""

    id: str
    """The event's id; empty if it has none."""
    name: str
    """The event's type; empty for a comment."""
    data: str
    """The event's data, or the comment."""


def parse_events(lines: Iterable[bytes]) -> Iterator[ServerEvent]:
    """Yield events and comments, until the lines end. An incomplete event at the end is dropped.

    :param lines: the stream's lines with their ends. The last one may lack it.
    :raises ProtocolError: a line or an event is too long.
    """
    identity = name = ""
    data: list[str] = []
    size = 0
    for line in lines:
        if not line.endswith(b"\n"):
            if len(line) >= MAX_LINE:
                raise ProtocolError("a line of the stream of events is too long")
            return
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        field, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if text.startswith(":"):
            yield ServerEvent("", "", value)
        elif not text:
            if data:
                yield ServerEvent(identity, name or "message", "\n".join(data))
            name, data, size = "", [], 0
        elif field == "id":
            identity = value
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)
            size += len(value) + 1  # with the line break
            if size > MAX_DATA:
                raise ProtocolError("an event of the stream is too long")
