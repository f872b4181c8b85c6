"""How many clients fit into this process: each costs a file descriptor at either end."""

from __future__ import annotations

import contextlib
import resource

RESERVED = 64
"""Descriptors for what is no client: links, listeners, logs, the event loop, name lookups."""

MOST = 262_144
"""More clients than this process is made for; bounds what is asked for where there is no limit."""


def make_room() -> int:
    """Raise this process's limit of open files, and return how many clients fit.

    The default of many systems is 1024, which is meant for programs that use select(2).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # macOS names limits that it then does not grant; what we have must do there.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    if soft == resource.RLIM_INFINITY:
        return MOST
    return max(1, min(soft, MOST) - RESERVED)
