"""Whether a service can read a file, although it runs as another user."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path

HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
"""Folders that a hardened unit of systemd does not see (ProtectHome)."""

TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - they are only compared with
"""Folders of which a hardened unit has its own (PrivateTmp)."""


def why_unreadable(path: Path, hidden: Iterable[Path] = (), user: int | None = None) -> str | None:
    """Return why a service of another user cannot read a file or folder, or None if it can.

    :param hidden: folders that the service does not see.
    :param user: the service's user, whose own files it can read; None for a user who owns nothing.
    """
    places = {path.absolute(), path.resolve()}
    for folder in hidden:
        if any(place.is_relative_to(folder) for place in places):
            return f"services do not see {folder}"
    for place in places:
        for folder in place.parents:
            if not _allows(folder, stat.S_IXUSR, user):
                return f"only some users may look into {folder}"
    resolved = path.resolve()
    if not _allows(resolved, stat.S_IXUSR if resolved.is_dir() else stat.S_IRUSR, user):
        return "only some users may read it"
    return None


def _allows(path: Path, right: int, user: int | None) -> bool:
    """Return whether everyone has a right, or the user if the path is the user's own.

    :param right: the right's bit for the owner.
    """
    try:
        status = path.stat()
    except OSError:
        return False
    return bool(status.st_mode & (right if status.st_uid == user else right >> 6))
