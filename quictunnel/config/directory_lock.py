"""Lets one process at a time change the files of a directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from quictunnel.config.files import quoted, why
from quictunnel.errors import SettingsError

LOCK_TIMEOUT = 30.0
"""Seconds to wait for the lock. A command holds it for milliseconds, so many may be in front, but a
suspended command holds it for ever."""

_RETRY_INTERVAL = 0.02
"""Seconds between two attempts to get the lock."""


@contextlib.contextmanager
def locked(directory: Path, what: str) -> Iterator[None]:
    """Hold the lock of a directory. The kernel releases it when the process ends.

    The directory itself is locked (flock(2)). A lock file would need an owner whom root's commands
    and the remote's user share.

    :param what: what the directory is, for the error: "the state directory".
    :raises SettingsError: it cannot be opened, or another process holds the lock for too long.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except (OSError, ValueError) as exc:
        raise SettingsError(f"{what} {quoted(directory)} cannot be read: {why(exc)}") from exc
    try:
        _acquire(descriptor, directory, what)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, directory: Path, what: str) -> None:
    give_up = time.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up:
                raise SettingsError(
                    f"another command has {what} {quoted(directory)} in use; try again later"
                ) from None
            time.sleep(_RETRY_INTERVAL)
        except OSError as exc:
            raise SettingsError(f"{what} {quoted(directory)} cannot be locked: {why(exc)}") from exc
        else:
            return
