"""Logs: one line a fact, on standard error, for people (`text`) or for programs (`json`).

Whatever came from a peer or a file is escaped here, so that nobody writes to a terminal or forges
a line through a log. What is logged, and when, is the business of those who call `fact`.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, TextIO, get_args

from quictunnel.errors import SettingsError
from quictunnel.observe.writing import TurnHandler

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

MAX_VALUE = 1000
"""Characters of one value or message in a line; more is cut: a peer may not fill the disk."""

_ROOT = "quictunnel"
_WORDS = {logging.WARNING: "WARN", logging.CRITICAL: "FATAL"}
_FACTS = "quictunnel_facts"
"""The attribute of a LogRecord that holds the fields of a fact."""

_PLAIN = re.compile(r"[!#-<>-\[\]-~]+").fullmatch
"""Matches visible ASCII without quotes, `=` and backslashes."""

_encode_json = json.JSONEncoder(allow_nan=False).encode


class Fact(logging.LogRecord):
    """The record of a fact.

    It is made without logging's own `__init__`, which finds out what nobody prints: from which
    line, thread and process a record came. That was half of the price of a line.
    """

    _UNTOLD = vars(logging.LogRecord("", 0, "", 0, "", (), None)) | dict.fromkeys(
        ("thread", "threadName", "process", "processName", "taskName")
    )
    """What other people's formatters look for in a record, with nothing in it."""

    def __init__(
        self,
        name: str,
        level: int,
        message: str,
        fields: dict[str, object],
        error: BaseException | None,
    ) -> None:
        now = time.time()
        facts = self.__dict__
        facts.update(self._UNTOLD)
        self.name = name
        self.levelno = level
        self.levelname = logging.getLevelName(level)
        self.msg = message
        self.created = now
        self.msecs = int(now % 1 * 1000) + 0.0
        self.exc_info = None if error is None else (type(error), error, error.__traceback__)
        facts[_FACTS] = fields


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
        logger.handle(Fact(logger.name, level, message, fields, exc_info))


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
    handler = TurnHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    least = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(max(least, logging.WARNING))
    logging.getLogger(_ROOT).setLevel(least)
    logging.getLogger("quic").setLevel(logging.ERROR)
    # Nor for the records of others is it to be found out what nobody prints (the logging HOWTO's
    # "Optimization").
    logging._srcfile = None  # noqa: SLF001 - as the HOWTO has it
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # A line that cannot be formatted must not end the tunnel.
    logging.raiseExceptions = False


def flush() -> None:
    """Write the lines that wait for the end of the loop's turn: something else is to be printed."""
    for handler in logging.getLogger().handlers:
        handler.flush()


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
        source = _source(record.levelno, record.levelname, record.name)
        line = f"{_time(record)} {source}{escape(record.getMessage())}"
        fields = _fields(record)
        if fields:
            words = [
                # Most values are words, and all those that are many.
                f"{key}={value if type(value) is str and _is_plain(value) else _text_value(value)}"
                for key, value in fields.items()
                if value is not None
            ]
            line = f"{line}  {' '.join(words)}" if words else line
        if record.exc_info:
            line = "".join([line, *(f"\n    {escape(text)}" for text in _trace(record))])
        return line


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
            if value is not None:
                entry.setdefault(key, _json_value(value))
        if trace := _trace(record):
            entry["trace"] = trace
        return _encode_json(entry)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """Return a record's fields; those that are None are to be left out."""
    fields: dict[str, object] = getattr(record, _FACTS, {})
    return fields


def _is_plain(text: str) -> bool:
    """Return whether a value may stand in a line as it is; it need not tell of all that may."""
    return len(text) <= MAX_VALUE and _PLAIN(text) is not None


def _text_value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".")
    text = str(value)
    if isinstance(value, int) or _is_plain(text):
        return text
    text = escape(text)
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
    return f"{_second(int(record.created))}.{int(record.msecs):03}Z"


@lru_cache(maxsize=2)  # many lines a second
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=128)  # as many as there are loggers, times the levels
def _source(level: int, level_name: str, logger: str) -> str:
    """Return the part of a line that says how grave it is and who says it."""
    return f"{_WORDS.get(level, level_name):<5} {logger.removeprefix(f'{_ROOT}.'):<6}  "


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
