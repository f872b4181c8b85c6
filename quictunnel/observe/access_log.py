"""The access log: one line for each client that has ended or was rejected, in a stream of its own.

`access_log_format` makes the lines. They are written in batches by the thread of a writer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from quictunnel.events import (
    AccessLogLinesLost,
    AccessLogNotReopened,
    ClientAccepted,
    ClientClosed,
    Event,
    EventSink,
)
from quictunnel.observe.access_log_format import AccessEvent, FormatLine
from quictunnel.observe.batch import Batch
from quictunnel.observe.line_writer import LineWriter, TextWriter
from quictunnel.observe.log_file import LogFile
from quictunnel.observe.loss_reports import LossReports

REPLACED: frozenset[type[Event]] = frozenset({ClientAccepted, ClientClosed})
"""Events that the log leaves to the access log. Warnings stay in the log."""


class AccessLog:
    """An `EventSink` that writes the lines. It ignores other events.

    :param writer: writes the lines; `close` leaves it open.
    :param format_line: returns the line of an event, without the end of the line.
    :param describe_loss: returns the line of the stream that reports lost lines.
    :param reopen: opens the file again.
    """

    def __init__(
        self,
        writer: TextWriter,
        format_line: FormatLine,
        *,
        describe_loss: Callable[[int, str], str],
        reopen: Callable[[], None] = lambda: None,
    ) -> None:
        self._writer = writer
        self._format_line = format_line
        self._describe_loss = describe_loss
        self._reopen = reopen
        self._batch: Batch[tuple[float, AccessEvent]] = Batch(self._write)

    def __call__(self, event: Event) -> None:
        """Let the line of a client wait for others, for a moment."""
        if isinstance(event, AccessEvent):
            self._batch.add((time.time(), event))

    def reopen(self) -> None:
        """Open the file again, as after a rotation."""
        self._reopen()
        self._writer.write("", self._describe_loss)  # wakes the thread up

    def close(self) -> None:
        """Write the lines that wait, unless the reader has paused."""
        self._batch.flush()
        self._writer.flush()

    def _write(self, entries: list[tuple[float, AccessEvent]]) -> None:
        lines = [f"{self._format_line(at, event)}\n" for at, event in entries]
        self._writer.write("".join(lines), self._describe_loss)


class FileAccessLog:
    """An access log in a file of its own. It warns in the log if lines are lost.

    :param emit: consumes `AccessLogLinesLost` and `AccessLogNotReopened`.
    :raises OSError: the file cannot be opened.
    :raises RuntimeError: the system allows no more threads.
    """

    def __init__(self, path: Path, format_line: FormatLine, emit: EventSink) -> None:
        name = str(path)
        self._losses = LossReports(lambda lost, why: emit(AccessLogLinesLost(name, lost, why)))
        self._failures = LossReports(lambda _, why: emit(AccessLogNotReopened(name, why)))
        file = LogFile(path, self._reopen_failed)
        self._writer = LineWriter(file, report_loss=self._losses.add_from_thread)
        self.log = AccessLog(
            self._writer, format_line, describe_loss=lambda *_: "", reopen=file.reopen
        )
        """The sink."""

    def close(self) -> None:
        """Write the lines that wait, and close the file."""
        self.log.close()
        self._writer.close()
        self._losses.close()
        self._failures.close()

    def _reopen_failed(self, error: OSError) -> None:
        self._failures.add_from_thread(1, (error.strerror or str(error)).lower())
