"""Facts about this process: CPU time, memory, descriptors."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator

MAX_LISTED = 1_000
"""Descriptors that are listed in one step. The kernel needs a microsecond for each."""

_FOLDERS = ("/proc/self/fd", "/dev/fd")
"""Folders with an entry for each open descriptor: of Linux, and of macOS."""

_STATM = "/proc/self/statm"


def cpu_seconds() -> float:
    """Return the seconds of CPU time that this process has used, also in the kernel."""
    return time.process_time()


def resident_bytes() -> int | None:
    """Return the bytes of memory that this process has in RAM; None where /proc is missing."""
    try:
        with open(_STATM, encoding="ascii") as file:
            pages = int(file.read().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * resource.getpagesize()


def max_descriptors() -> int | None:
    """Return the limit of open file descriptors; None if there is none."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def count_descriptors() -> Iterator[int]:
    """Count the open file descriptors in steps of a millisecond or two.

    :return: yields the number found so far after each step. The last one is the result. Nothing is
        yielded where the system does not list them.
    """
    if reported := _reported_descriptors():
        yield reported
        return
    for folder in _FOLDERS:
        try:
            entries = os.scandir(folder)
        except OSError:
            continue
        with entries:
            count = -1  # the folder's own descriptor does not count
            for _ in entries:
                count += 1
                if count and not count % MAX_LISTED:
                    yield count
        yield count
        return


def _reported_descriptors() -> int:
    """Return the number that Linux 6.2 or newer reports, and 0 elsewhere."""
    try:
        return os.stat(_FOLDERS[0]).st_size
    except OSError:
        return 0
