"""The limit on open files: raised as far as it goes without rights. Nothing else."""

from __future__ import annotations

import resource


def raise_descriptors() -> int:
    """Raise the soft limit to the hard one, for programs started later too; return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
