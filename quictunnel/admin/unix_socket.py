"""Makes a role's Unix socket, and removes it at the end."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from pathlib import Path

from quictunnel.admin.runtime import is_live, is_private, runtime_directory, socket_path, sockets_in
from quictunnel.config.addresses import MAX_UNIX_PATH
from quictunnel.config.files import make_directory, why
from quictunnel.errors import SettingsError
from quictunnel.snapshots import RoleName

BACKLOG = 16
"""Connections that may wait in the kernel."""

SOCKET_MODE = 0o600
"""Only the owner and root can connect. Connecting needs the right to write."""


class AdminSocket:
    """The listening Unix socket of a role.

    The socket appears under its name when it listens and has its mode, so no other user can ever
    connect to it, and no role takes it for the socket of a dead one.

    :param path: its path.
    :param listener: the listening socket.
    """

    def __init__(self, path: Path, listener: socket.socket) -> None:
        self.path = path
        self.listener = listener
        self._inode = path.lstat().st_ino

    @classmethod
    def make(cls, role: RoleName) -> AdminSocket:
        """Make the socket of this process, and remove those of roles that have died.

        :raises SettingsError: it cannot be created. The error says why.
        """
        directory = runtime_directory()
        make_directory(directory, "the runtime directory")
        if not is_private(directory):
            raise SettingsError(f"other users can change {str(directory)!r}")
        _remove_stale(directory)
        path = socket_path(role, os.getpid())
        new = path.with_suffix(".new")
        if len(os.fsencode(new)) > MAX_UNIX_PATH:
            raise SettingsError(f"the path of a Unix socket may have {MAX_UNIX_PATH} bytes")
        if is_live(path):  # of a container that shares the directory
            raise SettingsError("another process with the same id uses it")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            new.unlink(missing_ok=True)
            listener.bind(os.fspath(new))
            new.chmod(SOCKET_MODE)
            listener.listen(BACKLOG)
            listener.setblocking(False)
            new.rename(path)
            return cls(path, listener)
        except OSError as exc:
            listener.close()
            with contextlib.suppress(OSError):
                new.unlink()
            raise SettingsError(why(exc)) from exc

    def close(self) -> None:
        """Close the socket, and remove it unless another one has its name now."""
        with contextlib.suppress(OSError):
            if self.path.lstat().st_ino == self._inode:
                self.path.unlink()
        self.listener.close()


def _remove_stale(directory: Path) -> None:
    for each in sockets_in(directory):
        if _is_stale(each.path):
            with contextlib.suppress(OSError):
                each.path.unlink()


def _is_stale(path: Path) -> bool:
    """Return whether no program listens on a socket any more."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except OSError as exc:
            return exc.errno == errno.ECONNREFUSED
    return False
