"""Reads single keys from the terminal, such as `q` and the arrows."""

from __future__ import annotations

import contextlib
import os
import re
import select
import sys
import termios
import time
from types import TracebackType
from typing import Any, Self

UP, DOWN, RIGHT, LEFT = "up", "down", "right", "left"
PAGE_UP, PAGE_DOWN, HOME = "page up", "page down", "home"
END_OF_INPUT = "end of input"

_SEQUENCES = {
    "A": UP,
    "B": DOWN,
    "C": RIGHT,
    "D": LEFT,
    "H": HOME,
    "1~": HOME,
    "5~": PAGE_UP,
    "6~": PAGE_DOWN,
}
"""Keys by what a terminal of the VT100 family sends for them after `ESC [` or `ESC O`."""

_KEY = re.compile(r"\x1b[\[O]([0-9;]*[A-Za-z~])|\x1b|(.)", re.DOTALL)

_READ_SIZE = 256

_LFLAG, _CC = 3, 6
"""Places in the list of `termios.tcgetattr`."""


class TerminalKeys:
    """The keys of a terminal on standard input, which does not echo them meanwhile.

    As a context manager, it restores the terminal at the end. Without a terminal there are no keys.
    """

    def __init__(self) -> None:
        self._descriptor: int | None = None
        self._before: list[Any] = []

    def __enter__(self) -> Self:
        with contextlib.suppress(OSError, ValueError, termios.error):
            descriptor = sys.stdin.fileno()
            self._before = termios.tcgetattr(descriptor)
            changed = termios.tcgetattr(descriptor)
            changed[_LFLAG] &= ~(termios.ICANON | termios.ECHO)
            # After Ctrl-Z, the shell would have this terminal's mode.
            changed[_CC][termios.VSUSP] = b"\0"
            termios.tcsetattr(descriptor, termios.TCSADRAIN, changed)
            self._descriptor = descriptor
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(termios.error):  # the terminal was closed
                termios.tcsetattr(self._descriptor, termios.TCSAFLUSH, self._before)

    @property
    def are_there(self) -> bool:
        """Whether standard input is a terminal."""
        return self._descriptor is not None

    def wait(self, seconds: float) -> list[str]:
        """Return the keys that are pressed next, or none after so many seconds.

        A key is its character, or one of the constants of this module.
        """
        if self._descriptor is None:
            time.sleep(seconds)
            return []
        ready, _, _ = select.select([self._descriptor], [], [], seconds)
        if not ready:
            return []
        try:
            typed = os.read(self._descriptor, _READ_SIZE)
        except OSError:
            typed = b""
        return parse_keys(typed.decode("utf-8", "replace")) if typed else [END_OF_INPUT]


def parse_keys(typed: str) -> list[str]:
    """Return the keys of which a terminal has sent the characters."""
    found = (_SEQUENCES.get(match[1]) if match[1] else match[2] for match in _KEY.finditer(typed))
    return [key for key in found if key]
