"""A log file that is opened again after a rotation: on request, or once it was renamed or removed.

All calls to the file system are made by the thread of the `LineWriter`, so a slow disk delays
nothing else.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

MODE = 0o640
"""Mode of a new file, less the bits of the umask: a group such as `adm` may read it."""

LOOK_INTERVAL = 1.0
"""Seconds between two looks at the file's name, to notice a rotation."""

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
# O_NONBLOCK lets the start fail at a named pipe that has no reader, where it would wait for one.


class LogFile:
    """The destination of a `LineWriter`: a file to append to, by name.

    If the file cannot be opened again, the lines go to the file that is open.

    :param report_failure: takes the error, in the writer's thread, when the file cannot be opened
        again; once until it can.
    :param clock: seconds that only grow.
    :raises OSError: the file cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        report_failure: Callable[[OSError], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._report_failure = report_failure
        self._clock = clock
        self._descriptor = os.open(path, _FLAGS, MODE)
        self._looked_at = clock()
        self._is_asked = False
        self._has_failed = False

    def reopen(self) -> None:
        """Open the file again before the next write. Any thread may call this."""
        self._is_asked = True

    def prepare(self) -> bool:
        """See `Destination`. Open the file again if that is due."""
        now = self._clock()
        is_asked, self._is_asked = self._is_asked, False
        if not is_asked and now < self._looked_at + LOOK_INTERVAL:
            return False
        self._looked_at = now
        if not (is_asked or self._has_moved()):
            return False
        try:
            opened = os.open(self._path, _FLAGS, MODE)
        except OSError as exc:
            if not self._has_failed:
                self._report_failure(exc)
            self._has_failed = True
            return False
        self._has_failed = False
        is_other = not os.path.samestat(os.fstat(opened), os.fstat(self._descriptor))
        before, self._descriptor = self._descriptor, opened
        os.close(before)  # it may fail, but the number is free in any case
        return is_other

    def write(self, data: memoryview) -> int:
        """See `Destination`."""
        return os.write(self._descriptor, data)

    def close(self) -> None:
        """See `Destination`."""
        os.close(self._descriptor)

    def _has_moved(self) -> bool:
        """Whether the name stands for another file than the one that is open, or for none."""
        try:
            named = os.stat(self._path)
        except OSError:
            return True
        return not os.path.samestat(named, os.fstat(self._descriptor))
