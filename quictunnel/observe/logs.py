"""Logs: one line a fact, on standard error, for people (`text`) or for programs (`json`).

Whatever came from a peer or a file is escaped here, so that nobody writes to a terminal or forges
a line through a log. What is logged, and when, is the business of those who call `fact`.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal, TextIO, get_args

from quictunnel.errors import SettingsError

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

MAX_VALUE = 1000
"""Characters of one value or message in a line; more is cut: a peer may not fill the disk."""

_ROOT = "quictunnel"
_WORDS = {logging.WARNING: "WARN", logging.CRITICAL: "FATAL"}
_FACTS = "quictunnel_facts"
"""The attribute of a LogRecord that holds the fields of a fact."""


def fact(
    logger: logging.Logger,
    level: int,
    message: str,
    *,
    exc_info: BaseException | None = None,
    **fields: object,
) -> None:
    """Log a fact and what belongs to it, as `key=value` fields.

    Values keep their type in JSON where it has one; others become text, and nothing is formatted
    when nobody listens. A field that is None is left out.

    :param exc_info: an error of ours (never a peer's or the user's), to be logged with its trace.
    """
    if logger.isEnabledFor(level):
        logger.log(level, "%s", message, extra={_FACTS: fields}, exc_info=exc_info)


def setup(log_format: str = "text", level: str = "info", stream: TextIO | None = None) -> None:
    """Send the logs of this process to `stream` (standard error by default), in place of before.

    Our own loggers speak from `level` up, everybody else's (asyncio's) from warnings up; the QUIC
    engine's only of errors, since it warns of whatever strangers send to the UDP port.

    :raises SettingsError: for a format or a level that does not exist.
    """
    if log_format not in get_args(LogFormat):
        raise SettingsError(f"{log_format!r} is not a log format: text or json")
    if level not in get_args(LogLevel):
        raise SettingsError(f"{level!r} is not a log level: debug, info, warning or error")
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    least = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(max(least, logging.WARNING))
    logging.getLogger(_ROOT).setLevel(least)
    logging.getLogger("quic").setLevel(logging.ERROR)
    # Nobody prints from which line, thread or process a fact came: let it not be found out
    # (the logging HOWTO's "Optimization"); that is a fifth of a line's cost.
    logging._srcfile = None  # noqa: SLF001 - as the HOWTO has it
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # A log that cannot be written (a closed pipe, a full disk) must not end the tunnel.
    logging.raiseExceptions = False


def escape(text: str) -> str:
    r"""Return text that is safe on a terminal and in one line.

    Control characters, terminal escapes, line and direction marks come out as `\x1b` and the
    like, and a backslash as two, so that an escape cannot be feigned.
    """
    if len(text) > MAX_VALUE:
        text = text[: MAX_VALUE - 1] + "…"
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(_escaped(text))


class TextFormatter(logging.Formatter):
    """A line for people: `2026-11-22T14:50:06.123Z INFO  remote  client in  id=ab12`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line; more lines, set in, only for the trace of a bug."""
        word = _WORDS.get(record.levelno, record.levelname)
        head = f"{_time(record)} {word:<5} {_source(record):<6}  {escape(record.getMessage())}"
        fields = [f"{key}={_text_value(value)}" for key, value in _fields(record).items()]
        line = "  ".join([head, " ".join(fields)]) if fields else head
        return "".join([line, *(f"\n    {escape(text)}" for text in _trace(record))])


class JsonFormatter(logging.Formatter):
    """A line for programs: one JSON object; a fact's fields stand beside time and message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of ASCII JSON."""
        entry: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[:MAX_VALUE],
        }
        for key, value in _fields(record).items():
            entry.setdefault(key, _json_value(value))
        if trace := _trace(record):
            entry["trace"] = trace
        return json.dumps(entry, allow_nan=False)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields: dict[str, object] = getattr(record, _FACTS, {})
    return {key: value for key, value in fields.items() if value is not None}


def _text_value(value: object) -> str:
    if isinstance(value, float):
        value = f"{value:.6f}".rstrip("0").rstrip(".")
    text = escape(str(value))
    # Quotes only where the line could be read wrongly without them.
    if not text or " " in text or '"' in text or "=" in text:
        return '"' + text.replace('"', '\\"') + '"'
    return text


def _json_value(value: object) -> object:
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        # Infinity and NaN are no JSON.
        return round(value, 6) if abs(value) < float("inf") else str(value)
    return str(value)[:MAX_VALUE]


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _source(record: logging.LogRecord) -> str:
    return record.name.removeprefix(f"{_ROOT}.")


def _trace(record: logging.LogRecord) -> list[str]:
    if not record.exc_info or record.exc_info[0] is None:
        return []
    return "".join(traceback.format_exception(*record.exc_info)).splitlines()


def _escaped(text: str) -> Iterator[str]:
    for character in text:
        if character == "\\":
            yield "\\\\"
        elif character.isprintable():
            yield character
        else:
            yield character.encode("unicode_escape").decode("ascii")
