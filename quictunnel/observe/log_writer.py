"""Formats and writes log lines a few at a time instead of one by one.

A busy tunnel logs thousands of lines a second. A line costs half as much in a batch: each write is
a system call that may wake the reader, and code that runs several times in a row stays in the
processor's cache.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TextIO

from quictunnel.observe.log_format import EventRecord

MAX_DELAY = 0.02
"""Seconds that a line may wait for others. A reader does not notice it."""

MAX_LINES = 256
"""Lines that may wait, about 30 kB."""


class BatchHandler(logging.Handler):
    """Writes the lines of events to `stream`, at most `MAX_DELAY` seconds late.

    Warnings, records of other libraries, and all lines logged without an event loop are written at
    once. `logging` flushes its handlers at exit. A program that prints beside the log calls `flush`
    first to keep the order.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._records: list[logging.LogRecord] = []
        self._scheduled_on: asyncio.AbstractEventLoop | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record now, or let it wait if it is an event, which cannot change."""
        self._records.append(record)
        is_urgent = record.levelno >= logging.WARNING or not isinstance(record, EventRecord)
        if is_urgent or len(self._records) >= MAX_LINES or not self._is_scheduled():
            self.flush()

    def flush(self) -> None:
        """Write the waiting lines. Drop them if the pipe is closed or the disk is full."""
        # The tunnel must not end because its log cannot be written.
        with self.lock or contextlib.nullcontext(), contextlib.suppress(OSError, ValueError):
            if self._records:
                records, self._records = self._records, []
                self._stream.write("".join(map(self._line, records)))
                self._stream.flush()

    def _line(self, record: logging.LogRecord) -> str:
        try:
            return f"{self.format(record)}\n"
        except Exception:  # a record that cannot be formatted must not end the caller
            self.handleError(record)
            return ""

    def _is_scheduled(self) -> bool:
        """Return whether the loop will flush in time; ask it to if need be."""
        if self._scheduled_on is None or self._scheduled_on.is_closed():
            try:
                self._scheduled_on = asyncio.get_running_loop()
            except RuntimeError:
                self._scheduled_on = None
                return False
            self._scheduled_on.call_later(MAX_DELAY, self._on_time)
        return True

    def _on_time(self) -> None:
        self._scheduled_on = None
        self.flush()
