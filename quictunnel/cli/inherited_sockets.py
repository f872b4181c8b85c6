"""Sockets that the service manager has opened for a remote: the protocol of sd_listen_fds(3)."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass

from quictunnel.errors import SettingsError

FIRST_DESCRIPTOR = 3
"""The number of the first descriptor that is passed on (SD_LISTEN_FDS_START)."""

MOST = 64
"""Descriptors that are accepted. More are a mistake in the environment."""

VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")

_is_number = re.compile(r"[0-9]{1,9}").fullmatch

_INTERNET = (socket.AF_INET, socket.AF_INET6)


@dataclass(frozen=True, slots=True)
class InheritedSockets:
    """Bound sockets in place of those that the settings describe."""

    link: socket.socket | None = None
    """The UDP socket for origins; None to open one."""
    outside: tuple[socket.socket, ...] = ()
    """The TCP sockets for clients; empty to open one."""


def take_inherited_sockets(environment: MutableMapping[str, str]) -> InheritedSockets:
    """Return the sockets that the service manager has passed on to this process.

    The type of a socket says what it is for: UDP for origins, TCP for clients. The variables are
    removed, because a child process has no such sockets.

    :raises SettingsError: the variables are malformed, or a socket is none that a remote can use.
    """
    pid, count, names = (environment.pop(name, "") for name in VARIABLES)
    if pid != str(os.getpid()):
        return InheritedSockets()  # none, or they are for another process
    if not (_is_number(count) and int(count) <= MOST):
        raise SettingsError(f"LISTEN_FDS {count!r} is not a number from 0 to {MOST}")
    titles = names.split(":") if names else []
    links: list[socket.socket] = []
    outside: list[socket.socket] = []
    for index in range(int(count)):
        title = titles[index] if index < len(titles) else str(index + 1)
        sock = _open(FIRST_DESCRIPTOR + index, title)
        (links if sock.type == socket.SOCK_DGRAM else outside).append(sock)
    if len(links) > 1:
        raise SettingsError(
            f"the service manager has passed on {len(links)} UDP sockets, but origins connect to "
            "one; keep one ListenDatagram= in the socket unit"
        )
    return InheritedSockets(links[0] if links else None, tuple(outside))


def _open(descriptor: int, title: str) -> socket.socket:
    """Return a passed socket, which child processes do not inherit.

    :raises SettingsError: it is not open, or neither a TCP listener nor a UDP socket.
    """
    what = f"the socket {title!r} of the service manager"
    try:
        os.set_inheritable(descriptor, False)
        sock = socket.socket(fileno=descriptor)
    except OSError as exc:
        raise SettingsError(f"{what} cannot be used: {exc.strerror}") from exc
    is_udp = sock.type == socket.SOCK_DGRAM
    is_listener = sock.type == socket.SOCK_STREAM and sock.getsockopt(
        socket.SOL_SOCKET, socket.SO_ACCEPTCONN
    )
    if sock.family not in _INTERNET or not (is_udp or is_listener):
        raise SettingsError(
            f"{what} is neither a TCP listener nor a UDP socket; the socket unit needs "
            "ListenStream= and ListenDatagram= with ports, and Accept=no"
        )
    if is_udp and not _receives_from_all(sock):
        raise SettingsError(
            f"{what} is a UDP socket without a port or with one peer only, so no origin could "
            "connect; the socket unit needs ListenDatagram= with a port"
        )
    sock.setblocking(False)
    return sock


def _receives_from_all(sock: socket.socket) -> bool:
    """Return whether a UDP socket has a port, and is not connected to one peer."""
    try:
        sock.getpeername()
    except OSError:
        port: int = sock.getsockname()[1]
        return port != 0
    return False
