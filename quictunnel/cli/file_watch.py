"""Notices when files change, by looking at them four times a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

INTERVAL = 0.25
"""Seconds between two looks at the files. A change is reported when the next look finds the same,
because some editors write a file in pieces. So the links of a removed token end within a second."""

_Signature = tuple[tuple[int, int, int] | None, ...]


class FileWatch:
    """Notices when files change after they were read.

    :param files: the files. The caller reads them after this, or has just read them.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = tuple(files)
        self._read = self._signature()

    def mark_read(self, files: Sequence[Path] | None = None) -> None:
        """Count the present content as read.

        :param files: the files from now on; None for the same ones.
        """
        if files is not None:
            self._files = tuple(files)
        self._read = self._signature()

    async def run(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` whenever the content is not the one that was read, until cancelled.

        `on_change` calls `mark_read`, or is called again and again.
        """
        seen = self._read
        while True:
            await asyncio.sleep(INTERVAL)
            last, seen = seen, self._signature()
            if seen == last != self._read:
                on_change()

    def _signature(self) -> _Signature:
        return tuple(map(_signature, self._files))


def _signature(path: Path) -> tuple[int, int, int] | None:
    """Return what changes when a file is written or replaced; None if it is missing."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
