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
from quictunnel.events import EventSink, OwnedByAnother, WritableByEveryone, WritableByGroup

ROOT = 0

UNMAPPED = 65534
"""The owner that a user namespace shows for each user of the host that it does not know."""

_UID_MAP = Path("/proc/self/uid_map")
_EVERY_UID = ["0", "0", "4294967295"]
"""The map of a process that is in no user namespace of its own (user_namespaces(7))."""

_CONTAINER_FILES = (Path("/.dockerenv"), Path("/run/.containerenv"))
"""The files that Docker and Podman create in each container."""

_KUBERNETES = "KUBERNETES_SERVICE_HOST"
"""The environment variable that Kubernetes sets in each container."""

_ANOTHER_DIRECTORY = "choose another --state-dir"


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
    of this user. It may also be in a container, where `WritableByEveryone` is emitted. If a group
    can write to a directory, `WritableByGroup` is emitted, except for the group of one user that
    many systems make.

    If this user is root, one other user may own any of them, and `OwnedByAnother` is emitted.

    :param what: what the directory is, for errors: "the state directory".
    :param names: the files to check.
    :param may_be_anothers: whether the directory may belong to any user, as it does for a command
        that root runs for the remote of another user. If this user may not see the directory, the
        nearest one above counts.
    :raises SettingsError: another user can change something. The error says what helps.
    """
    # Symbolic links are resolved, so that what they lead to is checked: systemd makes one.
    resolved = Path(os.path.realpath(directory))
    status = _status(resolved)
    owners = _Owners(emit)
    if may_be_anothers:
        seen = filter(None, map(_status, (resolved, *resolved.parents)))
        for nearest in itertools.islice(seen, 1):
            owners.accept(nearest.st_uid)
    if status is not None and stat.S_ISDIR(status.st_mode):
        if not owners.include(status, resolved):
            raise _belongs_to_another(resolved, what, status, _chown(resolved, status))
        if status.st_mode & stat.S_IWOTH:
            raise _writable_by_everyone(resolved, what, _private_directory(resolved, status))
        _warn_of_group(resolved, status, emit, f"chmod g-w {shlex.quote(str(resolved))}")
        for name in names:
            _check_file(resolved / name, f"the file {name} in {what}", owners)
    for parent in resolved.parents:
        status = _status(parent)
        if status is not None and stat.S_ISDIR(status.st_mode):
            _check_above(parent, f"a directory above {what}", status, owners, emit)


class _Owners:
    """The users that may own what is checked."""

    def __init__(self, emit: EventSink) -> None:
        own = os.geteuid()
        self._emit = emit
        self._accepted = {ROOT, own}
        # Root may run the program on a directory of the user who has started it: with sudo, or in
        # a container. Of two such users, one could change what the other has written.
        self._accepts_one_more = own == ROOT
        self._in_user_namespace = _is_in_user_namespace()

    def accept(self, uid: int) -> None:
        """Accept this user. Unless it has been accepted before, root accepts no other one."""
        if uid not in self._accepted:
            self._accepted.add(uid)
            self._accepts_one_more = False

    def include(self, status: os.stat_result, path: Path) -> bool:
        """Return whether the owner of this path is accepted; emit `OwnedByAnother` if it is new."""
        uid = status.st_uid
        if uid in self._accepted:
            return True
        if not self._accepts_one_more or self._is_unmapped(uid):
            return False
        self.accept(uid)
        self._emit(OwnedByAnother(str(path), _user(uid)))
        return True

    def include_above(self, status: os.stat_result, path: Path) -> bool:
        """Return the same for a directory above. It may belong to the host's root."""
        return self._is_unmapped(status.st_uid) or self.include(status, path)

    def _is_unmapped(self, uid: int) -> bool:
        """Return whether this may be any user of the host."""
        return uid == UNMAPPED and self._in_user_namespace


def _check_file(path: Path, what: str, owners: _Owners) -> None:
    status = _status(path)
    if status is None or not stat.S_ISREG(status.st_mode):
        return
    if not owners.include(status, path):
        raise _belongs_to_another(path, what, status, _chown(path, status))
    if status.st_mode & stat.S_IWOTH:
        advice = f"take that right away: chmod o-w {shlex.quote(str(path))}"
        raise _writable_by_everyone(path, what, advice)


def _check_above(
    path: Path, what: str, status: os.stat_result, owners: _Owners, emit: EventSink
) -> None:
    """Check a directory above. No command is advised: other programs may need it as it is."""
    if not owners.include_above(status, path):
        raise _belongs_to_another(path, what, status, _ANOTHER_DIRECTORY)
    if not status.st_mode & stat.S_IWOTH or status.st_mode & stat.S_ISVTX:
        _warn_of_group(path, status, emit, None)
    elif _is_in_container():
        emit(WritableByEveryone(str(path)))
    else:
        raise _writable_by_everyone(path, what, _ANOTHER_DIRECTORY)


def _belongs_to_another(
    path: Path, what: str, status: os.stat_result, advice: str
) -> SettingsError:
    owner, own = _user(status.st_uid), _user(os.geteuid())
    return SettingsError(
        f"{what}, {quoted(path)}, belongs to {owner}, who could change it, and not to {own}; "
        f"{advice}"
    )


def _chown(path: Path, status: os.stat_result) -> str:
    owner, own = _user(status.st_uid), _user(os.geteuid())
    return f"run this as {owner}, {_ANOTHER_DIRECTORY}, or: chown {own} {shlex.quote(str(path))}"


def _writable_by_everyone(path: Path, what: str, advice: str) -> SettingsError:
    return SettingsError(
        f"{what}, {quoted(path)}, can be changed by every user of this machine; {advice}"
    )


def _private_directory(path: Path, status: os.stat_result) -> str:
    """Return how to get a private directory instead of one that everyone can write to."""
    inside = f"use a directory in it: --state-dir {shlex.quote(str(path / 'quictunnel'))}"
    if status.st_mode & stat.S_ISVTX:
        return inside  # the directory is meant to be shared
    private = _ANOTHER_DIRECTORY
    if os.geteuid() in {ROOT, status.st_uid}:
        private = f"take that right away: chmod 700 {shlex.quote(str(path))}"
    return f"{private}; or, in a container, {inside}"


def _warn_of_group(
    path: Path, status: os.stat_result, emit: EventSink, command: str | None
) -> None:
    if status.st_mode & stat.S_IWGRP and not _is_of_one_user(status):
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


def _is_in_container() -> bool:
    """Return whether this process is in a container of Docker, Podman or Kubernetes.

    All users of a container belong to one service. Kubernetes lets all of them write to an
    emptyDir, and no setting changes that.
    """
    return _KUBERNETES in os.environ or any(path.exists() for path in _CONTAINER_FILES)


def _user(uid: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def _group(gid: int) -> str:
    with suppress(KeyError):
        return grp.getgrgid(gid).gr_name
    return str(gid)
