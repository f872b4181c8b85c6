"""What a line of the log looks like: for people (`TextLines`) or for programs (`JsonLines`).

Whatever came from a peer or a file is escaped here, so that nobody writes to a terminal or forges
a line through a log. Two lines are written for each client at either end, so they must cost little.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache

MAX_VALUE = 1000
"""Characters of one value or message in a line; more is cut: a peer may not fill the disk."""

ROOT = "quictunnel"
"""The logger above all of ours."""

FACTS = "quictunnel_facts"
"""The attribute of a LogRecord that holds the fields of a fact."""

_WORDS = {logging.WARNING: "WARN", logging.CRITICAL: "FATAL"}

_is_plain = re.compile(rf"[!#-<>-\[\]-~]{{1,{MAX_VALUE}}}").fullmatch
"""Says of most values that they may stand in a line as they are: visible ASCII, and neither too
long nor with quotes, `=` or backslashes."""

_SHORT = 64
"""Characters of values that are remembered once they have been escaped: words of ours mostly."""

_encode_json = json.JSONEncoder(allow_nan=False).encode


class Lines(logging.Formatter):
    """Makes lines, of facts and of whatever else is logged."""

    def __init__(self) -> None:
        super().__init__()
        self._millisecond = -1
        self._moment = ""

    @abstractmethod
    def line(
        self,
        moment: float,
        level: int,
        logger: str,
        message: str,
        fields: Mapping[str, object],
        *,
        trace: Sequence[str] = (),
    ) -> str:
        """Return the line of a fact.

        :param moment: when it was, as `time.time` has it.
        :param fields: what belongs to it; those that are None are left out.
        :param trace: of a bug.
        """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        fields: Mapping[str, object] = getattr(record, FACTS, {})
        return self.line(
            record.created,
            record.levelno,
            record.name,
            record.getMessage(),
            fields,
            trace=_trace(record),
        )

    def time(self, moment: float) -> str:
        """Return the time of day and date; there are many lines a millisecond."""
        millisecond = int(moment * 1000)
        if millisecond != self._millisecond:
            self._millisecond = millisecond
            second, rest = divmod(millisecond, 1000)
            self._moment = f"{_second(second)}.{rest:03}Z"
        return self._moment


class TextLines(Lines):
    """A line for people: `2026-11-22T14:50:06.123Z INFO  remote  client in  id=ab12`."""

    def line(
        self,
        moment: float,
        level: int,
        logger: str,
        message: str,
        fields: Mapping[str, object],
        *,
        trace: Sequence[str] = (),
    ) -> str:
        """See `Lines`; more lines, set in, only for the trace of a bug."""
        line = f"{self.time(moment)} {_source(level, logger)}{escape(message)}"
        words = [
            f"{key}={value if type(value) is str and _is_plain(value) else _text_value(value)}"
            for key, value in fields.items()
            if value is not None
        ]
        if words:
            line = f"{line}  {' '.join(words)}"
        if trace:
            line = "".join([line, *(f"\n    {escape(text)}" for text in trace)])
        return line


class JsonLines(Lines):
    """A line for programs: one JSON object; a fact's fields stand beside time and message."""

    def line(
        self,
        moment: float,
        level: int,
        logger: str,
        message: str,
        fields: Mapping[str, object],
        *,
        trace: Sequence[str] = (),
    ) -> str:
        """See `Lines`; ASCII alone."""
        entry: dict[str, object] = {
            "time": self.time(moment),
            "level": logging.getLevelName(level).lower(),
            "logger": logger,
            "message": message[:MAX_VALUE],
        }
        for key, value in fields.items():
            if value is not None:
                entry.setdefault(key, _json_value(value))
        if trace:
            entry["trace"] = trace
        return _encode_json(entry)


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


def _text_value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".")
    text = str(value)
    if _is_plain(text):
        return text
    return _remembered(text) if len(text) <= _SHORT else _quoted(text)


def _quoted(text: str) -> str:
    text = escape(text)
    # Quotes only where the line could be read wrongly without them.
    if not text or " " in text or '"' in text or "=" in text:
        return '"' + text.replace('"', '\\"') + '"'
    return text


_remembered = lru_cache(maxsize=256)(_quoted)


def _json_value(value: object) -> object:
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        # Infinity and NaN are no JSON.
        return round(value, 6) if abs(value) < float("inf") else str(value)
    return str(value)[:MAX_VALUE]


@lru_cache(maxsize=2)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=128)  # as many as there are loggers, times the levels
def _source(level: int, logger: str) -> str:
    """Return the part of a line that says how grave it is and who says it."""
    word = _WORDS.get(level) or logging.getLevelName(level)
    return f"{word:<5} {logger.removeprefix(f'{ROOT}.'):<6}  "


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
