"""Standard error whose reader has paused: a full pipe, or a terminal after Ctrl-S. Not a test."""

from __future__ import annotations

import contextlib
import os
import re
import termios
import time
import tty
from typing import TYPE_CHECKING

from testkit.programs import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class PausedLog:
    """The reader of a program's standard error. It does not read before `resume`.

    :param file: the program's log, which `Program` opens for it.
    :param descriptor: where the reader reads.
    """

    def __init__(self, file: Path, descriptor: int) -> None:
        self._file = file
        self._descriptor = descriptor
        self.text = ""

    def program_started(self) -> None:
        """Make the log an ordinary file again. The program has opened what it was before."""
        self._file.unlink()
        self._file.touch()

    def resume(self) -> None:
        """Continue to read."""

    def count(self, pattern: str) -> int:
        """Return how many lines have the pattern, or the sum of the values of its group."""
        found = re.findall(pattern, self.text)
        return sum(int(each) if each.isdecimal() else 1 for each in found)

    def read_until(self, is_enough: Callable[[], bool]) -> None:
        """Read until the text is enough."""
        os.set_blocking(self._descriptor, False)
        deadline = time.monotonic() + PATIENCE
        while not is_enough():
            assert time.monotonic() < deadline, self.text[-1000:]
            try:
                self.text += os.read(self._descriptor, 1 << 16).decode()
            except BlockingIOError:
                time.sleep(0.001)

    def close(self) -> None:
        """Leave what was read as the program's log."""
        self._file.write_text(self.text)
        os.close(self._descriptor)


class StoppedTerminal(PausedLog):
    """A terminal whose output is stopped, as by Ctrl-S."""

    def __init__(self, file: Path, controller: int, terminal: int) -> None:
        super().__init__(file, controller)
        self._terminal = terminal
        tty.setraw(terminal)
        termios.tcflow(terminal, termios.TCOOFF)

    def resume(self) -> None:
        """Press Ctrl-Q."""
        termios.tcflow(self._terminal, termios.TCOON)

    def close(self) -> None:
        """See `PausedLog`."""
        super().close()
        os.close(self._terminal)


@contextlib.contextmanager
def paused_log(file: Path, kind: str) -> Iterator[PausedLog]:
    """Put a pipe or a terminal in the place of a program's log file, before the program starts."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if kind == "pipe":
        os.mkfifo(file)
        log = PausedLog(file, os.open(file, os.O_RDWR))
    else:
        controller, terminal = os.openpty()
        file.symlink_to(os.ttyname(terminal))
        log = StoppedTerminal(file, controller, terminal)
    try:
        yield log
    finally:
        log.close()
