"""How the lines of the log leave: in one write for each turn of the event loop.

Many clients mean many lines a turn, and each write is a system call that may wake a reader. What
the lines say is not known here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Mapping
from typing import TextIO

from quictunnel.observe.log_format import Lines

MOST_LINES = 256
"""Lines that may wait for the end of a turn: more than a busy one brings, and some 30 kB."""


class TurnHandler(logging.Handler):
    """Writes to `stream` at the end of the loop's turn; at once what warns, or has no loop.

    What waits when the process exits is written then: `logging` flushes its handlers. Whoever
    prints beside the log calls `flush` first, so that lines stay in their order.
    """

    def __init__(self, stream: TextIO, lines: Lines) -> None:
        super().__init__()
        self.setFormatter(lines)
        self._lines = lines
        self._stream = stream
        self._lock = threading.RLock()
        self._waiting: list[str] = []
        self._asked: asyncio.AbstractEventLoop | None = None
        """The loop that is going to call back at the end of its turn."""

    def say(
        self, moment: float, level: int, logger: str, message: str, fields: Mapping[str, object]
    ) -> None:
        """Take a fact, as `Lines.line` does, without a record of it."""
        try:
            line = self._lines.line(moment, level, logger, message, fields)
        except Exception:  # as all handlers have it: what is logged must not suffer by the log
            self.handleError(logging.makeLogRecord({"name": logger, "msg": message}))
        else:
            self._take(level, line)

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record; its fields are read now, whenever its line is written."""
        try:
            line = self.format(record)
        except Exception:  # as all handlers have it: what is logged must not suffer by the log
            self.handleError(record)
        else:
            self._take(record.levelno, line)

    def _take(self, level: int, line: str) -> None:
        with self._lock:
            self._waiting.append(line)
            if level >= logging.WARNING or len(self._waiting) >= MOST_LINES:
                self.flush()
            elif self._asked is None or self._asked.is_closed():
                self._ask()

    def _ask(self) -> None:
        """Have the loop call back at the end of its turn; where there is none, write now."""
        try:
            self._asked = asyncio.get_running_loop()
        except RuntimeError:
            self._asked = None
            self.flush()
        else:
            self._asked.call_soon(self._turn_over)

    def flush(self) -> None:
        """Write what waits. What cannot be written (a closed pipe, a full disk) is dropped."""
        # A log that nobody can read must not end the tunnel.
        with self._lock, contextlib.suppress(OSError, ValueError):
            if self._waiting:
                self._waiting.append("")
                text = "\n".join(self._waiting)
                self._waiting.clear()
                self._stream.write(text)
                self._stream.flush()

    def _turn_over(self) -> None:
        self._asked = None
        self.flush()
