"""The limit on open files, raised as far as an unprivileged process can."""

from __future__ import annotations

import resource


def raise_descriptors() -> int:
    """Raise the soft limit to the hard limit, also for child processes; return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
