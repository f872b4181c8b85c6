"""Where each running role has its admin socket, and which roles run now.

A role's socket is `ROLE-PID.sock` in the runtime directory. Commands find a role by it.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import stat
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import platformdirs

from quictunnel.snapshots import RoleName

PROGRAM = "quictunnel"

SYSTEM = Path("/run")
"""Where system services have their runtime directories."""

USERS = SYSTEM / "user"
"""Where systemd-logind makes a runtime directory for each user."""

_parse_name = re.compile(r"(remote|origin)-([1-9][0-9]{0,9})\.sock").fullmatch


@dataclass(frozen=True, slots=True)
class RunningRole:
    """A role that runs now, and where its admin interface answers."""

    role: RoleName
    """Which role it is."""
    pid: int
    """The id of its process."""
    path: Path
    """Its Unix socket."""


def runtime_directory() -> Path:
    """Return the directory for the sockets of the roles of this user.

    This is the first entry of RUNTIME_DIRECTORY if systemd has set it (systemd.exec(5)). Otherwise
    it is `quictunnel` in XDG_RUNTIME_DIR, `/run/quictunnel` for root, or the directory that this
    system has for such files.

    XDG_RUNTIME_DIR does not count if it belongs to another user. `su` and `sudo -E` may keep it,
    and that user could let root change files elsewhere with a symbolic link in it.
    """
    if (service := _of_service()) is not None:
        return service
    if (session := _of_session()) is not None and _is_own(session.parent):
        return session
    if os.geteuid() == 0:
        return SYSTEM / PROGRAM
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that XDG_RUNTIME_DIR is not set
        try:
            return platformdirs.user_runtime_path(PROGRAM)
        except OSError:  # another user has made it: `is_private` refuses it
            return Path(tempfile.gettempdir()) / f"runtime-{os.geteuid()}" / PROGRAM


def socket_path(role: RoleName, pid: int) -> Path:
    """Return the path of a role's socket in `runtime_directory`."""
    return runtime_directory() / f"{role}-{pid}.sock"


def running_roles() -> list[RunningRole]:
    """Return the roles that run now and whose sockets this user may connect to.

    They are sorted by role and process. Directories that other users can change are left out: root
    finds the roles in every user's own directory, and other users trust only root and themselves.
    Root's list ends with the roles of other users, so that none of them takes the place of a
    service.
    """
    found: dict[Path, tuple[bool, RunningRole]] = {}
    for directory, is_foreign in _directories():
        if is_private(directory):
            for running in sockets_in(directory):
                if is_live(running.path):
                    found.setdefault(running.path.resolve(), (is_foreign, running))
    in_order = sorted(found.values(), key=lambda each: (each[0], each[1].role, each[1].pid))
    return [running for _, running in in_order]


def sockets_in(directory: Path) -> Iterator[RunningRole]:
    """Yield the sockets of roles in a directory, also of roles that have died."""
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            matched = _parse_name(entry.name)
            if matched is None:
                continue
            with contextlib.suppress(OSError):  # removed meanwhile
                if stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode):
                    role = cast("RoleName", matched[1])
                    yield RunningRole(role, int(matched[2]), Path(entry.path))


def is_live(path: Path) -> bool:
    """Return whether a program listens on a Unix socket that this user may connect to."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except BlockingIOError:
            return True  # its queue of connections is full
        except OSError:
            return False
    return True


def is_private(directory: Path) -> bool:
    """Return whether only this user and root decide what is in a directory.

    The directory above is checked as well, because its owner could replace this one. A symbolic
    link is followed: systemd makes one for a service with a dynamic user.
    """
    try:
        resolved = directory.resolve(strict=True)
        own, above = resolved.stat(), resolved.parent.stat()
    except (OSError, RuntimeError):  # it does not exist, or links form a loop
        return False
    if not stat.S_ISDIR(own.st_mode) or own.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return False
    is_shared = above.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not above.st_mode & stat.S_ISVTX
    return not is_shared and _is_trusted(own.st_uid) and _is_trusted(above.st_uid)


def _is_trusted(owner: int) -> bool:
    user = os.geteuid()
    return user == 0 or owner in {0, user}


def _directories() -> Iterator[tuple[Path, bool]]:
    """Yield the directories in which roles may have sockets, this user's own first.

    :return: also yields whether the directory is that of another user, who may put anything there.
    """
    yield runtime_directory(), False
    yield SYSTEM / PROGRAM, False
    with contextlib.suppress(OSError):
        # Two services cannot share a runtime directory, which systemd removes when one of them
        # stops. So each has one with its own name.
        for directory in sorted(SYSTEM.glob(f"{PROGRAM}-*")):
            yield directory, False
    if (session := _of_session()) is not None:
        yield session, not _is_own(session.parent)
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):
            for directory in sorted(USERS.glob(f"*/{PROGRAM}")):
                yield directory, True


def _is_own(directory: Path) -> bool:
    """Return whether a directory belongs to this user, or does not exist yet."""
    try:
        return directory.stat().st_uid == os.getuid()
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _of_service() -> Path | None:
    first = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return Path(first) if first else None


def _of_session() -> Path | None:
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    # The XDG Base Directory Specification ignores relative paths.
    return Path(base) / PROGRAM if base.startswith("/") else None
