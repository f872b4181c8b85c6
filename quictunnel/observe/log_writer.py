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

from quictunnel.events import LogLinesLost
from quictunnel.observe.event_log import make_record
from quictunnel.observe.line_writer import TextWriter
from quictunnel.observe.log_format import EventRecord

MAX_DELAY = 0.02
"""Seconds that a line may wait for others. A reader does not notice it."""

MAX_LINES = 256
"""Lines that may wait, about 30 kB."""


LOGGER = "quictunnel.log"
"""The logger of the line that reports lost lines."""


class BatchHandler(logging.Handler):
    """Passes the lines of events to `writer`, at most `MAX_DELAY` seconds late.

    Warnings, records of other libraries, and all lines logged without an event loop are passed on
    at once. `logging` flushes its handlers at exit. A program that prints beside the log calls
    `flush` first to keep the order.
    """

    def __init__(self, writer: TextWriter, stream: TextIO) -> None:
        super().__init__()
        self.writer = writer
        """Writes the lines to `stream`. Whatever else is written there needs this writer."""
        self.stream = stream
        """The log's stream."""
        self._records: list[logging.LogRecord] = []
        self._scheduled_on: asyncio.AbstractEventLoop | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Pass the record on, or let it wait if it is an event, which cannot change."""
        self._records.append(record)
        is_urgent = record.levelno >= logging.WARNING or not isinstance(record, EventRecord)
        if is_urgent or len(self._records) >= MAX_LINES or not self._is_scheduled():
            self._pass_on()

    def flush(self) -> None:
        """Pass on the waiting lines, and give the writer a moment to write them."""
        self._pass_on()
        self.writer.flush()

    def close(self) -> None:
        """Write the last lines, unless the reader has paused."""
        self._pass_on()
        self.writer.close()
        super().close()

    # -- Inside

    def _pass_on(self) -> None:
        with self.lock or contextlib.nullcontext():
            if self._records:
                records, self._records = self._records, []
                self.writer.write("".join(map(self._line, records)), self._describe_loss)

    def _line(self, record: logging.LogRecord) -> str:
        try:
            return f"{self.format(record)}\n"
        except Exception:  # a record that cannot be formatted must not end the caller
            self.handleError(record)
            return ""

    def _describe_loss(self, count: int, reason: str) -> str:
        return self.format(make_record(LOGGER, LogLinesLost(count, reason)))

    def _is_scheduled(self) -> bool:
        """Return whether the loop will pass the lines on in time; ask it to if need be."""
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
        self._pass_on()
