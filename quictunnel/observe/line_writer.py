"""Writes lines to a file in a thread, and drops lines rather than make the program wait.

A write to a pipe that is not read, or to a terminal that is stopped (Ctrl-S), blocks. The event
loop must not block, so a thread of its own writes. The alternatives are worse:

- O_NONBLOCK belongs to the open file description, which the shell and other programs share. They
  would fail with EAGAIN.
- poll(2) before each write promises little. Another program may fill the pipe in between, a
  terminal may take fewer bytes than a pipe, and a file on a slow disk always polls as writable.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol, TextIO, TypeAlias

MAX_WAITING = 512 * 1024
"""Bytes that wait for the reader: half a second of the log of 4,000 connections per second."""

MAX_WRITE = 64 * 1024
"""Bytes per write(2), about the size of a pipe."""

FLUSH_WITHIN = 0.1
"""Seconds that `flush` waits. A reader that is not paused takes far less."""

CLOSE_WITHIN = 0.5
"""Seconds that `close` waits, so that a paused reader delays the end of the program only a little.
"""

RETRY_INTERVAL = 0.05
"""Seconds between two attempts to write to a full pipe that another program has made non-blocking.
"""

NOT_READ = "the reader has paused"
"""Why lines were lost that found no room."""

DescribeLoss: TypeAlias = Callable[[int, str], str]
"""Returns the line that reports lost lines, given their number and the reason."""

ReportLoss: TypeAlias = Callable[[int, str], None]
"""Takes the number of lost lines and the reason, in the writer's thread."""


class Destination(Protocol):
    """The file, pipe or terminal that a `LineWriter` writes to. Its thread calls the methods."""

    def prepare(self) -> bool:
        """Get ready for complete lines. Return whether they begin a file.

        :raises OSError: there is no file to write to.
        """

    def write(self, data: memoryview) -> int:
        """Write some of the bytes, and return how many.

        :raises OSError: the system refuses the write.
        """

    def close(self) -> None:
        """Nothing will be written any more."""


class Descriptor:
    """A destination that is open already. It is never closed.

    :param number: the descriptor.
    """

    def __init__(self, number: int) -> None:
        self._number = number

    def prepare(self) -> bool:
        """See `Destination`."""
        return False

    def write(self, data: memoryview) -> int:
        """See `Destination`."""
        return os.write(self._number, data)

    def close(self) -> None:
        """See `Destination`. The descriptor belongs to the caller."""


class TextWriter(Protocol):
    """Writes lines to one stream."""

    @property
    def error(self) -> OSError | None:
        """The error of the last write; None if it succeeded."""

    @property
    def lost(self) -> int:
        """How many lines were lost so far."""

    def write(self, text: str, describe_loss: DescribeLoss) -> None:
        """Write complete lines, or drop them.

        :param describe_loss: returns the line that reports dropped lines.
        """

    def flush(self) -> None:
        """Wait until the lines are written, at most `FLUSH_WITHIN` seconds."""

    def close(self) -> None:
        """Write what waits, for at most `CLOSE_WITHIN` seconds, and drop the rest."""


class LineWriter:
    """Writes lines in a daemon thread, in order. Its methods do not block for long.

    Lines are lost if more than `MAX_WAITING` bytes would wait, or the system refuses a write: the
    disk is full, or the pipe is closed. One line then reports how many. It follows the lines before
    the loss as soon as the reader continues, or precedes the next line that can be written.

    :param report_loss: reports lost lines elsewhere, so that no line does; None for a line.
    :raises RuntimeError: the system allows no more threads.
    """

    def __init__(
        self,
        destination: Destination,
        encoding: str = "utf-8",
        report_loss: ReportLoss | None = None,
    ) -> None:
        self.error: OSError | None = None
        """See `TextWriter`."""
        self.lost = 0
        """See `TextWriter`."""
        self._destination = destination
        self._encoding = encoding
        self._report_loss = report_loss
        self._changed = threading.Condition()
        self._pieces: deque[bytes] = deque()
        self._size = 0  # bytes that wait, with those that are being written
        self._dropped = 0  # lines that found no room
        self._failed = 0  # lines that the system refused
        self._is_mid_line = False
        self._describe_loss: DescribeLoss = _describe
        self._is_behind = False
        self._is_closed = False
        # Started now, because some versions of Python start no thread while the program ends.
        self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
        self._thread.start()

    def write(self, text: str, describe_loss: DescribeLoss) -> None:
        """See `TextWriter`. This returns at once."""
        data = text.encode(self._encoding, "backslashreplace")
        with self._changed:
            self._describe_loss = describe_loss
            has_room = not self._size or self._size + len(data) <= MAX_WAITING
            # Once lines are dropped, so are all until the loss is reported in its place.
            if self._dropped or self._is_closed or not has_room:
                self._dropped += self._count_lost(data)
                return
            self._pieces.append(data)
            self._size += len(data)
            self._changed.notify_all()

    def flush(self) -> None:
        """See `TextWriter`.

        If this has waited in vain, it does not wait again until everything is written.
        """
        with self._changed:
            if not self._is_behind:
                self._is_behind = not self._wait_until_written(FLUSH_WITHIN)

    def close(self) -> None:
        """See `TextWriter`."""
        self._wait_until_written(CLOSE_WITHIN)
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    # -- Inside

    def _wait_until_written(self, within: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not (self._size or self._dropped), within)

    def _run(self) -> None:
        """Write what waits, until the end of the process or of this writer."""
        while (piece := self._next()) is not None:
            data, lost = piece
            written = self._write(data)
            with self._changed:
                self._size -= len(data)
                if self.error is not None:
                    self._failed += lost or self._count_lost(data, written)
                    self._give_up()
                self._report_elsewhere()
                if not self._size:
                    self._is_behind = False
                self._changed.notify_all()
        self._destination.close()

    def _next(self) -> tuple[bytes, int] | None:
        """Wait for what to write next, and return it; None at the end.

        :return: some of the lines, and 0; or the report of a loss, and how many lines were lost.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._pieces or self._dropped or self._is_closed)
            if self._pieces and not self._failed:
                pieces = [self._pieces.popleft()]
                size = len(pieces[0])
                while self._pieces and size + len(self._pieces[0]) <= MAX_WRITE:
                    size += len(self._pieces[0])
                    pieces.append(self._pieces.popleft())
                return b"".join(pieces), 0
            if self._failed and (self._pieces or self._dropped):
                lost, self._failed = self._failed, 0
                return self._report(lost, _why(self.error)), lost
            if self._dropped and not self._is_closed:
                lost, self._dropped = self._dropped, 0
                return self._report(lost, NOT_READ), lost
            return None

    def _report(self, lost: int, reason: str) -> bytes:
        line = f"{self._describe_loss(lost, reason)}\n"
        data = line.encode(self._encoding, "backslashreplace")
        self._size += len(data)
        return data

    def _count_lost(self, data: bytes, start: int = 0) -> int:
        """Count the lines of lost bytes from a position on, and return their number."""
        lines = data.count(b"\n", start)
        self.lost += lines
        return lines

    def _report_elsewhere(self) -> None:
        """Report lost lines now, if no line does."""
        if self._report_loss is None:
            return
        if self._failed:
            self._report_loss(self._failed, _why(self.error))
        if self._dropped:
            self._report_loss(self._dropped, NOT_READ)
        self._failed = self._dropped = 0

    def _give_up(self) -> None:
        """Count the lines that wait as lost. The next line is another attempt."""
        while self._pieces:
            piece = self._pieces.popleft()
            self._failed += self._count_lost(piece)
            self._size -= len(piece)
        self._failed += self._dropped
        self._dropped = 0

    def _write(self, data: bytes) -> int:
        """Write all of it; set the error if that fails. Return how many bytes were written."""
        self.error = None
        rest = memoryview(data)
        try:
            if self._destination.prepare():
                self._is_mid_line = False
            if data and self._is_mid_line:  # an error has cut a line
                rest = memoryview(b"\n" + data)
            while rest:
                try:
                    written = self._destination.write(rest[:MAX_WRITE])
                except BlockingIOError:  # another program has set O_NONBLOCK
                    time.sleep(RETRY_INTERVAL)
                    continue
                self._is_mid_line = rest[written - 1] != ord("\n")
                rest = rest[written:]
        except OSError as exc:
            self.error = exc
        return max(0, len(data) - len(rest))


class StreamWriter:
    """Writes lines to a stream at once. It is for streams in memory, which never block."""

    def __init__(self, stream: TextIO) -> None:
        self.error: OSError | None = None
        """See `TextWriter`."""
        self.lost = 0
        """See `TextWriter`."""
        self._stream = stream

    def write(self, text: str, _describe_loss: DescribeLoss) -> None:
        """See `TextWriter`. Lines that cannot be written are lost."""
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError as exc:
            self.error = exc
            self.lost += text.count("\n")
        except ValueError:  # the stream is closed
            self.lost += text.count("\n")
        else:
            self.error = None

    def flush(self) -> None:
        """Do nothing: what was written does not wait."""

    def close(self) -> None:
        """Do nothing: the stream belongs to the caller."""


def writer_of(stream: TextIO) -> TextWriter:
    """Return a writer for a stream. It writes to the descriptor, past the stream's own buffer."""
    with contextlib.suppress(OSError, ValueError):
        stream.flush()
    try:
        return LineWriter(Descriptor(stream.fileno()), stream.encoding or "utf-8")
    except (OSError, ValueError, AttributeError, RuntimeError):
        return StreamWriter(stream)  # the stream has no descriptor, or there is no thread for it


def _describe(lost: int, reason: str) -> str:
    return f"{lost} lines lost: {reason}"


def _why(error: OSError | None) -> str:
    return "the system refused them" if error is None else (error.strerror or str(error)).lower()
