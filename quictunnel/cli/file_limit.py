"""The limit on clients that follows from this process's limit of open files."""

from __future__ import annotations

import contextlib
import resource

RESERVED = 64
"""Descriptors for everything but clients: links, listeners, logs, the event loop, name lookups."""

MAX_FILES = 262_144
"""The most descriptors to ask for where the system sets no limit."""


def raise_file_limit(others: int = 0) -> int:
    """Raise this process's limit of open files, and return how many clients fit into it.

    Each client costs a file descriptor at either end. The default of many systems is 1024, which is
    meant for programs that use select(2).

    :param others: descriptors of other connections that peers may open. They get half of the limit
        at most.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # macOS reports limits that it does not grant. Then the present limit must do.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    if soft == resource.RLIM_INFINITY:
        return MAX_FILES
    room = min(soft, MAX_FILES) - RESERVED
    return max(1, room - min(others, room // 2))
