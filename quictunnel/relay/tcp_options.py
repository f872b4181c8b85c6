"""Options of a relayed TCP socket.

The most important one is SO_LINGER with a time of 0. While it is set, closing the socket sends RST,
whatever the cause: our abort, a crash, `kill -9`. The peer cannot mistake that for an orderly end.
It is removed only for an orderly end.

How the loss of the peer is detected:

- RST: at once, by reading, by writing, or by `quictunnel.relay.readiness` otherwise (on Linux).
- Silence while the connection is idle (power cut, unplugged cable): by keep-alive, after 2 minutes.
- Silence with unacknowledged bytes: by the kernel's retransmission limit (tcp_retries2, about 15
  minutes on Linux). TCP_USER_TIMEOUT would shorten that, but Linux applies it also to a peer that
  answers every probe and does not read. Such a client is slow, not dead.

A UNIX socket has no RST: a connection that was cut looks to the origin server like an orderly end.
"""

from __future__ import annotations

import array
import fcntl
import socket
import struct
import sys
import termios
from typing import Protocol

KEEPALIVE_IDLE = 60
"""Idle seconds before the first keep-alive probe. It is shorter than the idle timeout of common
NATs, which would otherwise drop an idle connection."""

KEEPALIVE_INTERVAL = 15
"""Seconds between keep-alive probes."""

KEEPALIVE_PROBES = 4
"""Unanswered probes after which the connection is lost."""

OPTIONS_ARE_INHERITED = sys.platform == "linux"
"""Whether accepted sockets inherit all these options from the listening socket. On other systems,
they do not inherit the keep-alive times."""

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)
_FIN_AT_CLOSE = struct.pack("ii", 0, 0)


def _options() -> tuple[tuple[int, int, int], ...]:
    """Return (level, option, value) of each option that the system has."""
    wanted = (
        (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", KEEPALIVE_IDLE),
        (socket.IPPROTO_TCP, "TCP_KEEPALIVE", KEEPALIVE_IDLE),  # the same, on macOS
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", KEEPALIVE_INTERVAL),
        (socket.IPPROTO_TCP, "TCP_KEEPCNT", KEEPALIVE_PROBES),
    )
    return tuple(
        (level, getattr(socket, name), value)
        for level, name, value in wanted
        if hasattr(socket, name)
    )


_OPTIONS = _options()


class Socket(Protocol):
    """The part of `socket.socket` that is used."""

    def fileno(self) -> int:
        """Return the file descriptor."""

    def setsockopt(self, level: int, option: int, value: int | bytes, /) -> None:
        """Set an option."""


def set_options(sock: Socket) -> None:
    """Set the options of a relayed socket, before or after connect(2) or listen(2)."""
    send_rst_at_close(sock)
    try:
        for level, option, value in _OPTIONS:
            sock.setsockopt(level, option, value)
    except OSError:
        # A UNIX socket has none of them. Some systems also refuse them for a socket that the peer
        # has reset; reading it will report that error.
        return


def send_rst_at_close(sock: Socket) -> None:
    """Have the kernel send RST and discard unsent bytes when the socket is closed.

    Set on a listening socket, it is inherited by accepted sockets, which leaves no gap.
    """
    _set_linger(sock, _RESET_AT_CLOSE)


def send_fin_at_close(sock: Socket) -> None:
    """Have the kernel deliver unsent bytes and send FIN when the socket is closed."""
    _set_linger(sock, _FIN_AT_CLOSE)


def _set_linger(sock: Socket, value: bytes) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, value)
    except OSError:
        return  # see `set_options`


def unacknowledged(sock: Socket) -> int:
    """Return how many bytes in the kernel's send buffer the peer has not acknowledged.

    Linux reports this (tcp(7), SIOCOUTQ, the same number as TIOCOUTQ). Elsewhere the result is 0.
    """
    try:
        fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, _count)
    except OSError:
        return 0
    return _count[0]


_count = array.array("i", [0])
