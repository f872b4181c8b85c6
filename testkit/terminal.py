"""A program on a pseudo-terminal: what it shows, and the keys that a user presses."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from testkit.programs import PATIENCE, ProgramError, clean_environment

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\r")

_HOME = "\x1b[H"
"""Moves the cursor to the top. A program that draws a whole screen sends it before each one."""


class TerminalProgram:
    """A program whose three standard streams are a terminal. As a context manager, it is stopped.

    :param command: the program and its arguments.
    :param columns: the terminal's width.
    :param lines: the terminal's height.
    :param environment: variables to set beside our own environment.
    """

    def __init__(
        self,
        command: Sequence[object],
        *,
        columns: int = 100,
        lines: int = 30,
        **environment: str,
    ) -> None:
        self._master, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.shown = ""
        """Everything that it has sent to the terminal."""
        settings = clean_environment() | {"TERM": "xterm-256color"} | environment
        for name in ("COLUMNS", "LINES", "NO_COLOR"):
            if name not in environment:
                settings.pop(name, None)
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env=settings,
            start_new_session=True,
        )
        self._terminal = terminal

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._terminal)
        os.close(self._master)

    @property
    def screen(self) -> list[str]:
        """The lines of the last screen, without control characters."""
        return _CONTROL.sub("", self.shown.rpartition(_HOME)[2]).split("\n")

    @property
    def echoes(self) -> bool:
        """Whether the terminal shows what is typed, as it does for a shell."""
        return bool(termios.tcgetattr(self._terminal)[3] & termios.ECHO)

    def press(self, keys: str) -> None:
        """Type these characters."""
        os.write(self._master, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Change the size of the terminal."""
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)

    def signal(self, number: signal.Signals) -> None:
        """Send the program a signal."""
        self.process.send_signal(number)

    def wait_for(self, pattern: str) -> list[str]:
        """Wait until a line of the last screen matches; return the screen.

        :raises ProgramError: none does in time.
        """
        deadline = time.monotonic() + PATIENCE
        while not any(re.search(pattern, line) for line in self.screen):
            if not self._read(deadline):
                raise ProgramError(f"waited for {pattern!r} on the terminal: {self.screen}")
        return self.screen

    def wait(self) -> int:
        """Wait until the program ends; return its exit code.

        :raises ProgramError: it did not end in time.
        """
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                raise ProgramError(f"waited for the end on the terminal: {self.screen}")
            self._read(time.monotonic() + 0.05)
        while self._read(time.monotonic()):
            pass
        return self.process.returncode

    def _read(self, deadline: float) -> bool:
        """Read what the program has sent; return False if there is nothing until a deadline."""
        timeout = max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select([self._master], [], [], timeout)
        if not ready:
            return False
        with contextlib.suppress(OSError):
            self.shown += os.read(self._master, 65536).decode("utf-8", "replace")
        return True
