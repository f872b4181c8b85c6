"""Log records of events, and the lines that they become: text for people or JSON for programs.

A busy tunnel logs two lines for each client. Values that come from a peer or a file are escaped,
so that no peer can forge a line or control a terminal.
"""

from __future__ import annotations

import json
import logging
import re
import time
import traceback
from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from functools import lru_cache

from quictunnel.escaping import MAX_VALUE, escape
from quictunnel.events import Event

MAX_ITEMS = 100
"""Items of one list in a line. An origin can have a thousand services."""

_LEVELS = {logging.WARNING: "WARN", logging.CRITICAL: "FATAL"}
"""Level names that differ from those of `logging`."""

_is_plain = re.compile(rf"[!#-<>-\[\]-~]{{1,{MAX_VALUE}}}").fullmatch
"""Whether a value needs no quotes and no escapes: visible ASCII without `"`, `=` and backslash."""

encode_json = json.JSONEncoder(allow_nan=False).encode
"""Returns a value as JSON, in ASCII."""

_BLANK = vars(logging.LogRecord("", 0, "", 0, "", None, None))
"""The attributes that formatters expect in a record."""


class EventRecord(logging.LogRecord):
    """The log record of an event. Any `logging.Handler` can handle it.

    `getMessage` returns the message and the fields, such as `client closed  id=ab12 bytes_up=7`.

    :param message: what happened, in a few constant words.
    :param event: the event, for handlers that want structure. A field `exception` becomes
        `exc_info`.
    """

    def __init__(self, name: str, level: int, message: str, event: Event) -> None:
        # LogRecord's own __init__ looks up the thread, the process and the file: half the cost.
        self.__dict__ = _BLANK.copy()
        self.name, self.levelno, self.levelname = name, level, logging.getLevelName(level)
        self.created = time.time()
        self.msecs = self.created % 1 * 1000
        # QueueHandler replaces `msg` with what getMessage returns.
        self.msg = self.summary = message
        self.event = event
        if isinstance(error := getattr(event, "exception", None), BaseException):
            self.exc_info = (type(error), error, error.__traceback__)

    @property
    def fields(self) -> list[tuple[str, object]]:
        """The names and values of the event's fields, without None and the exception."""
        names: tuple[str, ...] = self.event.__slots__
        values = [(name, getattr(self.event, name)) for name in names if name != "exception"]
        return [(name, value) for name, value in values if value is not None]

    def getMessage(self) -> str:  # noqa: N802 - the name that logging.LogRecord gives it
        """Return the message and the fields as text, escaped."""
        return format_message(self.summary, self.fields)


class TextFormatter(logging.Formatter):
    """Formats lines such as `2026-11-22T14:50:06.123Z INFO  remote  client accepted  id=ab12`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line. A traceback follows in indented lines."""
        text = record.getMessage()
        if not isinstance(record, EventRecord):
            text = escape(text)
        level = _LEVELS.get(record.levelno, record.levelname)
        logger = record.name.removeprefix("quictunnel.")
        line = f"{timestamp(record.created)} {level:<5} {logger:<6}  {text}"
        if trace := _traceback(record):
            line = "\n    ".join([line, *map(escape, trace)])
        return line


class JsonFormatter(logging.Formatter):
    """Formats one JSON object, in ASCII. An event's fields are members like time and message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line."""
        if isinstance(record, EventRecord):
            message, fields = record.summary, record.fields
        else:
            message, fields = record.getMessage(), []
        entry: dict[str, object] = {
            "time": timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": escape(message),
        }
        for name, value in fields:
            entry.setdefault(name, json_value(value))
        if trace := _traceback(record):
            entry["trace"] = list(map(escape, trace))
        return encode_json(entry)


def text_fields(fields: Iterable[tuple[str, object]]) -> str:
    """Return fields as text, such as `id=ab12 bytes_up=7`, escaped."""
    return " ".join([f"{name}={_text_value(value)}" for name, value in fields])


def format_message(message: str, fields: Iterable[tuple[str, object]]) -> str:
    """Return a message and the fields of an event as text, escaped: `client closed  id=ab12`."""
    words = text_fields(fields)
    return f"{message}  {words}" if words else message


def _text_value(value: object) -> object:
    """Return the value, or what stands for it in a line of text."""
    if isinstance(value, str):
        return value if _is_plain(value) else _quote(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".")
    if isinstance(value, tuple):
        return _quote(",".join(map(str, first_items(value))))
    return _quote(str(value))


@lru_cache(maxsize=256)  # the reasons of most events are the same few sentences
def _quote(text: str) -> str:
    text = escape(text)
    if not text or " " in text or '"' in text or "=" in text:
        return '"' + text.replace('"', '\\"') + '"'
    return text


def json_value(value: object) -> object:
    """Return an event's value as JSON can have it, with texts escaped and long lists cut."""
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        # JSON has no infinity and no NaN.
        return round(value, 6) if abs(value) < float("inf") else str(value)
    if isinstance(value, tuple):
        return [json_value(item) for item in first_items(value)]
    if is_dataclass(value) and not isinstance(value, type):
        return {key: json_value(item) for key, item in asdict(value).items()}
    return escape(str(value))


def first_items(items: tuple[object, ...]) -> tuple[object, ...]:
    """Return a list as it appears in a line: the first items, and the number of the others.

    A list that was cut once stays as it is.
    """
    if len(items) <= MAX_ITEMS + 1:
        return items
    return (*items[:MAX_ITEMS], f"… {len(items) - MAX_ITEMS} more")


def timestamp(seconds: float) -> str:
    """Return a time since the epoch as `2026-11-22T14:50:06.123Z`."""
    return f"{_second(int(seconds))}.{int(seconds % 1 * 1000):03}Z"


@lru_cache(maxsize=2)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _traceback(record: logging.LogRecord) -> list[str]:
    if not record.exc_info or record.exc_info[1] is None:
        return []
    return "".join(traceback.format_exception(*record.exc_info)).splitlines()
