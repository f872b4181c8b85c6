"""Formats log lines and passes them to a writer, a few at a time."""

from __future__ import annotations

import logging
from typing import TextIO

from quictunnel.events import LogLinesLost
from quictunnel.observe.batch import Batch
from quictunnel.observe.event_log import make_record
from quictunnel.observe.line_writer import TextWriter
from quictunnel.observe.log_format import EventRecord

LOGGER = "quictunnel.log"
"""The logger of the line that reports lost lines."""


def lost_lines() -> int:
    """Return how many lines this process's log has lost so far."""
    handlers = logging.getLogger().handlers
    return sum(each.writer.lost for each in handlers if isinstance(each, BatchHandler))


class BatchHandler(logging.Handler):
    """Passes the lines of events to `writer`, in batches.

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
        self._batch = Batch(self._write, self.lock)

    def emit(self, record: logging.LogRecord) -> None:
        """Pass the record on, or let it wait if it is an event, which cannot change."""
        is_urgent = record.levelno >= logging.WARNING or not isinstance(record, EventRecord)
        self._batch.add(record, is_urgent=is_urgent)

    def flush(self) -> None:
        """Pass on the waiting lines, and give the writer a moment to write them."""
        self._batch.flush()
        self.writer.flush()

    def close(self) -> None:
        """Write the last lines, unless the reader has paused."""
        self._batch.flush()
        self.writer.close()
        super().close()

    # -- Inside

    def _write(self, records: list[logging.LogRecord]) -> None:
        self.writer.write("".join(map(self._line, records)), self._describe_loss)

    def _line(self, record: logging.LogRecord) -> str:
        try:
            return f"{self.format(record)}\n"
        except Exception:  # a record that cannot be formatted must not end the caller
            self.handleError(record)
            return ""

    def _describe_loss(self, count: int, reason: str) -> str:
        return self.format(make_record(LOGGER, LogLinesLost(count, reason)))
