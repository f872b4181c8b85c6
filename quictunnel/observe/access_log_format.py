"""The lines of the access log: text for people, JSON for programs, or the combined log format.

All of them have the same facts: the time of the end, the client's address, the service, the origin,
bytes and duration, how it ended, and the id that the logs of both ends share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, TypeAlias

from quictunnel.escaping import escape
from quictunnel.events import ClientClosed, ClientEnding, ClientRejected
from quictunnel.observe.log_format import encode_json, json_value, text_fields, timestamp

AccessLogFormat = Literal["text", "json", "combined"]

AccessEvent = ClientClosed | ClientRejected
"""The events that have a line."""

FormatLine: TypeAlias = Callable[[float, AccessEvent], str]
"""Returns the line of an event that occurred at this time, in seconds since the epoch."""

STATUS: Mapping[ClientEnding, int] = {
    ClientEnding.EOF: 200,
    ClientEnding.RESET_BY_CLIENT: 200,
    ClientEnding.RESET_BY_SERVER: 200,
    ClientEnding.LINGER_OVER: 200,
    ClientEnding.IDLE_TIMEOUT: 200,
    ClientEnding.CLOSED: 200,
    ClientEnding.CUT_SHORT: 200,
    ClientEnding.PROXY_HEADER: 400,
    ClientEnding.MALFORMED: 400,
    ClientEnding.POLICY: 403,
    ClientEnding.REJECTED: 403,
    ClientEnding.UNKNOWN_HOST: 404,
    ClientEnding.TIMEOUT: 408,
    ClientEnding.LEFT: 499,
    ClientEnding.ERROR: 500,
    ClientEnding.SERVER_REFUSED: 502,
    ClientEnding.SERVER_UNREACHABLE: 502,
    ClientEnding.LINK_LOST: 502,
    ClientEnding.MOVED: 502,
    ClientEnding.NO_ORIGIN: 503,
    ClientEnding.LIMIT: 503,
    ClientEnding.OVERLOADED: 503,
    ClientEnding.UNKNOWN_SERVICE: 503,
    ClientEnding.SERVICE_GONE: 503,
}
"""The HTTP status code in a combined line, as nginx logs TCP connections (`$status` of its stream
module). 499 is nginx's own code for a client that has left."""


def text_line(at: float, event: AccessEvent) -> str:
    """Return a line such as `2026-11-22T14:50:06.123Z client=192.0.2.7:1 service=web ...`."""
    return f"{timestamp(at)} {text_fields(_fields(event))}"


def json_line(at: float, event: AccessEvent) -> str:
    """Return a JSON object, in ASCII, with the fields of the line of text."""
    entry: dict[str, object] = {"time": timestamp(at)}
    entry.update((name, json_value(value)) for name, value in _fields(event))
    return encode_json(entry)


def combined_line(at: float, event: AccessEvent) -> str:
    """Return a line in the combined log format of NCSA and Apache, with five more fields."""
    if isinstance(event, ClientClosed):
        client, service, size = event.client, event.service, event.bytes_down
        origin, id_, ending = event.origin, event.id, event.ending
        more = f"{_word(origin)} {_word(id_)} {event.bytes_up} {event.duration:.3f} {ending}"
    else:
        client, service, size = event.peer, None, 0
        ending = event.kind
        more = f"- - 0 0.000 {ending}"
    start = f'{_host(client)} - - [{_local_time(int(at))}] "TCP {_word(service)}"'
    return f'{start} {STATUS[ending]} {size} "-" "-" {more}'


FORMATS: Mapping[AccessLogFormat, FormatLine] = {
    "text": text_line,
    "json": json_line,
    "combined": combined_line,
}
"""The formats by name."""


def _fields(event: AccessEvent) -> list[tuple[str, object]]:
    """Return the names and values of a line, in order, without missing ones."""
    if isinstance(event, ClientClosed):
        fields: list[tuple[str, object]] = [
            ("client", event.client),
            ("service", event.service),
            ("origin", event.origin),
            ("bytes_up", event.bytes_up),
            ("bytes_down", event.bytes_down),
            ("duration", round(event.duration, 3)),
            ("ending", str(event.ending)),
            ("id", event.id),
            ("reason", event.reason),
        ]
    else:
        fields = [
            ("client", event.peer),
            ("ending", str(event.kind)),
            ("reason", event.reason),
            ("suppressed", event.suppressed or None),
        ]
    return [field for field in fields if field[1] is not None]


def _host(client: str | None) -> str:
    """Return the IP address of a client, without its port."""
    if client is None:
        return "-"
    return _word(client.rpartition(":")[0].strip("[]"))


def _word(text: str | None) -> str:
    """Return text as one word: `-` if there is none."""
    return escape(text).replace(" ", "\\x20").replace('"', "\\x22") if text else "-"


@lru_cache(maxsize=2)
def _local_time(second: int) -> str:
    """Return a time as Apache writes it, in UTC. The names of months depend on no locale."""
    moment = datetime.fromtimestamp(second, UTC)
    return f"{moment:%d}/{_MONTHS[moment.month - 1]}/{moment:%Y:%H:%M:%S} +0000"


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
