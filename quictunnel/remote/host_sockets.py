"""Unix sockets of host names in a directory, for an HTTP proxy on the same machine (Caddy).

Each host name has a folder with a socket in it: `www.example.com/http`. An asterisk is written as a
plus sign: `+.example.com/http`. Caddy finds the most specific name by looking for these folders. It
cannot look for sockets, because its file matcher opens what it finds.

A proxy that reuses connections does so for each socket apart. Requests for two names, even on one
connection of a browser, therefore never share a connection to the remote.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

from quictunnel.config.addresses import MAX_UNIX_PATH
from quictunnel.config.files import quoted, why
from quictunnel.config.host_names import parse_pattern
from quictunnel.config.hosts import HostName
from quictunnel.errors import Refused, SettingsError
from quictunnel.events import EventSink
from quictunnel.protocol.codes import Code
from quictunnel.remote.acceptor import Acceptor, relayed
from quictunnel.remote.outside_listener import BACKLOG

SOCKET_NAME = "http"
"""The socket's name in the folder of its host name."""

MAX_SOCKETS = 2048
"""Sockets that may be open at once. Each needs a file descriptor."""

DIRECTORY_MODE = 0o750
SOCKET_MODE = 0o660
"""Only the owner and the group can connect. Connecting needs the right to write."""

_NEW = ".new"
"""The name of a folder whose socket does not listen yet."""


class HostSockets:
    """Listens on a Unix socket for each host name.

    :param directory: created if it is missing. One remote uses it at a time.
    :param make_protocol: makes the protocol of a client of a host name.
    """

    def __init__(
        self,
        directory: Path,
        make_protocol: Callable[[HostName], asyncio.Protocol],
        *,
        emit: EventSink,
    ) -> None:
        self._directory = directory.absolute()  # as the proxy knows it
        self._make_protocol = make_protocol
        self._emit = emit
        self._lock: int | None = None
        self._acceptors: dict[HostName, Acceptor] = {}

    def bind(self) -> None:
        """Take possession of the directory, and remove sockets that a killed remote has left.

        :raises SettingsError: the directory cannot be used, or another remote uses it.
        """
        longest = len(os.fsencode(self._socket(_NEW)))
        if longest > MAX_UNIX_PATH:
            raise self._error(
                f"the path is too long for a Unix socket by {longest - MAX_UNIX_PATH}"
            )
        try:
            self._create()
            self._lock = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if stat.S_IMODE(os.fstat(self._lock).st_mode) & stat.S_IWOTH:
                raise self._error("every user may write there; take that right away with chmod o-w")
            self._remove_stale()
            self._make_new()
            self._delete(self._directory / _NEW)
        except BlockingIOError:
            raise self._error("another remote uses it; give each remote a directory") from None
        except OSError as exc:
            raise self._error(why(exc)) from exc

    def add(self, host: HostName) -> None:
        """Listen for clients of a host name; without effect if it is done already.

        :raises Refused: the path is too long, something is in its place, or there are too many.
        """
        if host in self._acceptors:
            return
        if self._lock is None:
            raise Refused(Code.NOT_ALLOWED, "the remote is stopping")
        length = len(os.fsencode(self._socket(folder_name(host))))
        if length > MAX_UNIX_PATH:
            raise Refused(
                Code.NOT_ALLOWED,
                f"host {host} is too long for a Unix socket of the remote: its path has {length} "
                f"bytes, and {MAX_UNIX_PATH} are possible",
            )
        if len(self._acceptors) >= MAX_SOCKETS:
            raise Refused(
                Code.NOT_ALLOWED, f"host names may have {MAX_SOCKETS} Unix sockets in all, not more"
            )
        try:
            sock = self._listen(host)
        except OSError as exc:
            sentence = f"the remote cannot open a Unix socket for host {host}: {why(exc)}"
            raise Refused(Code.SERVICE_TAKEN, sentence) from exc
        self._acceptors[host] = Acceptor(
            sock, relayed(lambda: self._make_protocol(host)), self._emit, is_inherited=True
        )

    def remove(self, host: HostName) -> None:
        """Stop listening for clients of a host name. Accepted clients stay connected."""
        acceptor = self._acceptors.pop(host, None)
        if acceptor is not None:
            acceptor.close()
            self._delete(self._directory / folder_name(host))

    def close(self) -> None:
        """Remove all sockets, and let another remote use the directory."""
        for host in tuple(self._acceptors):
            self.remove(host)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # -- Inside

    def _create(self) -> None:
        with contextlib.suppress(FileExistsError):
            self._directory.parent.mkdir(parents=True, exist_ok=True)
            self._directory.mkdir()
            self._directory.chmod(DIRECTORY_MODE)  # mkdir(2) obeys the umask

    def _listen(self, host: HostName) -> socket.socket:
        """Return a listening socket, which appears under its name when it is complete."""
        new = self._make_new()
        path = new / SOCKET_NAME
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.bind(os.fspath(path))
            self._open_to_group(path, SOCKET_MODE)
            sock.listen(BACKLOG)
            sock.setblocking(False)
            new.rename(self._directory / folder_name(host))
        except OSError:
            sock.close()
            self._delete(new)
            raise
        return sock

    def _make_new(self) -> Path:
        """Return a new empty folder that the group can search."""
        new = self._directory / _NEW
        self._delete(new)
        new.mkdir()
        self._open_to_group(new, DIRECTORY_MODE)
        return new

    def _open_to_group(self, path: Path, mode: int) -> None:
        """Set the mode, and the group of the directory."""
        path.chmod(mode)
        group = self._directory.stat().st_gid
        if path.stat().st_gid != group:
            os.chown(path, -1, group)

    def _remove_stale(self) -> None:
        for entry in tuple(os.scandir(self._directory)):
            if entry.is_dir(follow_symlinks=False) and _is_ours(entry.name):
                folder = Path(entry.path)
                # An empty folder may be a mount point.
                has_socket = entry.name == _NEW or (folder / SOCKET_NAME).is_socket()
                if has_socket and not _is_in_use(folder / SOCKET_NAME):
                    self._delete(folder)

    def _delete(self, folder: Path) -> None:
        """Delete a folder with its socket. Files of others in it stay, and so does the folder."""
        path = folder / SOCKET_NAME
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(path.lstat().st_mode):
                path.unlink()
        with contextlib.suppress(OSError):
            folder.rmdir()

    def _socket(self, name: str) -> Path:
        return self._directory / name / SOCKET_NAME

    def _error(self, reason: str) -> SettingsError:
        return SettingsError(f"--sockets {quoted(self._directory)}: {reason}")


def folder_name(host: HostName) -> str:
    """Return the name of a host name's folder."""
    return host.replace("*", "+")


def _is_ours(name: str) -> bool:
    """Return whether a folder's name is one that a remote may have given."""
    host = f"*{name[1:]}" if name.startswith("+") else name
    return name == _NEW or parse_pattern(host) == host


def _is_in_use(path: Path) -> bool:
    """Return whether a program listens on a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True  # it listens and is busy, or is no socket at all
    return True
