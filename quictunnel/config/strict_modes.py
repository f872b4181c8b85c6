"""Checks that no other user of this machine can change a directory, as sshd's StrictModes does.

A user who can write to a directory, or rename one of the directories above it, decides what is in
it.
"""

from __future__ import annotations

import grp
import itertools
import os
import pwd
import shlex
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from quictunnel.config.files import quoted
from quictunnel.errors import SettingsError
from quictunnel.events import EventSink, WritableByGroup

ROOT = 0

UNMAPPED = 65534
"""The owner that a user namespace shows for each user of the host that it does not know."""

_UID_MAP = Path("/proc/self/uid_map")
_EVERY_UID = ["0", "0", "4294967295"]
"""The map of a process that is in no user namespace of its own (user_namespaces(7))."""


def check_modes(
    directory: Path,
    what: str,
    emit: EventSink,
    *,
    names: Iterable[str] = (),
    may_be_anothers: bool = False,
) -> None:
    """Check a directory, the directories above it, and files in it. Any of them may be missing.

    Each must belong to this user or to root, and must not be writable by everyone. A directory
    above may be if it has the sticky bit, as /tmp has: then other users cannot replace the entries
    of this user. If a group can write to a directory, `WritableByGroup` is emitted, except for the
    group of one user that many systems make.

    :param what: what the directory is, for errors: "the state directory".
    :param names: the files to check.
    :param may_be_anothers: whether the directory may belong to any user, as it does for a command
        that root runs for the remote of another user. If this user may not see the directory, the
        nearest one above counts.
    :raises SettingsError: another user can change something. The error has the command that helps.
    """
    # Symbolic links are resolved, so that what they lead to is checked: systemd makes one.
    resolved = Path(os.path.realpath(directory))
    status = _status(resolved)
    owners = {ROOT, os.geteuid()}
    if may_be_anothers:
        seen = filter(None, map(_status, (resolved, *resolved.parents)))
        owners.update(status.st_uid for status in itertools.islice(seen, 1))
    if status is not None and stat.S_ISDIR(status.st_mode):
        _check_owner(resolved, what, status, owners)
        if status.st_mode & stat.S_IWOTH:
            raise _writable_by_everyone(resolved, what)
        _warn_of_group(resolved, status, emit)
        for name in names:
            _check_file(resolved / name, f"the file {name} in {what}", owners)
    if _is_in_user_namespace():
        owners.add(UNMAPPED)  # it may be the host's root
    for parent in resolved.parents:
        status = _status(parent)
        if status is None or not stat.S_ISDIR(status.st_mode):
            continue
        above = f"a directory above {what}"
        _check_owner(parent, above, status, owners)
        if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
            raise _writable_by_everyone(parent, above)
        _warn_of_group(parent, status, emit)


def _check_file(path: Path, what: str, owners: set[int]) -> None:
    status = _status(path)
    if status is None or not stat.S_ISREG(status.st_mode):
        return
    _check_owner(path, what, status, owners)
    if status.st_mode & stat.S_IWOTH:
        raise _writable_by_everyone(path, what)


def _check_owner(path: Path, what: str, status: os.stat_result, owners: set[int]) -> None:
    if status.st_uid in owners:
        return
    owner, own = _user(status.st_uid), _user(os.geteuid())
    raise SettingsError(
        f"{what}, {quoted(path)}, belongs to {owner}, who could change it, and not to {own}; run "
        f"this as {owner}, choose another --state-dir, or: chown {own} {shlex.quote(str(path))}"
    )


def _writable_by_everyone(path: Path, what: str) -> SettingsError:
    return SettingsError(
        f"{what}, {quoted(path)}, can be changed by every user of this machine; take that right "
        f"away: chmod o-w {shlex.quote(str(path))}"
    )


def _warn_of_group(path: Path, status: os.stat_result, emit: EventSink) -> None:
    if not status.st_mode & stat.S_IWGRP or _is_of_one_user(status):
        return
    command = f"chmod g-w {shlex.quote(str(path))}"
    emit(WritableByGroup(str(path), _group(status.st_gid), command))


def _is_of_one_user(status: os.stat_result) -> bool:
    """Return whether the group has the name of the owner, and no other member.

    Many systems make such a group for each user, and let users' files be writable by it.
    """
    with suppress(KeyError):
        group, owner = grp.getgrgid(status.st_gid), pwd.getpwuid(status.st_uid).pw_name
        return group.gr_name == owner and set(group.gr_mem) <= {owner}
    return False


def _status(path: Path) -> os.stat_result | None:
    """Return the status of a file; None if it does not exist or this user may not know it.

    If this user may not know it, it cannot be read either, and the reader reports that.
    """
    try:
        return path.stat()
    except (OSError, ValueError):
        return None


def _is_in_user_namespace() -> bool:
    """Return whether this process is in a user namespace that may not know the host's root."""
    try:
        return _UID_MAP.read_text("ascii").split() != _EVERY_UID
    except OSError:
        return False  # no Linux


def _user(uid: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def _group(gid: int) -> str:
    with suppress(KeyError):
        return grp.getgrgid(gid).gr_name
    return str(gid)
