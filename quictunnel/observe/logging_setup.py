"""Logs: one line a fact, on standard error, for people (`text`) or for programs (`json`).

What a line looks like is in `lines`, when it is written in `writing`. What is logged, and when, is
the business of those who call `fact`.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Literal, TextIO, get_args

from quictunnel.errors import SettingsError
from quictunnel.observe.log_format import FACTS, MAX_VALUE, ROOT, JsonLines, TextLines, escape
from quictunnel.observe.log_writer import TurnHandler

__all__ = ["MAX_VALUE", "LogFormat", "LogLevel", "escape", "fact", "flush", "setup"]

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

_root = logging.getLogger()
_own: TurnHandler | None = None
"""What `setup` has put in place of all handlers."""


class Fact(logging.LogRecord):
    """The record of a fact, for handlers that are not our own.

    It is made without logging's own `__init__`, which finds out what nobody prints: from which
    line, thread and process a record came.
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
        facts = self.__dict__
        facts.update(self._UNTOLD)
        facts[FACTS] = fields
        self.name = name
        self.levelno = level
        self.levelname = logging.getLevelName(level)
        self.msg = message
        self.created = time.time()
        self.msecs = int(self.created % 1 * 1000) + 0.0
        self.exc_info = None if error is None else (type(error), error, error.__traceback__)


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
    if not logger.isEnabledFor(level):
        return
    handlers = _root.handlers
    if _own is not None and exc_info is None and len(handlers) == 1 and handlers[0] is _own:
        # Where logging would lead it in the end; its way there costs as much as the line.
        _own.say(time.time(), level, logger.name, message, fields)
    else:
        logger.handle(Fact(logger.name, level, message, fields, exc_info))


def setup(log_format: str = "text", level: str = "info", stream: TextIO | None = None) -> None:
    """Send the logs of this process to `stream` (standard error by default), in place of before.

    Our own loggers speak from `level` up, everybody else's (asyncio's) from warnings up; the QUIC
    engine's only of errors, since it warns of whatever strangers send to the UDP port.

    :raises SettingsError: for a format or a level that does not exist.
    """
    global _own  # noqa: PLW0603 - as the root logger is one a process, so is its handler
    if log_format not in get_args(LogFormat):
        raise SettingsError(f"{log_format!r} is not a log format: text or json")
    if level not in get_args(LogLevel):
        raise SettingsError(f"{level!r} is not a log level: debug, info, warning or error")
    _own = TurnHandler(stream or sys.stderr, JsonLines() if log_format == "json" else TextLines())
    _root.handlers[:] = [_own]
    least = logging.getLevelNamesMapping()[level.upper()]
    _root.setLevel(max(least, logging.WARNING))
    logging.getLogger(ROOT).setLevel(least)
    logging.getLogger("quic").setLevel(logging.ERROR)
    # Nor for the records of others is it to be found out what nobody prints (the logging HOWTO's
    # "Optimization").
    logging._srcfile = None  # noqa: SLF001 - as the HOWTO has it
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # A line that cannot be formatted must not end the tunnel.
    logging.raiseExceptions = False


def flush() -> None:
    """Write the lines that wait for the end of the loop's turn: something else is to be printed."""
    for handler in _root.handlers:
        handler.flush()
