"""Writes log lines once per turn of the event loop instead of once per line.

Each write is a system call and may wake the reader. Many clients cause many lines in one turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TextIO

MAX_LINES = 256
"""Lines that may wait for the end of a turn, about 30 kB."""


class TurnHandler(logging.Handler):
    """Writes lines to `stream` at the end of the event loop's turn.

    Warnings, and lines logged without an event loop, are written at once. `logging` flushes its
    handlers at exit. A program that prints beside the log calls `flush` first to keep the order.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: list[str] = []
        self._scheduled_on: asyncio.AbstractEventLoop | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Format the record now, since its fields may change, and write it in time."""
        try:
            self._lines.append(self.format(record))
        except Exception:  # a record that cannot be formatted must not end the caller
            self.handleError(record)
            return
        is_urgent = record.levelno >= logging.WARNING or len(self._lines) >= MAX_LINES
        if is_urgent or not self._is_scheduled():
            self.flush()

    def flush(self) -> None:
        """Write the waiting lines. Drop them if the pipe is closed or the disk is full."""
        # The tunnel must not end because its log cannot be written.
        with self.lock or contextlib.nullcontext(), contextlib.suppress(OSError, ValueError):
            if self._lines:
                text = "\n".join([*self._lines, ""])
                self._lines.clear()
                self._stream.write(text)
                self._stream.flush()

    def _is_scheduled(self) -> bool:
        """Return whether the loop will flush at the end of its turn; ask it to if need be."""
        if self._scheduled_on is None or self._scheduled_on.is_closed():
            try:
                self._scheduled_on = asyncio.get_running_loop()
            except RuntimeError:
                self._scheduled_on = None
                return False
            self._scheduled_on.call_soon(self._on_turn_end)
        return True

    def _on_turn_end(self) -> None:
        self._scheduled_on = None
        self.flush()
